"""One training run as a frozen value: the subject of a report, and the report's JSON.

Shares and probabilities are in 0..1, times are texts in RFC 3339 (UTC). What cannot be had is null in the JSON.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from features.usecase import UseCase, feature_rows
from training.build_bundle import BuiltBundle
from training.champion.comparison import ModelComparison
from training.champion.gates import GateResult
from training.evaluation.figures import Evaluation
from training.models.parameters import Parameters

DAY_US = 86_400_000_000


class ReportedGate(Struct, frozen=True):
    """A gate that a run had to pass before it may be used."""

    name: str
    passed: bool
    found: str
    expected: str


class Run(Struct, frozen=True, kw_only=True):
    """A bundle, what it was made of and how good it is."""

    use_case: str
    subject: str  # whose risk is scored
    bundle_id: str
    created_at: str
    seed: int
    versions: dict[str, str]
    training: dict[str, Any]  # the manifest's: rows, customers, from, to, split, cleaning, model ...
    thresholds: dict[str, float]  # that the bundle carries, by level
    targets: dict[str, Any]  # by level: what the policy asked of its threshold, and whether it was reached
    policy: dict[str, Any]  # the use case's, as written
    parity: float  # the most by which a score of the bundle differs from the learner's
    features: tuple[str, ...]
    meanings: dict[str, str]  # by feature
    units: dict[str, str] = {}  # by feature: seconds, years, or share of what is true or not
    label: str  # the field that says it
    positive: tuple[str, ...]  # its values that mean positive
    label_delay_days: float  # how long after the event the label is known
    protected: tuple[str, ...]  # fields that no feature may use
    evaluation: Evaluation
    metric: str
    lower_is_better: bool
    gates: tuple[ReportedGate, ...] = ()
    verdict: str = ""  # promoted, waiting, rejected; empty if nobody has judged it
    champion: str = ""  # the bundle it was compared with
    comparison: ModelComparison | None = None  # with it

    @classmethod
    def of(
        cls,
        trained: BuiltBundle,
        use_case: UseCase,
        evaluation: Evaluation,
        *,
        gates: Iterable[GateResult] = (),
        verdict: str = "",
        champion: str = "",
        comparison: ModelComparison | None = None,
    ) -> "Run":
        """Raises BadUseCase (`model`)."""
        manifest, label = trained.bundle.manifest, use_case.label
        metric = Parameters.of(use_case.model, use_case.file).metric
        return cls(
            use_case=use_case.name,
            subject=use_case.subject,
            bundle_id=manifest.id,
            created_at=manifest.created_at,
            seed=manifest.seed,
            versions=dict(manifest.versions),
            training=_plain(manifest.training),
            thresholds=dict(manifest.thresholds),
            targets=_plain(manifest.metrics["levels"]),
            policy=_plain(use_case.policy),
            parity=float(manifest.metrics["parity"]),
            features=manifest.features,
            meanings={row.feature: row.meaning for row in feature_rows(use_case)},
            units={each.name: "share" if each.choice else each.unit for each in use_case.table},
            label=f"{label.event_type}.{label.field}" if label else "",
            positive=tuple(str(value) for value in label.positive) if label else (),
            label_delay_days=_delay_us(use_case) / DAY_US,
            protected=tuple(sorted(".".join(each) for each in use_case.protected)),
            evaluation=evaluation,
            metric=str(metric),
            lower_is_better=metric.lower_is_better,
            gates=tuple(ReportedGate(gate.name, gate.passed, gate.found, gate.expected) for gate in gates),
            verdict=str(verdict),
            champion=champion,
            comparison=comparison,
        )


def _delay_us(use_case: UseCase) -> int:
    """Return the time from an event to its label, whose own event may arrive later than the time it holds."""
    label = use_case.label
    if label is None:
        return 0
    return label.delay_us + (use_case.event_types[label.event_type].time_offset_us if label.event else 0)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(dict(values))
    return plain


def encoded(run: Run) -> bytes:
    """The JSON, with NaN as null."""
    return msgspec.json.format(msgspec.json.encode(run), indent=1)
