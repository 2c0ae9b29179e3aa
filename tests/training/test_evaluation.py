"""Evaluation's figures against scikit-learn and naive loops, on scores with ties and customers of unequal size."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from export.onnx import Scorer, convert
from features.usecase import Copy, Feature, Raw, parse
from tests.training.tiny import payments
from training.data.labelled_rows import BadHistory, LabelledRows
from training.evaluation.calibration import calibration
from training.evaluation.curves import ScoredSample, intervals
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.earliness import earliness
from training.evaluation.evaluate import BY_FOLDS, declared_costs, evaluate
from training.evaluation.figures import Evaluation
from training.evaluation.importance import groups_of, importance
from training.evaluation.recommendations import replayed, sentence
from training.evaluation.segments import medians, segment_figures
from training.evaluation.unit_figures import customer_sample, event_sample, gain, unit_figures, widened
from training.evaluation.weeks import week_figures
from training.manifest_facts import metrics as manifest_metrics
from training.models.held_out import HeldOut
from training.report.calendar import summary, warning
from training.statistics.interval import Interval

TEXT = payments(
    "sex: [F, M], plan: [FREE, PAID]",
    """\
features:
  customer:
    aggregates:
      paid: {event: payment, value: amount, statistics: [count, sum], windows: [24h]}
    ratios:
      mean: {numerator: paid.sum.24h, denominator: paid.count.24h}
      share: {numerator: event.amount, denominator: paid.sum.24h}
    attributes:
      plan: {from: customer.plan}
  event: [amount]
label: {from: customer.state, positive: [SUSPENDED]}
protected: [customer.sex]
""",
)
USE_CASE = parse(TEXT)
FEATURES = ("paid_count_24h", "paid_sum_24h", "mean", "share", "plan_FREE", "plan_PAID", "amount")
DAY_US = 86_400_000_000
FROM_US = int(datetime(2026, 3, 4, tzinfo=UTC).timestamp()) * 1_000_000  # a Wednesday
THRESHOLDS = {"medium": 0.3, "high": 0.6}
STRICT = 0.97


def history(seed=5, n=4_000, customers=300, signal=1.5) -> LabelledRows:
    """Some customers have many events, a fifth are positive; the first two columns tell, the others do not."""
    rng = np.random.default_rng(seed)
    customer = (customers * rng.random(n) ** 2).astype(np.int64)
    label = (rng.permutation(customers) < customers // 5)[customer].astype(np.int64)
    vectors = rng.normal(0, 1, (n, len(FEATURES))).astype(np.float32).round(1)
    vectors[:, :2] += signal * label[:, None]
    times_us = FROM_US + rng.integers(0, 40 * DAY_US, n)
    sex = np.array(["F", "M", ""])[rng.choice(3, customers, p=[0.5, 0.3, 0.2])]
    names = np.array([f"c{k}" for k in customer])
    ids = np.arange(n).astype(str)
    return LabelledRows(
        vectors, label, names, times_us, times_us, np.full(n, "payment"), ids, {"customer.sex": sex[customer]}
    )


def held_out(rows: LabelledRows, seed=9) -> HeldOut:
    """Judged by a linear model of other rows of the same make; scores have ties."""
    other = history(seed)
    learner = LogisticRegression(C=1.0).fit(other.vectors, other.label)
    model = convert(learner, len(FEATURES))
    score = Scorer(model).score(rows.vectors).astype(np.float64).round(2)
    return HeldOut(rows, score, THRESHOLDS, model)


@pytest.fixture(scope="module")
def found() -> HeldOut:
    return held_out(history())


@pytest.fixture(scope="module")
def strict(found) -> HeldOut:
    """At a threshold that some positive customers never reach."""
    return replace(found, thresholds={"medium": 0.3, "high": STRICT})


@pytest.fixture(scope="module")
def evaluated(found) -> Evaluation:
    return evaluate(USE_CASE, found, 3, costs=(100.0, 5.0))


def test_the_areas_and_the_brier_score_are_scikit_learns(found):
    customers = HeldOutCustomers.of(found)
    for sample in (event_sample(found, customers), customer_sample(customers)):
        level = unit_figures("events", sample, THRESHOLDS, None, 1)
        given = (sample.label, sample.score, sample.weight)
        for value, theirs in (
            (level.roc_auc, metrics.roc_auc_score),
            (level.average_precision, metrics.average_precision_score),
            (level.brier, metrics.brier_score_loss),
            (level.log_loss, metrics.log_loss),
            (level.ks, largest_distance),
        ):
            expected = theirs(given[0], given[1], sample_weight=given[2])
            assert value.value == pytest.approx(expected, abs=1e-12)
            assert value.low < expected < value.high
        for name, threshold in THRESHOLDS.items():
            flagged = sample.score >= threshold
            precision, recall, f1, _ = metrics.precision_recall_fscore_support(
                sample.label, flagged, sample_weight=sample.weight, average="binary"
            )
            at = level.at[name]
            told = (at.precision.value, at.recall.value, at.f1.value)
            assert told == pytest.approx((precision, recall, f1))
            negative = sample.weight * (1 - sample.label)
            assert at.false_positive_rate.value == pytest.approx(negative[flagged].sum() / negative.sum())
            assert at.flagged == flagged.sum() and at.threshold == threshold
            weighted = {"sample_weight": sample.weight}
            assert at.f2.value == pytest.approx(
                metrics.fbeta_score(sample.label, flagged, beta=2, **weighted)
            )
            assert at.accuracy.value == pytest.approx(
                metrics.accuracy_score(sample.label, flagged, **weighted)
            )
            for each in (at.f2, at.accuracy):
                assert each.low < each.value < each.high
            matrix = metrics.confusion_matrix(sample.label, flagged)
            counted = at.confusion
            assert [
                [counted.true_negatives, counted.false_positives],
                [counted.false_negatives, counted.true_positives],
            ] == matrix.tolist()


def largest_distance(label, score, sample_weight):
    """Kolmogorov-Smirnov, by scikit-learn's ROC curve."""
    false, true, _ = metrics.roc_curve(label, score, sample_weight=sample_weight, drop_intermediate=False)
    return (true - false).max()


