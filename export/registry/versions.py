"""The registry: every bundle of a use case as a version of one MLflow model, with what is known about it.

    run                  parameters, metrics (an interval's ends too), report, the bundle's files, data set, user,
                         commit; a run below it for each trial (export/registry/runs.py)
    version              its source is the run's copy of the bundle; tags say which bundle, and what became of it
    alias champion       the version in use; challenger: the one in shadow, waiting for approval

Kept in ROOT/mlflow.db and ROOT/mlruns, or where MLFLOW_TRACKING_URI says. It is a book about bundles: a
running job reads ROOT's pointers and never asks here. MLflow is part of the training installation only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from export import storage
from export.bundle import Bundle, check_use_case
from export.registry import runs
from export.registry.runs import CHOICE, Child, ModelOrigin, RunContents, flat, numbers
from export.registry.tracking import asking, client, files_beside, tracking_uri
from features.errors import BadInput

CHAMPION, CHALLENGER = "champion", "challenger"
KEPT_CHAMPIONS = 100  # how far back rollbacks reach; a tag has room for many more
FAILED_GATE = "failed_gate."  # begins the tags of gates that a version failed; what was found is the value
DESPITE = "approved_despite"  # tag: the failed gates that a person accepted, by name
MOST_CHARACTERS = 1_000  # of what a gate found; MLflow refuses tags of more than 5,000
LINE = "champions"  # tag of the registered model: ids of bundles, the latest last


class UnknownVersion(BadInput):
    """There is no version with which this could be done; the message says which there are."""


@dataclass(frozen=True)
class ModelVersion:
    """One bundle in the registry. `outcome` is what became of it: retired, rolled back, rejected, superseded."""

    number: int
    bundle_id: str
    fingerprint: str
    data_sha256: str
    created_at: str  # of the bundle, RFC 3339, UTC
    run_id: str
    aliases: tuple[str, ...] = ()
    outcome: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """champion, waiting (as challenger), what became of it, or just registered."""
        if CHAMPION in self.aliases:
            return CHAMPION
        return "waiting" if CHALLENGER in self.aliases else self.outcome or "registered"

    @cached_property
    def failed_gates(self) -> Mapping[str, str]:
        """Findings of the failed gates by name; a version rejected without any failed the gate `rejected`."""
        failed = {
            name.removeprefix(FAILED_GATE): outcome
            for name, outcome in self.tags.items()
            if name.startswith(FAILED_GATE)
        }
        if not failed and self.tags.get("outcome") == "rejected":
            return {"rejected": self.tags.get("rejected_because", "no reason is kept")}
        return failed

    @property
    def accepted_gates(self) -> tuple[str, ...]:
        """The failed gates that a person accepted."""
        return tuple(filter(None, self.tags.get(DESPITE, "").split(", ")))


class Registry:
    """The versions of one use case's models. Raises RegistryUnavailable, in every method."""

    def __init__(self, root: str, use_case: str, new: bool = False) -> None:
        """`new` makes the folder of an SQLite registry where there is none yet."""
        self.root, self.name, self.uri = root, use_case, tracking_uri(root)
        self._client = client(self.uri, new)

    def record(
        self,
        bundle: Bundle,
        facts: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
        failed_gates: Mapping[str, str] | None = None,
        origin: ModelOrigin | None = None,
        children: Sequence[Child] = (),
    ) -> ModelVersion:
        """Registers a bundle, promoting nothing; one that is registered already stays as it is.

        Raises BundleMismatch for a bundle of another use case.

        `facts` are parameters and `metrics` figures beside those of the manifest, nested as they may be;
        `artifacts` are files by their path in the run (`report.html`, `plots/lift.png`); `failed_gates` says by gate
        what was found; `children` are runs below the bundle's own, one for each trial.
        """
        check_use_case(bundle, self.name)
        manifest = bundle.manifest
        known = next((one for one in self.versions() if one.bundle_id == manifest.id), None)
        if known:
            return known
        tags = {
            "use_case": manifest.use_case,
            "fingerprint": manifest.fingerprint,
            "bundle": manifest.id,
            "folder": storage.join(self.root, manifest.id),
            "created_at": manifest.created_at,
            "data_sha256": str(manifest.training.get("sha256", "")),
        }
        tags |= {
            f"{FAILED_GATE}{name}": text[:MOST_CHARACTERS] for name, text in (failed_gates or {}).items()
        }
        said = {"seed": manifest.seed, "versions": manifest.versions, "training": manifest.training}
        parameters = {name: v for name, v in flat({**said, **(facts or {})}).items() if name not in CHOICE}
        figures = numbers({**manifest.metrics, "thresholds": manifest.thresholds}) | numbers(metrics or {})
        with asking(self.uri):
            entry = RunContents(tags, parameters, figures, artifacts or {}, origin, children)
            run_id, source = runs.write(self._client, self._experiment(), bundle, entry)
            self._model()
            self._client.create_model_version(self.name, source, run_id, tags=tags)
        return self.find(manifest.id)

    def versions(self) -> list[ModelVersion]:
        """All of them, the latest first."""
        with asking(self.uri):
            registered = self._client.search_model_versions(f"name='{self.name}'", max_results=10_000)
            aliases = dict(self._model().aliases) if registered else {}
        of_number: dict[int, list[str]] = {}
        for alias, number in aliases.items():
            of_number.setdefault(int(number), []).append(alias)
        versions = [_version(one, tuple(of_number.get(int(one.version), ()))) for one in registered]
        return sorted(versions, key=lambda one: one.number, reverse=True)

    def find(self, wanted: str) -> ModelVersion:
        """A version by its number or its bundle's id. Raises UnknownVersion."""
        versions = self.versions()
        version = next((one for one in versions if wanted in (str(one.number), one.bundle_id)), None)
        if version:
            return version
        there = ", ".join(f"{one.number} ({one.bundle_id})" for one in versions) or "none"
        raise UnknownVersion(
            f"{self.name}: found no version {wanted!r}, expected one of those registered: {there}"
        )

    def holder(self, alias: str) -> ModelVersion | None:
        """The version that has the alias."""
        return next((one for one in self.versions() if alias in one.aliases), None)

    def metrics(self, version: ModelVersion) -> dict[str, float]:
        """Figures of a version's run, by flat names: `customers.roc_auc.value`, `customers.roc_auc.low` ..."""
        with asking(self.uri):
            return dict(self._client.get_run(version.run_id).data.metrics)

    def give(self, alias: str, version: ModelVersion) -> None:
        """The alias is this version's from now on."""
        with asking(self.uri):
            self._client.set_registered_model_alias(self.name, alias, str(version.number))

    def take(self, alias: str) -> None:
        """The alias is nobody's from now on."""
        with asking(self.uri):
            self._client.delete_registered_model_alias(self.name, alias)

    def tag(self, version: ModelVersion, **tags: str) -> None:
        """Tags of the version, and of its run, where people look at experiments."""
        with asking(self.uri):
            for name, value in tags.items():
                self._client.set_model_version_tag(self.name, str(version.number), name, value)
                self._client.set_tag(version.run_id, name, value)

    def line(self) -> list[str]:
        """The ids of all champions, the latest last; one that was rolled back is no longer among them."""
        with asking(self.uri):
            return str(self._model().tags.get(LINE, "")).split()

    def set_line(self, bundle_ids: list[str]) -> None:
        with asking(self.uri):
            line = " ".join(bundle_ids[-KEPT_CHAMPIONS:])
            self._client.set_registered_model_tag(self.name, LINE, line)

    def _model(self) -> Any:
        """The registered model; it is made when first asked for."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return self._client.create_registered_model(self.name)

    def _experiment(self) -> str:
        """The experiment of the use case's runs; beside an embedded registry it keeps its files there too."""
        experiment = self._client.get_experiment_by_name(self.name)
        if experiment:
            return str(experiment.experiment_id)
        files = files_beside(self.uri)
        return str(self._client.create_experiment(self.name, artifact_location=files))


def _version(registered: Any, aliases: tuple[str, ...]) -> ModelVersion:
    tags = dict(registered.tags)
    return ModelVersion(
        number=int(registered.version),
        bundle_id=tags.get("bundle", ""),
        fingerprint=tags.get("fingerprint", ""),
        data_sha256=tags.get("data_sha256", ""),
        created_at=tags.get("created_at", ""),
        run_id=registered.run_id,
        aliases=aliases,
        outcome=tags.get("outcome"),
        tags=tags,
    )
