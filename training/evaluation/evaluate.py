"""All figures of a trained model from the rows that judge it, and in its first words whether there is any signal.

There is none unless chance is outside both intervals of the level that decides: customers when the label is a
customer's, events when it is an event's.
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
from training.progress import Progress
from training.statistics.interval import Interval

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
    progress: Progress = lambda _: None,
) -> Evaluation:
    """`costs` are those of a miss and of a false alarm; by default those of the use case's metric, if it has any.

    Raises BadHistory if all customers judged have one label, BadUseCase (`model`).
    """
    costs = costs or declared_costs(use_case)
    customers = HeldOutCustomers.of(held_out)
    decides = "events" if label_is_of_event(use_case) else "customers"
    progress("evaluating: figures with intervals")
    made, thresholds = replayed(held_out), held_out.thresholds
    flagged = customer_sample(customers, sustained(held_out)) if decides == "customers" else None
    levels = {
        "customers": unit_figures("customers", customer_sample(customers), thresholds, costs, seed, flagged),
        "events": unit_figures("events", event_sample(held_out, customers), thresholds, costs, seed),
    }
    features, groups = importance(use_case, held_out, customers, decides == "events", seed, progress)
    progress("evaluating: fairness, baselines and segments")
    fair = fairness(use_case, held_out, customers, made)
    compared, unmeasured = baselines(use_case, held_out, customers, decides == "customers", seed)
    found, everyone = segment_figures(use_case, held_out, customers, made)
    deciding, recommended = levels[decides], recommendations(held_out, customers, made)
    return Evaluation(
        decides=decides,
        has_signal=has_signal(deciding),
        words=words(deciding, recommended),
        customers=levels["customers"],
        events=levels["events"],
        earliness=earliness(customers, made),
        weeks=week_figures(held_out, customers, seed),
        importance=features,
        group_importance=groups,
        fairness=fair,
        baselines=compared,
        segments=found,
        everyone=everyone,
        notes=(*_notes(held_out, customers, decides), *unmeasured),
        daily=daily_figures(held_out, customers, seed) if decides == "events" else None,
        calendar=calendar_alone(
            held_out.rows.times_us,
            held_out.rows.label,
            customers.of_row,
            seed,
            by_event=decides == "events",
            score=held_out.score,
        ),
        recommendations=recommended,
        promise=promise(use_case, held_out, customers),
    )


def declared_costs(use_case: UseCase) -> Costs | None:
    """Costs of a miss and of a false alarm as `metric` or a level of `policy` has them: `{expected_cost: {...}}`.

    Those of `metric` come first; a level whose miss costs what a feature says has no one cost.
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


def has_signal(level: UnitFigures) -> bool:
    """Chance is outside both intervals."""
    return level.roc_auc.low > 0.5 and level.average_precision.low > level.base_rate


def words(level: UnitFigures, recommended: Recommendations) -> str:
    """The first line of a report: whether there is any signal, and what comes of the recommendations if there is."""
    measured = (
        f"ROC AUC of {level.about} {_told(level.roc_auc)}, where chance gives 0.5; average precision "
        f"{_told(level.average_precision)}, where chance gives {level.base_rate:.3f}"
    )
    if not has_signal(level):
        return f"No signal: the scores tell positive {level.about} from others no better than chance may ({measured})."
    return f"The scores tell positive {level.about} from others ({measured}). {sentence(recommended)}"


def _told(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _notes(held_out: HeldOut, customers: HeldOutCustomers, decides: str) -> list[str]:
    positives = int(customers.label.sum())
    found = [ONE_EVENT_IS_BAD if decides == "events" else WEIGHED]
    if len(held_out.by_model()) > 1:
        found.append(BY_FOLDS)
    most = MOST_EVENTS if decides == "events" else MOST_ROWS
    if len(held_out.score) > most:
        which = "" if decides == "events" else ", of each the latest and an even part of the others"
        found.append(f"Importance is measured on about {most:,} events of customers drawn by chance{which}.")
    if positives < FEW_POSITIVES:
        found.append(f"Only {positives} customers are positive, so all figures are rough.")
    return found
