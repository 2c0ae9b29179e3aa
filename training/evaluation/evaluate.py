"""All figures of a trained model on held-out rows, and a first sentence that says whether there is any signal.

There is a signal if chance lies outside both intervals of the unit that decides: customers if the label is a
customer's, events if it is an event's.
"""

from export.policy import terms
from features.usecase import UseCase
from training.data.splits import label_is_of_event
from training.evaluation.baselines import baselines
from training.evaluation.calendar import calendar_alone
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.daily import daily_figures
from training.evaluation.earliness import earliness
from training.evaluation.fairness import fairness
from training.evaluation.figures import Evaluation, Recommendations, UnitFigures
from training.evaluation.horizons import promise
from training.evaluation.importance import MOST_EVENTS, MOST_ROWS, importance
from training.evaluation.recommendations import recommendations, replayed, sentence, sustained
from training.evaluation.segments import segment_figures
from training.evaluation.unit_figures import Costs, customer_sample, event_sample, unit_figures
from training.evaluation.weeks import week_figures
from training.models.held_out import HeldOut
from training.models.parameters import Parameters
from training.progress import Progress, silent

FEW_POSITIVES = 30  # below, intervals are wide and the bootstrap's are too narrow
WEIGHED = (
    "In figures of events all events of a customer together weigh as much as one customer; counts, the precision "
    "of the highest scores, the gain and the PSI take events one by one."
)
ONE_EVENT_IS_BAD = (
    "The label is of single events: each event counts as one, and thresholds are chosen by events. In figures of "
    "customers, a customer with at least one positive event is positive, and earliness counts from the first event "
    "flagged, whichever it is."
)
BY_FOLDS = (
    "The scores are those of folds, each by a model that had not seen the customer; the bundle holds one that has "
    "learned from all of them. The thresholds were chosen on the same scores, which flatters the figures at them. "
    "Recommendations, segments and earliness are by thresholds that other customers gave."
)


def evaluate(
    use_case: UseCase,
    held_out: HeldOut,
    seed: int,
    costs: Costs | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Measure everything about a model on its held-out rows.

    `costs` of a miss and of a false alarm are by default those of the use case's metric, if it has any. Raises
    BadHistory if all held-out customers have one label, BadUseCase (`model`).
    """
    customers, rows = HeldOutCustomers.of(held_out), held_out.rows
    by_event = label_is_of_event(use_case)
    decides = "events" if by_event else "customers"
    progress("evaluating: figures with intervals")
    decisions = replayed(held_out)
    by_unit = _by_unit(held_out, customers, by_event, costs or declared_costs(use_case), seed)
    features, groups = importance(use_case, held_out, customers, by_event, seed, progress)
    progress("evaluating: fairness, baselines and segments")
    compared, unmeasured = baselines(use_case, held_out, customers, not by_event, seed)
    segments, everyone = segment_figures(use_case, held_out, customers, decisions)
    deciding, recommended = by_unit[decides], recommendations(held_out, customers, decisions)
    return Evaluation(
        decides=decides,
        has_signal=has_signal(deciding),
        words=first_sentence(deciding, recommended),
        **by_unit,
        earliness=earliness(customers, decisions),
        weeks=week_figures(held_out, customers, seed),
        importance=features,
        group_importance=groups,
        fairness=fairness(use_case, held_out, customers, decisions),
        baselines=compared,
        segments=segments,
        everyone=everyone,
        notes=(*_notes(held_out, customers, decides), *unmeasured),
        daily=daily_figures(held_out, customers, seed) if by_event else None,
        calendar=calendar_alone(
            rows.times_us, rows.label, customers.of_row, seed, by_event=by_event, score=held_out.score
        ),
        recommendations=recommended,
        promise=promise(use_case, held_out, customers),
    )


def _by_unit(
    held_out: HeldOut, customers: HeldOutCustomers, by_event: bool, costs: Costs | None, seed: int
) -> dict[str, UnitFigures]:
    """Measure the scores of customers and those of events."""
    thresholds = held_out.thresholds
    sustained_sample = None if by_event else customer_sample(customers, sustained(held_out))
    return {
        "customers": unit_figures(
            "customers", customer_sample(customers), thresholds, costs, seed, sustained_sample
        ),
        "events": unit_figures("events", event_sample(held_out, customers), thresholds, costs, seed),
    }


def declared_costs(use_case: UseCase) -> Costs | None:
    """Return the costs of a miss and of a false alarm from `{expected_cost: {...}}` of `metric` or of a policy's level.

    Those of `metric` come first. A level whose miss costs the value of a feature has no single cost. None without any.
    """
    metric = Parameters.of(use_case.model, use_case.file).metric
    if metric.name == "expected_cost":
        miss, false_alarm = metric.numbers
        return miss, false_alarm
    policy = terms(use_case.policy, use_case.file)
    for target in (policy.high, policy.medium):
        if target.kind == "expected_cost" and not isinstance(target.miss, str):
            return target.miss, target.false_alarm
    return None


def has_signal(unit: UnitFigures) -> bool:
    """Return True if chance lies outside both intervals."""
    return unit.roc_auc.low > 0.5 and unit.average_precision.low > unit.base_rate


def first_sentence(unit: UnitFigures, recommended: Recommendations) -> str:
    """Say whether there is any signal, and if so what the recommendations are worth."""
    measured = (
        f"ROC AUC of {unit.about} {unit.roc_auc}, where chance gives 0.5; average precision "
        f"{unit.average_precision}, where chance gives {unit.base_rate:.3f}"
    )
    if not has_signal(unit):
        return f"No signal: the scores tell positive {unit.about} from others no better than chance may ({measured})."
    return f"The scores tell positive {unit.about} from others ({measured}). {sentence(recommended)}"


def _notes(held_out: HeldOut, customers: HeldOutCustomers, decides: str) -> list[str]:
    positives = int(customers.label.sum())
    notes = [ONE_EVENT_IS_BAD if decides == "events" else WEIGHED]
    if len(held_out.by_model()) > 1:
        notes.append(BY_FOLDS)
    most = MOST_EVENTS if decides == "events" else MOST_ROWS
    if len(held_out.score) > most:
        which = "" if decides == "events" else ", of each the latest and an even part of the others"
        notes.append(f"Importance is measured on about {most:,} events of customers drawn by chance{which}.")
    if positives < FEW_POSITIVES:
        notes.append(f"Only {positives} customers are positive, so all figures are rough.")
    return notes