def test_a_sure_and_wrong_score_has_a_finite_log_loss():
    label, score = np.array([1, 0, 1, 0]), np.array([0.0, 1.0, 1.0, 0.0])
    sample = ScoredSample(label, score, np.ones(4), np.arange(4))
    found = unit_figures("customers", sample, THRESHOLDS, None, 1)
    assert found.log_loss.value == pytest.approx(metrics.log_loss(label, score))
    assert found.ks.value == 0


def test_recall_at_a_false_positive_rate_is_the_best_of_all_thresholds_that_keep_it(found):
    customers = HeldOutCustomers.of(found)
    sample = customer_sample(customers)
    level = unit_figures("customers", sample, THRESHOLDS, None, 1)
    negatives, positives = sample.score[sample.label == 0], sample.score[sample.label == 1]
    for name, most in (("0.1%", 0.001), ("1%", 0.01), ("5%", 0.05)):
        kept = [t for t in set(sample.score.tolist()) if (negatives >= t).mean() <= most]
        expected = max([(positives >= t).mean() for t in kept], default=0.0)
        assert level.recall_at_fpr[name].value == pytest.approx(expected)


def test_precision_at_k_and_gain_take_of_equal_scores_what_chance_would(found):
    customers = HeldOutCustomers.of(found)
    sample = event_sample(found, customers)
    level = unit_figures("events", sample, THRESHOLDS, None, 1)
    rng = np.random.default_rng(2)
    hits = np.zeros((2_000, len(sample.label)))
    for row in hits:  # equal scores in an order of chance
        row[:] = np.cumsum(sample.label[np.lexsort((rng.random(len(sample.label)), -sample.score))])
    expected = hits.mean(axis=0)
    assert list(level.precision_at_k) == ["10", "50", "100", "500", "1%"]
    for name, k in (("10", 10), ("50", 50), ("100", 100), ("500", 500), ("1%", 40)):
        assert level.precision_at_k[name].value == pytest.approx(expected[k - 1] / k, abs=0.02)
    for decile in gain(sample):
        k = round(decile.share_of_rows * len(sample.label))
        assert decile.share_of_positives == pytest.approx(expected[k - 1] / sample.label.sum(), abs=0.01)
        assert decile.lift == pytest.approx(decile.share_of_positives / decile.share_of_rows)
    few = ScoredSample(*(each[:60] for each in (sample.label, sample.score, sample.weight, sample.customer)))
    assert "100" not in unit_figures("events", few, THRESHOLDS, None, 1).precision_at_k


