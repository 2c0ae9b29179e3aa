"""models, promote, approve, rollback and bundle show as a person meets them, on a real registry."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from export import bundle as bundles
from export.bundle import Bundle
from export.registry.versions import Registry
from features.usecase import UseCase, load
from tests.commands import Ended, Run
from tests.export.small import made
from tests.pipeline.models import trained

USE_CASE = str(Path(__file__).parent / "pipeline/market.yaml")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, with_registry: Callable[[Path], Path]) -> str:
    return f"sqlite:///{with_registry(tmp_path_factory.mktemp('store'))}/mlflow.db"


def again(old: Bundle, id: str = "market-again") -> Bundle:
    """The same model trained a month later."""
    return msgspec.structs.replace(
        old, manifest=msgspec.structs.replace(old.manifest, id=id, metrics={"roc_auc": 0.5})
    )


def test_from_the_first_model_to_a_rollback(
    run: Run,
    tmp_path: Path,
    store: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    root, use_case = str(tmp_path / "bundles"), load(USE_CASE)
    old, new = trained(use_case), again(trained(use_case))
    bundles.save(old, root)
    bundles.save(new, root)
    a, b = old.manifest.id, new.manifest.id

    def said(*words: str) -> Ended:
        return run(*words, "--bundle", root, "--use-case", USE_CASE)

    empty = said("models")
    assert empty.code == 0 and "no model is registered" in empty.out
    assert said("promote", a).out == f"version 1, {a}: champion\n"
    waiting = json.loads(said("promote", b, "--as", "challenger", "--json").out)
    assert (waiting["version"], waiting["status"]) == (2, "waiting")
    refused = said("approve", "1", "--approver", "Ann", "--reason", "it is better")
    assert refused.code == 2 and f"expected one that waits for approval: 2 ({b})" in refused.err
    assert said("approve", "2", "--approver", " ", "--reason", "x").code == 2
    assert (
        said("approve", "2", "--approver", "Ann", "--reason", "it is better").out
        == f"version 2, {b}: champion\n"
    )
    table = said("models").out.splitlines()
    assert table[0].split()[:3] == ["version", "bundle", "created"]
    assert table[1].split()[:2] == ["2", b] and table[1].split()[-4:] == ["champion", "champion", "-", "Ann"]
    assert table[2].split()[:2] == ["1", a] and "retired" in table[2]
    assert table[0].split("  ")[-2:] == ["failed gates", "approved by"]
    back = said("rollback")
    assert back.out == f"rolled back from {b} to {a}, version 1\n"
    assert bundles.read_pointer(root, "market") == a
    further = said("rollback")
    assert further.code == 2 and f"the champion is {a} and there was none before it" in further.err
    unknown = said("promote", "9")
    assert unknown.code == 2 and f"1 ({a})" in unknown.err and f"2 ({b})" in unknown.err
    bundles.promote(root, b)  # by hand, past the registry
    crooked = said("models", "--json")
    assert crooked.code == 1 and f"`riskstream promote {b}` or `riskstream promote {a}`" in crooked.err
    facts = json.loads(crooked.out)
    assert facts["pointers"] == {"current": b, "challenger": None} and len(facts["disagreements"]) == 1
    assert facts["versions"][0]["metrics"]["roc_auc"] == 0.5
    said("promote", b)
    assert said("models").code == 0
    c = over_failed_gates(said, use_case, root)
    facts = json.loads(said("models", "--json").out)["versions"][0]
    assert (facts["bundle"], facts["status"]) == (c, "champion")
    assert facts["failed_gates"] == {"fairness": "0.31"} and facts["accepted_gates"] == ["fairness"]
    assert (facts["approved_by"], facts["approved_because"]) == ("Ann", "minute 8")
    assert "fairness (accepted)  Ann" in said("models").out.splitlines()[1]


def over_failed_gates(said: Callable[..., Ended], use_case: UseCase, root: str) -> str:
    """Every refusal on the way of a version that failed a gate, and its approval; the bundle's id."""
    new = again(trained(use_case), "market-unfair")
    bundles.save(new, root)
    Registry(root, "market").record(new, failed_gates={"fairness": "0.31"})
    for words in (
        ("promote", "3"),
        ("promote", "3", "--accept-gate", "drift", "--approver", "Ann", "--reason", "x"),
    ):
        refused = said(*words)
        assert refused.code == 2 and "fairness" in refused.err
    nobody = said("promote", "3", "--accept-gate", "fairness")
    assert nobody.code == 2 and "--approver" in nobody.err
    shadow = said(
        "promote", "3", "--as", "challenger", "--accept-gate", "fairness", "--approver", "A", "--reason", "b"
    )
    assert shadow.code == 2 and "--accept-gate" in shadow.err
    assert said("promote", "3", "--as", "challenger").code == 0
    words = ("approve", "3", "--approver", "Ann", "--reason", "minute 8")
    refused = said(*words)
    assert refused.code == 2 and "--accept-gate fairness --approver NAME" in " ".join(refused.err.split())
    assert said(*words, "--accept-gate", "fairness").code == 0
    return new.manifest.id


def test_a_bundle_shows_what_it_is(run: Run, tmp_path: Path) -> None:
    root, bundle = str(tmp_path), made()
    folder, id = bundles.save(bundle, root), bundle.manifest.id
    bundles.promote(root, id)
    by_path, by_id, by_root = (
        run("bundle", "show", *words) for words in ([folder], [id, "--bundle", root], [root])
    )
    assert by_path.code == by_id.code == by_root.code == 0
    assert by_path.out == by_id.out == by_root.out
    for part in (id, "00c0ffee00c0ffee", "medium  0.2500", "roc_auc  0.5", "out_count_24h", "model.onnx"):
        assert part in by_path.out
    facts = json.loads(run("bundle", "show", folder, "--json").out)
    assert facts["thresholds"] == {"medium": 0.25, "high": 0.5}
    assert facts["reference"]["score"]["shares"] and facts["features"] == ["amount", "out_count_24h"]
    nothing = run("bundle", "show", "nothing", "--bundle", root)
    assert nothing.code == 2 and id in nothing.err
