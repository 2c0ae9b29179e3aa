"""MLflow's runs: one for each bundle with all that is known of it, and below it one for each trial.

Runs say who trained, with which program and on which data. Bundles do not: the same seed and files give the same bytes,
whoever trains.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from export.bundle import Bundle, files_of

BATCH = 100  # the most parameters, and here metrics too, that MLflow takes at once
NOT_IN_NAMES = re.compile(r"[^\w\-. /]")  # of metrics and parameters
DIGEST = 32  # characters of the history's SHA-256: MLflow takes at most 36; the tag data_sha256 has them all
NAME = 500  # characters of a data set's name that MLflow takes
CHOICE = ("training.model.trials", "training.model.compared")  # in the manifest; each of them is a run here


@dataclass(frozen=True)
class ModelOrigin:
    """The origin of a model: its author, the program, and the files and tables it was trained on."""

    user: str
    command: str  # such as "riskstream train"
    version: str  # of the program
    commit: str = ""  # of its git checkout, with "-dirty" if files differ from it; empty without a checkout
    places: tuple[str, ...] = ()

    @property
    def tags(self) -> dict[str, str]:
        """The names are those that MLflow's own pages show."""
        tags = {
            "mlflow.user": self.user,
            "mlflow.source.name": self.command,
            "mlflow.source.type": "LOCAL",
            "mlflow.source.git.commit": self.commit,
            "version": self.version,
            "data": ", ".join(self.places),
        }
        return {name: value for name, value in tags.items() if value}


@dataclass(frozen=True)
class Child:
    """A run below a bundle's: one trial with its parameters. `by_step` are figures by fold, from 0."""

    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    by_step: Mapping[str, Sequence[float]]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunContents:
    """The contents of a bundle's run beside the bundle: tags, parameters, figures by flat name, files by path."""

    tags: Mapping[str, str]
    parameters: Mapping[str, Any]
    figures: Mapping[str, float]
    artifacts: Mapping[str, bytes]
    origin: ModelOrigin | None = None
    children: Sequence[Child] = ()


def write(client: Any, experiment: str, bundle: Bundle, entry: RunContents) -> tuple[str, str]:
    """Write the run of a bundle and those below it; return the run's id and where its copy of the bundle is."""
    origin = entry.origin
    tags = {**entry.tags, **(origin.tags if origin else {})}
    run = client.create_run(experiment, tags=tags, run_name=bundle.manifest.id)
    run_id, files = run.info.run_id, {f"bundle/{name}": data for name, data in files_of(bundle).items()}
    figures = [(name, value, 0) for name, value in entry.figures.items()]
    _log(client, run_id, run.info.start_time, entry.parameters, figures)
    _log_data(client, run_id, bundle, origin.places if origin else ())
    _log_files(client, run_id, {**entry.artifacts, **files})
    for child in entry.children:
        _write_child(client, experiment, run_id, child, tags)
    client.set_terminated(run_id)
    return run_id, f"{run.info.artifact_uri}/bundle"


def _write_child(client: Any, experiment: str, parent: str, child: Child, tags: Mapping[str, str]) -> None:
    inherited = {name: value for name, value in tags.items() if name.startswith("mlflow.")}
    tags = {**inherited, **child.tags, "mlflow.parentRunId": parent}
    run = client.create_run(experiment, tags=tags, run_name=child.name)
    metrics = [(name, value, 0) for name, value in child.metrics.items()]
    for name, values in child.by_step.items():
        metrics += [(name, value, step) for step, value in enumerate(values)]
    _log(client, run.info.run_id, run.info.start_time, child.parameters, metrics)
    client.set_terminated(run.info.run_id)


def _log(
    client: Any,
    run_id: str,
    now_ms: int,
    parameters: Mapping[str, Any],
    metrics: Sequence[tuple[str, float, int]],
) -> None:
    """Parameters as texts, and figures with their step."""
    from mlflow.entities import Metric, Param

    for part in _parts([Param(name, str(value)) for name, value in parameters.items()]):
        client.log_batch(run_id, params=part)
    for part in _parts([Metric(name, value, now_ms, step) for name, value, step in metrics]):
        client.log_batch(run_id, metrics=part)


def _log_data(client: Any, run_id: str, bundle: Bundle, places: Sequence[str]) -> None:
    """The history that was learned from as MLflow's data set: its files, rows, columns, period and digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    facts = bundle.manifest.training
    if "sha256" not in facts:
        return
    names = ", ".join(place.rpartition("/")[2] for place in places) or bundle.manifest.use_case
    profile = {
        name: facts[name] for name in ("rows", "positive_rows", "customers", "from", "to") if name in facts
    }
    data = Dataset(
        name=names[:NAME],
        digest=str(facts["sha256"])[:DIGEST],
        source_type="files and tables",
        source=json.dumps({"places": list(places)}),
        schema=json.dumps({"features": list(bundle.manifest.features)}),
        profile=json.dumps({"num_rows": facts.get("rows"), **profile}),
    )
    context = InputTag("mlflow.data.context", "training")
    client.log_inputs(run_id, datasets=[DatasetInput(data, tags=[context])])


def _log_files(client: Any, run_id: str, files: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for path, data in files.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        client.log_artifacts(run_id, folder)


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    yield from (values[at : at + BATCH] for at in range(0, len(values), BATCH))


def flat(nested: Mapping[str, Any], parent: str = "") -> dict[str, Any]:
    """Mappings in mappings as one, with names joined by dots; [low, high] has two such names."""
    flattened: dict[str, Any] = {}
    for name, value in nested.items():
        full = NOT_IN_NAMES.sub("_", f"{parent}{name}")
        if isinstance(value, Mapping):
            flattened |= flat(value, f"{full}.")
        elif isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value)):
            flattened |= {f"{full}.low": value[0], f"{full}.high": value[1]}
        else:
            flattened[full] = value
    return flattened


def numbers(nested: Mapping[str, Any]) -> dict[str, float]:
    """The figures among nested metrics, flat. What is no number (curves, texts) or cannot be had is left out."""
    return {
        name: float(value) for name, value in flat(nested).items() if _is_number(value) and isfinite(value)
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