def test_shares_of_few_customers_have_intervals_that_say_so(found):
    customers = HeldOutCustomers.of(found)
    for sample in (event_sample(found, customers), customer_sample(customers)):
        level = unit_figures("events", sample, {"high": np.sort(sample.score)[-8]}, None, 1)
        top = level.precision_at_k["10"]
        of = len(set(sample.customer[np.argsort(-sample.score, kind="stable")[:10]].tolist()))
        least = binomtest(round(top.value * of), of).proportion_ci(method="wilson")
        assert top.value > 0.8 and top.low <= least.low + 1e-9 and top.high >= least.high - 1e-9
        assert 0 < level.at["high"].precision.low < 0.8, "eight events, of fewer customers"
    assert widened(Interval(1.0, 1.0, 1.0), 10).low == pytest.approx(0.722, abs=0.001)
    assert widened(Interval(0.5, 0.1, 0.9), 1_000) == Interval(0.5, 0.1, 0.9)
    assert np.isnan(widened(Interval(np.nan, np.nan, np.nan), 0).value)


def test_curves_run_through_scikit_learns_points(found):
    customers = HeldOutCustomers.of(found)
    sample = event_sample(found, customers)
    level = unit_figures("events", sample, THRESHOLDS, (100.0, 5.0), 1)
    x, y, _ = metrics.roc_curve(
        sample.label, sample.score, sample_weight=sample.weight, drop_intermediate=False
    )
    assert [(p.x, p.y) for p in level.roc] == [pytest.approx(each) for each in zip(x, y, strict=True)]
    precision, recall, _ = metrics.precision_recall_curve(
        sample.label, sample.score, sample_weight=sample.weight
    )
    expected = list(zip(recall[:-1], precision[:-1], strict=True))[::-1]
    assert [(p.x, p.y) for p in level.precision_recall] == [pytest.approx(each) for each in expected]
    for point in level.cost:
        each = np.where(sample.label == 1, 100.0 * (sample.score < point.x), 5.0 * (sample.score >= point.x))
        assert point.y == pytest.approx(np.average(each, weights=sample.weight))
    assert unit_figures("events", sample, THRESHOLDS, None, 1).cost == ()


def test_a_curve_of_many_points_keeps_its_ends_and_its_area():
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 5_000)
    score = rng.normal(0, 1, 5_000) + label
    level = unit_figures(
        "events", ScoredSample(label, score, np.ones(5_000), np.arange(5_000)), THRESHOLDS, None, 1
    )
    assert len(level.roc) <= 200 and (level.roc[0].y, level.roc[-1].x) == (0.0, 1.0)
    area = np.trapezoid([p.y for p in level.roc], [p.x for p in level.roc])
    assert area == pytest.approx(level.roc_auc.value, abs=0.002)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Scores of positives and negatives are normal and sqrt(2) apart, so the ROC AUC is known: 0.8413."""
    inside = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        customer = rng.integers(0, 150, 400)
        label = (np.arange(150) % 3 == 0)[customer].astype(np.int64)
        score = rng.normal(0, 1, 400) + np.sqrt(2) * label
        auc = intervals(ScoredSample(label, score, np.ones(400), customer), {}, seed)["roc_auc"]
        inside += auc.low <= 0.8413 <= auc.high
    assert inside >= 34  # 38 are expected; fewer than 34 has a chance of about one in a hundred


def test_calibration_bins_hold_neighbours_and_a_true_probability_has_no_error():
    rng = np.random.default_rng(4)
    score = rng.random(50_000)
    label = (rng.random(50_000) < score).astype(np.int64)
    bins, error = calibration(label, score, np.ones(50_000))
    assert len(bins) == 10 and sum(each.n for each in bins) == 50_000 and error < 0.01
    assert [each.mean_score for each in bins] == pytest.approx(np.arange(0.05, 1, 0.1).tolist(), abs=0.01)
    assert all(each.share == pytest.approx(each.mean_score, abs=0.03) for each in bins)
    (only,), apart = calibration(np.array([1, 0, 0, 0]), np.full(4, 0.5), np.array([3.0, 1, 1, 1]))
    assert (only.share, only.n, apart) == (0.5, 4, 0.0)


def test_earliness_is_that_of_a_loop_over_customers(strict):
    events, days, positives = [], [], 0
    for name in sorted(set(strict.rows.customers.tolist())):
        own = [k for k, each in enumerate(strict.rows.customers) if each == name]
        own.sort(key=lambda k: strict.rows.times_us[k])
        if not any(strict.rows.label[k] for k in own):
            continue
        positives += 1
        flagged = [place for place, k in enumerate(own) if strict.score[k] >= STRICT]
        if flagged:
            events.append(len(own) - 1 - flagged[0])
            days.append((strict.rows.times_us[own[-1]] - strict.rows.times_us[own[flagged[0]]]) / DAY_US)
    told = earliness(HeldOutCustomers.of(strict), replayed(strict))
    assert (told.positives, told.caught) == (positives, len(events)) and 0 < len(events) < positives
    assert told.share_never_caught == pytest.approx(1 - len(events) / positives)
    assert told.events_before_last.median == np.median(events)
    assert told.days_before_last.q90 == pytest.approx(np.quantile(days, 0.9))


def test_nobody_caught_has_no_quantiles(found):
    told = earliness(
        HeldOutCustomers.of(found), replayed(replace(found, thresholds={"medium": 0.5, "high": 2.0}))
    )
    assert (told.caught, told.share_never_caught) == (0, 1.0) and np.isnan(told.events_before_last.median)


def test_weeks_begin_on_monday_and_a_shift_is_seen(found):
    told = week_figures(found, HeldOutCustomers.of(found), 3)
    assert [week.start for week in told][:2] == ["2026-03-02", "2026-03-09"]
    assert sum(week.n for week in told) == 4_000 and all(week.roc_auc.low > 0.7 for week in told)
    assert max(week.psi for week in told) < 0.1
    late = found.rows.times_us >= FROM_US + 33 * DAY_US
    shifted = replace(found, score=np.where(late, np.minimum(found.score + 0.2, 1.0), found.score))
    assert week_figures(shifted, HeldOutCustomers.of(shifted), 3)[-1].psi > 0.25


def test_a_week_counts_each_customer_as_one_and_measures_nothing_of_few(found):
    """Nine customers stay positive in the last week, which is one too few."""
    names = found.rows.customers
    late = found.rows.times_us >= FROM_US + 33 * DAY_US
    positive = np.unique(names[late & (found.rows.label == 1)])
    label = np.where(late & ~np.isin(names, positive[:9]), 0, found.rows.label)
    *others, last = week_figures(
        replace(found, rows=replace(found.rows, label=label)), HeldOutCustomers.of(found), 3
    )
    assert (last.positive_customers, last.roc_auc, last.average_precision) == (9, None, None)
    assert last.customers == len(np.unique(names[late])) and last.share_positive == label[late].mean()
    rows = (found.rows.times_us >= FROM_US + 5 * DAY_US) & (found.rows.times_us < FROM_US + 12 * DAY_US)
    _, customer, count = np.unique(names[rows], return_inverse=True, return_counts=True)
    expected = metrics.average_precision_score(
        found.rows.label[rows], found.score[rows], sample_weight=1 / count[customer]
    )
    measured = others[1].average_precision
    assert measured.value == pytest.approx(expected) and measured.low < expected < measured.high


def test_groups_are_what_features_are_made_of():
    assert USE_CASE.features == FEATURES
    assert [groups_of(USE_CASE, feature)[0] for feature in USE_CASE.table] == [
        "customer.paid", "customer.paid", "customer.paid", "event.amount", "customer.plan", "customer.plan",
        "event.amount",
    ]  # fmt: skip


def test_importance_is_of_what_tells(found):
    features, groups = importance(USE_CASE, found, HeldOutCustomers.of(found), True, 1, lambda _: None)
    assert {each.feature for each in features[:2]} == {"paid_count_24h", "paid_sum_24h"}
    assert features[1].drop.low > 0.01 and all(abs(each.drop.value) < 0.02 for each in features[2:])
    assert all(each.drop.low <= each.drop.value <= each.drop.high for each in features)
    assert groups[0].group == "customer.paid" and len(groups) == 3
    assert groups[0].drop.value > features[0].drop.value + features[1].drop.value / 2


def test_segments_are_levels_by_the_highest_score(found):
    customers = HeldOutCustomers.of(found)
    made = replayed(found)
    told, everyone = segment_figures(USE_CASE, found, customers, made)
    assert [each.level for each in told] == ["LOW", "MEDIUM", "HIGH"]
    everybody = len(set(found.rows.customers.tolist()))
    assert sum(each.customers for each in told) == sum(each.ever for each in told) == everybody
    assert told[2].ever == (customers.peak >= 0.6).sum() > told[2].customers == (made.last_level == 2).sum()
    assert told[0].bad_rate < told[2].bad_rate
    own = [np.flatnonzero(customers.of_row == k) for k in range(len(customers))]
    last = [rows[np.argmax(found.rows.times_us[rows])] for rows in own]
    assert everyone["amount"] == np.median(found.rows.vectors[last, 6])


def test_of_what_is_true_or_not_segments_have_the_share_of_which_it_is_true(found):
    vip, amount = Feature("vip", "", Copy(Raw(-1)), "vip", (), "", choice="true"), USE_CASE.table[6]
    vectors = np.array([[1, 5], [0, 1], [0, 2], [np.nan, np.nan]], np.float32)
    assert medians((vip, amount), vectors) == {"vip": pytest.approx(1 / 3), "amount": 2}
    assert medians((vip, amount), vectors[3:]) == {"vip": None, "amount": None}


def test_those_flagged_rightly_are_counted(evaluated, found):
    for name, at in evaluated.events.at.items():
        is_flagged = found.score >= found.thresholds[name]
        assert (at.flagged, at.rightly) == (is_flagged.sum(), found.rows.label[is_flagged].sum())


def test_an_evaluation_says_what_the_model_does_and_is_json(evaluated, found):
    assert evaluated.decides == "customers" and evaluated.has_signal
    assert evaluated.words.startswith("The scores tell positive customers from others (ROC AUC of customers ")
    recommended = evaluated.recommendations
    assert evaluated.words.endswith(sentence(recommended)) and recommended.ever.rightly > 10
    assert len(evaluated.customers.cost) > 2 and len(evaluated.events.cost) > 2
    assert msgspec.json.decode(msgspec.json.encode(evaluated), type=Evaluation) == evaluated
    assert evaluate(USE_CASE, found, 3, costs=(100.0, 5.0)) == evaluated


def test_where_dates_tell_nothing_the_report_is_calm_about_them(evaluated):
    assert evaluated.calendar.about == "customers" and not evaluated.calendar.is_near
    assert warning(evaluated) == "" and "the model's is higher by 0." in summary(evaluated)


def test_where_the_label_follows_the_calendar_the_first_lines_say_so_and_what_follows(found):
    """Positive customers have events in the first weeks only, and what the model looks at grows with time."""
    rows = history(signal=0.0)
    early = rows.times_us < FROM_US + 12 * DAY_US
    rows = rows[early | (rows.label == 0) | (np.arange(len(rows)) % 40 == 0)]
    rows.vectors[:, 0] = (FROM_US - rows.times_us) / (10 * DAY_US)
    learner = LogisticRegression().fit(rows.vectors, rows.label)
    score = learner.predict_proba(rows.vectors)[:, 1]
    dated = evaluate(USE_CASE, replace(found, rows=rows, score=score), 3)
    assert dated.calendar.known_dates.is_near and dated.calendar.known_dates.tells
    told = warning(dated)
    assert told.startswith("Dates alone rank customers ") and "which does not repeat" in told
    first, last = dated.weeks[0], dated.weeks[-1]
    assert first.share_positive > 3 * last.share_positive
    assert f"Positives are {first.share_positive:.1%} of events in the week of 2026-03-02" in told
    assert "too few positive customers to measure" in told or "Figures of later weeks are lower" in told


def test_shuffled_labels_have_no_signal_and_the_first_words_say_so(found):
    customers = HeldOutCustomers.of(found)
    label = np.random.default_rng(8).permutation(customers.label)[customers.of_row]
    noise = replace(found, rows=replace(found.rows, label=label))
    told = evaluate(USE_CASE, noise, 3)
    for level in (told.customers, told.events):
        assert level.roc_auc.low < 0.5 < level.roc_auc.high
    assert not told.has_signal and told.words.startswith("No signal: the scores tell positive customers")


def test_one_label_alone_is_refused(found):
    rows = replace(found.rows, label=np.zeros_like(found.rows.label))
    with pytest.raises(BadHistory, match="all negative"):
        evaluate(USE_CASE, replace(found, rows=rows), 3)


def test_notes_tell_scores_of_folds_from_those_of_one_model(evaluated, found):
    of_folds = replace(found, models=(found.model,) * 2, model_of_row=np.arange(len(found.score)) % 2)
    assert BY_FOLDS in evaluate(USE_CASE, of_folds, 3).notes
    assert BY_FOLDS not in evaluated.notes


def test_a_label_of_single_events_is_decided_by_events_and_none_flagged_is_said(found):
    of_event = parse(TEXT.replace("at: time}", "at: time, bad: boolean}").replace(
        "{from: customer.state, positive: [SUSPENDED]}", "{from: payment.bad, positive: [true]}"))  # fmt: skip
    told = evaluate(of_event, replace(found, thresholds={"medium": 0.5, "high": 2.0}), 3)
    assert told.decides == "events" and "the policy recommends none of 300 customers" in told.words
    assert told.events.at["high"].flagged == 0 and np.isnan(told.events.at["high"].precision.value)
    assert told.segments[2].customers == 0 and told.segments[2].medians["amount"] is None
    assert b'"precision":{"value":null' in msgspec.json.encode(told)
    assert any(note.startswith("The label is of single events") for note in told.notes)


def test_figures_and_intervals_are_those_of_the_manifest(evaluated, found):
    manifest = manifest_metrics(found, 3)
    for level, theirs in (
        (evaluated.customers, manifest["customers"]),
        (evaluated.events, manifest["assessments"]),
    ):
        for name in ("roc_auc", "average_precision", "brier"):
            assert msgspec.structs.asdict(getattr(level, name)) == pytest.approx(theirs[name])


def test_costs_of_the_use_case_are_used_when_no_others_are_given():
    costly = parse(TEXT + "model: {metric: {expected_cost: {miss: 100, false_alarm: 5}}}\n")
    assert declared_costs(costly) == (100.0, 5.0) and declared_costs(USE_CASE) is None
    for miss, found in (("7", (7.0, 2.0)), ("paid_sum_24h", None)):
        policy = f"policy: {{high: {{expected_cost: {{miss: {miss}, false_alarm: 2}}}}}}\n"
        assert declared_costs(parse(TEXT + policy)) == found
