"""A run's report: a page that needs nothing else, says first what matters most, and its JSON twin."""

import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from features.usecase import parse
from tests.training.tiny import TEXT, WHEN, rows
from training.build_bundle import build_bundle
from training.champion.comparison import LevelMove, ModelComparison, PairedFigure
from training.champion.gates import GateResult, Verdict
from training.evaluation.evaluate import ONE_EVENT_IS_BAD
from training.evaluation.fairness import ALIKE, APART, MAYBE, OUTCOMES, REFERENCE, SMALL
from training.evaluation.figures import (
    Baseline,
    Calendar,
    CalibrationBin,
    Confusion,
    DailyFigures,
    DatesAlone,
    Decile,
    Earliness,
    Evaluation,
    Importance,
    Point,
    Quantiles,
    SegmentFigures,
    ThresholdFigures,
    UnitFigures,
    WeekFigures,
)
from training.evaluation.promises import Horizon, Promise, ShorterHistory
from training.evaluation.treatment import Fairness, GroupFigures, GroupOutcome
from training.report import levels, words
from training.report.page import SECTIONS, page, report, write
from training.report.run import Run, encoded
from training.statistics.interval import Interval

NAN = float("nan")
NONE = Interval(NAN, NAN, NAN)
VOID = {"area", "base", "br", "col", "hr", "img", "input", "meta", "source", "track", "wbr"}
SIGNAL = "The model ranks customers better than chance: ROC AUC 0.912 [0.880, 0.940]."
NO_SIGNAL = "No signal: the ROC AUC of customers, 0.503 [0.470, 0.540], may be that of chance."
NASTY = "<script>alert('x')</script> & \"Söhne\""
FEATURES = ("paid_count_24h", "paid_sum_24h", "amount")


def around(value):
    return Interval(value, max(value - 0.03, 0), value + 0.03)


def at(threshold, flagged, precision, recall):
    return ThresholdFigures(threshold, flagged, around(precision), around(recall), around(0.6), around(0.05))


def level(about, n, cost=()):
    return UnitFigures(
        about=about, n=n, positives=n // 5, base_rate=0.2,
        roc_auc=around(0.91), average_precision=around(0.7), brier=around(0.1),
        recall_at_fpr={"0.1%": around(0.2), "1%": around(0.4)}, precision_at_k={"10": around(0.9)},
        roc=tuple(Point(x / 10, (x / 10) ** 0.3) for x in range(11)),
        precision_recall=tuple(Point(x / 10, 1 - 0.8 * x / 10) for x in range(11)),
        calibration=tuple(CalibrationBin(x / 10, x / 12, n // 10) for x in range(10)), calibration_error=0.02,
        cost=cost, gain=tuple(Decile(x / 10, (x / 10) ** 0.5, (x / 10) ** -0.5) for x in range(1, 11)),
        at={"medium": at(0.1, n // 4, 0.6, 0.75), "high": at(0.4, n // 10, 0.8, 0.4)},
    )  # fmt: skip


def group(name, n, rate=0.1, finding=ALIKE):
    ratio = None if finding in (SMALL, REFERENCE) else Interval(2.0, 1.4, 3.0)
    outcomes = tuple(
        GroupOutcome(each, n, round(n * rate), around(rate), ratio, finding) for each in OUTCOMES
    )
    return GroupFigures(name, n, n // 5, outcomes, around(0.3), NONE)


def fair(*groups, small=("X",)):
    return Fairness("customer.gender", True, groups[0].group if groups else "", groups, small, 7, 200, (), 8)


LINE = Horizon(0.0, 7.0, 900, 200, 40, 0.3, 0.1, Interval(0.2, 0.15, 0.25), Interval(3.0, 2.5, 3.6))
PROMISE = Promise(
    60.0, False, (LINE,), (LINE,), (ShorterHistory(7.0, 200, 10, 0.3, 0.05, 0.2, Interval(6.0, 4.0, 9.0)),)
)


CURVE = (Point(0.0, 0.0), Point(0.3, 0.8), Point(1.0, 1.0))
COMPARISON = ModelComparison(
    about="customers", customers=200, events=4_000, positives=40, left_out=3,
    thresholds={"champion": {"medium": 0.2, "high": 0.5}, "challenger": {"medium": 0.1, "high": 0.4}},
    pairs=(
        PairedFigure("ROC AUC", around(0.8), around(0.91), Interval(0.11, 0.05, 0.17)),
        PairedFigure("Brier score", around(0.1), around(0.1), Interval(0.0, -0.02, 0.02), lower_is_better=True),
    ),
    roc={"champion": CURVE, "challenger": CURVE}, precision_recall={"champion": CURVE, "challenger": CURVE},
    last_levels=(LevelMove("LOW", "LOW", 150, 10), LevelMove("LOW", "HIGH", 20, 15), LevelMove("HIGH", "LOW", 5, 1),
                 LevelMove("HIGH", "HIGH", 25, 14)),
    highest_levels=(LevelMove("LOW", "LOW", 200, 40),),
    recommended=tuple(LevelMove(a, b, 50, 10) for a in ("no", "yes") for b in ("no", "yes")),
    notes=("the champion has no stand-in",),
)  # fmt: skip


def evaluation(**changes):
    spread = Quantiles(0.01, 0.02, 0.05, 0.1, 0.3)
    medians = {"paid_count_24h": 3.0, "paid_sum_24h": None, "amount": 12.5}
    found = Evaluation(
        decides="customers", has_signal=True, words=SIGNAL,
        customers=level("customers", 200), events=level("events", 4_000),
        earliness=Earliness(40, 30, spread, spread, 0.25),
        weeks=tuple(WeekFigures(f"2026-01-{5 + 7 * w:02}", 900, 90, spread, 0.09 * w, 0.9, None) for w in range(4)),
        importance=tuple(Importance(name, "payments", around(0.1)) for name in FEATURES),
        group_importance=(Importance("", "payments", around(0.3)),),
        fairness=(fair(group("M", 100, 0.2, REFERENCE), group("F", 90)),),
        baselines=(Baseline("the largest amount", around(0.6), around(0.3)),),
        segments=tuple(SegmentFigures(name, 60, 0.3, 20, 1 / 3, medians) for name in ("LOW", "MEDIUM", "HIGH")),
        everyone=dict.fromkeys(FEATURES, 2.0), notes=("One note.",), promise=PROMISE,
    )  # fmt: skip
    return msgspec.structs.replace(found, **changes)


@pytest.fixture(scope="module")
def trained():
    text = TEXT.replace("[hist_gradient_boosting], trees: 30,", "[logistic_regression, xgboost], trees: 20,")
    text = text.replace("state: [ACTIVE, SUSPENDED]", "state: [ACTIVE, SUSPENDED], gender: string")
    use_case = parse(text + "protected: [customer.gender]\n")
    return build_bundle(use_case, rows(), seed=4, created_at=WHEN), use_case


@pytest.fixture(scope="module")
def run(trained):
    return Run.of(*trained, evaluation(), champion="tiny-0", comparison=COMPARISON)


class Reader(HTMLParser):
    """Tags must be balanced; what a page would load, its texts in order, and the places its links lead to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.texts, self.ids, self.links = [], [], [], [], []
        self.headings, self.figures = [], 0
        self.feed(text)
        self.close()
        assert self.open == []
        self.loads += re.findall(r"@import|url\((?!#)[^)]*\)", text)

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attributes)

    def handle_startendtag(self, tag, attributes):
        assert tag not in ("script", "iframe", "object", "embed", "link")
        self.figures += tag == "svg"
        for name, value in attributes:
            assert not name.startswith("on"), "no code in attributes"
            self.ids += [value] if name == "id" and tag == "h2" else []
            if tag == "a" and name == "href":
                self.links.append(value)
            elif name in ("src", "srcset", "data", "poster") or name.endswith("href"):
                self.loads += [] if value.startswith("#") else [value]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        text = " ".join(data.split())
        if text and "style" not in self.open and "svg" not in self.open:
            self.texts.append(text)
        if "h2" in self.open:
            self.headings.append(text)


def test_the_page_is_well_formed_loads_nothing_and_has_every_section(run, tmp_path):
    paths = write(report(run), str(tmp_path / "new"))
    text = Path(paths[0]).read_text()
    assert [Path(path).name for path in paths] == ["report.html", "report.json"]
    assert Path(paths[1]).read_bytes() == encoded(run)
    assert text == page(run), "the same run gives the same page"
    found = Reader(text)
    assert found.loads == [] and "default-src 'none'" in text
    assert found.figures == 10, "four curves, two of weeks, two of importance, fairness"
    assert found.headings == list(SECTIONS.values())
    assert found.ids == list(SECTIONS) and found.links == [f"#{name}" for name in SECTIONS]


def test_gates_and_the_verdict_come_after_whether_there_is_a_signal(trained):
    gates = [
        GateResult("customers", True, "200 customers to judge by", "at least 100"),
        GateResult("signal", False, "ROC AUC 0.503", "an interval above 0.5"),
    ]
    found = evaluation(words=NO_SIGNAL, has_signal=False)
    run = Run.of(*trained, found, gates=gates, verdict=Verdict.REJECTED, champion="tiny-1")
    text = page(run)
    texts = Reader(text).texts
    first = texts.index(NO_SIGNAL)
    assert texts[first - 1].endswith("UTC."), "nothing but the title is above"
    assert texts[first : first + 4] == [
        NO_SIGNAL,
        "The model is rejected. It is not in use.",
        "Gates that failed: signal.",
        "It was compared with the champion tiny-1.",
    ]
    assert '<p class="problem">No signal' in text
    assert "FAILED" in texts and "an interval above 0.5" in texts


def test_a_label_of_events_is_told_by_events_by_day_and_with_its_delay(run):
    lists = {"10": around(0.9), "100": Interval(0.287, 0.26, 0.31)}
    daily = DailyFigures(7, 3_279.0, 50.6, lists, {"10": 1.0, "100": 0.427})
    facts = run.training | {"known_after_days": 7.0, "split": "time: learns from what was known"}
    found = msgspec.structs.replace(
        run, evaluation=evaluation(decides="events", daily=daily), training=facts, targets=TARGETS
    )
    text = " ".join(Reader(page(found)).texts)
    assert "of the 100 most suspicious customers of a day, 28.7% [26.0%, 31.0%] are there rightly" in text
    assert "a day's work list" in text and "perfect scores would reach 42.7%" in text
    assert "100 0.287 [0.260, 0.310] 0.427" in text and "Means over 7 days" in text
    assert "when that is known 7 days after the event" in text and "known 7 days after the event" in text
    assert "by a model that had not seen these events" in text and "Customers may be on both sides" in text
    assert "at most 1% of all events may reach this level" in text
    assert "of the events on this level, at least 80% must be there rightly" in text
    few = msgspec.structs.replace(found.evaluation, daily=DailyFigures(7, 4.0, 0.1, {}, {}))
    text = " ".join(Reader(page(msgspec.structs.replace(found, evaluation=few))).texts)
    assert "too few customers a day" in text and "a day's work list" not in text
    assert "card precision@k" not in " ".join(Reader(page(run)).texts)


TARGETS = {
    "high": {"threshold": 0.4, "target": {"precision": 0.8}, "reached": True},
    "medium": {"threshold": 0.1, "target": {"share": 0.01}, "reached": True},
}


def test_names_are_escaped(run):
    nasty = fair(group("M", 100, finding=REFERENCE), group(NASTY, 90, finding=APART), small=(NASTY,))
    found = evaluation(
        fairness=(nasty,), importance=(Importance(NASTY, NASTY, around(0.1)),), words=NASTY, notes=(NASTY,)
    )
    nasty = {"use_case": NASTY, "positive": (NASTY,)}
    text = page(msgspec.structs.replace(run, evaluation=found, **nasty))
    assert "<script" not in text
    assert f"Training run of {NASTY}" in Reader(text).texts


def test_the_json_is_the_run(run):
    told = msgspec.structs.replace(run, evaluation=evaluation(fairness=()))
    assert msgspec.json.decode(encoded(told), type=Run) == told
    groups = msgspec.json.decode(encoded(run))["evaluation"]["fairness"][0]["groups"]
    assert groups[0]["precision"]["value"] is None, "what cannot be had is null"


def test_the_run_says_what_was_trained(run, trained):
    manifest = trained[0].bundle.manifest
    assert (run.bundle_id, run.thresholds) == (manifest.id, dict(manifest.thresholds))
    assert run.training["model"] == manifest.training["model"]
    assert (run.label, run.positive) == ("customer.state", ("SUSPENDED",))
    assert run.protected == ("customer.gender",) and set(run.meanings) == set(run.features)


def test_it_is_said_why_the_model_was_chosen(run):
    first, second = run.training["model"]["compared"]
    assert {first["candidate"], second["candidate"]} == {"logistic_regression", "xgboost"}
    assert first["candidate"] == run.training["model"]["candidate"] and first["mean"] >= second["mean"]
    name = first["candidate"].replace("_", " ")
    assert words.why(run).startswith(
        f"{name} has the highest mean average precision, {first['mean']:.3f}, in 2 rep"
    )
    assert "nothing was compared" in words.why(with_trials(run, []))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.2, -0.1, "xgboost is worse by more than chance explains."),
        (-0.2, 0.01, "The difference to xgboost may be chance"),
    ],
)
def test_what_a_difference_of_learners_is_worth_is_said_and_shown(run, low, high, said):
    first, second = run.training["model"]["compared"]
    other = second | {"candidate": "xgboost", "difference": {"value": -0.1, "low": low, "high": high}}
    told = with_trials(run, [], compared=[first | {"candidate": "random_forest"}, other])
    assert said in words.why(told)
    assert f"-0.100 [{low:.3f}, {high:.3f}]" in page(told)


def with_trials(run, trials, compared=(), **changes):
    model = run.training["model"] | {"trials": trials, "compared": list(compared)}
    return msgspec.structs.replace(run, training=run.training | {"model": model}, **changes)


def trial(candidate, values, is_complete=True):
    mean = sum(values) / len(values)
    return {
        "candidate": candidate, "parameters": {}, "values": values, "mean": mean, "is_complete": is_complete
    }  # fmt: skip


def test_of_costs_the_lowest_is_the_best(run):
    trials = [
        trial("xgboost", [3.0, 3.2]),
        trial("random_forest", [1.0, 1.1]),
        trial("xgboost", [9.0], False),
    ]
    cheap = with_trials(run, trials, metric="expected_cost 100 5", lower_is_better=True)
    first, second = words.tried(cheap)
    assert (first.candidate, second.candidate) == ("random_forest", "xgboost")
    assert (second.trials, second.given_up) == (2, 1)
    assert "lowest mean expected_cost 100 5" in words.why(cheap)


def test_thresholds_are_told_in_people_and_costs(run):
    found = (
        run.evaluation.customers
    )  # 200, 40 of them positive; HIGH flags 20 and finds 40 % of the positives
    assert words.meaning(found, found.at["high"]) == (
        "Of 1,000 customers like these, about 100 are flagged: 80 rightly, 20 wrongly. "
        "200 of the 1,000 are positive, so 120 are missed."
    )
    assert list(words.costs(run, found)) == []
    found = level("customers", 200, tuple(Point(x / 10, 3 + 10 * abs(x / 10 - 0.3)) for x in range(11)))
    assert list(words.costs(run, found)) == [
        "At the threshold of MEDIUM, one customer costs 5 on average.",
        "At the threshold of HIGH, one customer costs 4 on average.",
        "The least is 3, with a threshold of 0.300.",
    ]
    missed = {"high": run.targets["high"] | {"reached": False}}
    changed = msgspec.structs.replace(
        run, evaluation=evaluation(customers=found), targets=run.targets | missed
    )
    text = page(changed)
    assert Reader(text).figures == 11, "the costs too"
    assert "NO THRESHOLD REACHES THIS" in text


def test_every_figure_of_a_threshold_stands_on_the_page(run):
    high = msgspec.structs.replace(
        at(0.4, 20, 0.8, 0.4), f2=around(0.444), accuracy=around(0.86), confusion=Confusion(16, 4, 24, 156)
    )
    found = level("customers", 200)
    found = msgspec.structs.replace(
        found, at=found.at | {"high": high}, log_loss=around(0.351), ks=around(0.62)
    )
    text = " ".join(Reader(page(msgspec.structs.replace(run, evaluation=evaluation(customers=found)))).texts)
    assert "HIGH customers 0.4000 80.0% [77.0%, 83.0%] 40.0% [37.0%, 43.0%] 0.600 [0.570, 0.630]" in text
    assert "0.444 [0.414, 0.474] 0.860 [0.830, 0.890]" in text
    assert "HIGH customers 20 16 4 24 156" in text
    assert "flagging nobody would reach 80.0% of customers" in text
    assert "log loss (lower is better) 0.351 [0.321, 0.381]" in text
    assert "Kolmogorov-Smirnov (0 is chance, 1 is perfect) 0.620 [0.590, 0.650]" in text


def test_of_few_as_many_are_spoken_of_as_whole_numbers_need():
    found = level("events", 20_000)
    rare = msgspec.structs.replace(found, positives=40)
    flagged = msgspec.structs.replace(at(0.9, 30, 0.5, 0.4), rightly=12)
    assert words.meaning(rare, flagged) == (
        "Of 10,000 events like these, about 15 are flagged: 6 rightly, 9 wrongly. "
        "20 of the 10,000 are positive, so 14 are missed."
    )
    nobody = msgspec.structs.replace(flagged, flagged=0, rightly=0)
    assert words.meaning(found, nobody).startswith(
        "Of 1,000 events like these, about 0 are flagged: 0 rightly"
    )


def test_one_threshold_for_two_levels_and_figures_of_another_threshold_are_told(run):
    apart = msgspec.structs.replace(run, thresholds={"medium": 0.1, "high": 0.4})
    assert "the same threshold" not in page(apart)
    same = msgspec.structs.replace(run, thresholds={"medium": 0.02, "high": 0.02})
    text = page(same)
    assert levels.in_order(same) == ["high", "medium"]
    assert "MEDIUM and HIGH have the same threshold" in text
    assert "The bundle&#39;s is 0.0200, far from it" in text


def test_what_is_said_of_labels_fits_events_too(run):
    of_events = evaluation(decides="events", notes=(ONE_EVENT_IS_BAD,))
    told = " ".join(
        Reader(page(msgspec.structs.replace(run, evaluation=of_events, label_delay_days=7.0))).texts
    )
    assert "4,000 events, 800 of the events positive (20.0%)" in told
    assert "known 7 days after the event. Events whose label has not come yet are left out" in told
    assert "With 800 positive events of 40 positive customers to judge by" in told
    performance = told.partition("Everything here is of scores")[2].partition("counted")[0]
    assert ONE_EVENT_IS_BAD in performance


def test_importance_is_told_as_held_out_and_what_chance_may_give_has_no_measurable_effect(run):
    strong, weak = Interval(0.2, 0.1, 0.3), Interval(0.004, -0.003, 0.011)
    worse = Interval(-0.03, -0.05, -0.01)
    found = evaluation(
        importance=tuple(
            Importance(name, "payments", drop, drop, weak)
            for name, drop in zip(FEATURES, (strong, weak, worse), strict=True)
        )
    )
    text = " ".join(Reader(page(msgspec.structs.replace(run, evaluation=found))).texts)
    assert "scored by a model that had not seen the customer" in text
    assert "1 of 3 features have a measurable effect of their own" in text
    assert "For the one other it holds 0" in text
    assert "These customers are ranked better without what amount tells, which may be chance." in text
    assert "payments 0.200 [0.100, 0.300] 0.004 [-0.003, 0.011] measurable" in text
    assert "payments 0.004 [-0.003, 0.011] 0.004 [-0.003, 0.011] no measurable effect" in text


def test_champion_and_challenger_stand_side_by_side_if_there_is_a_champion(run):
    text = page(run)
    told = " ".join(Reader(text).texts)
    assert "3 customers more judge the challenger" in told and "The champion has no stand-in." in told
    assert "The challenger is measurably better in ROC AUC." in told
    assert (
        "The level after the last event differs for 25 of 200 customers: 20 are higher with the challenger"
        in told
    )
    assert "(15 of them positive), 5 lower (1 positive)." in told
    assert "recommends 50 customers whom the champion does not (10 positive), and not 50 whom" in told
    assert "ROC AUC 0.800 [0.770, 0.830] 0.910 [0.880, 0.940] 0.110 [0.050, 0.170] better" in told
    assert "Brier score (lower is better)" in told and "no measurable difference" in told
    assert "threshold of HIGH 0.5000 0.4000" in told and "20 (15)" in told
    alone = Reader(page(msgspec.structs.replace(run, comparison=None, champion="")))
    assert SECTIONS["comparison"] not in alone.headings and alone.links == [f"#{name}" for name in alone.ids]


def test_what_a_score_promises_stands_in_the_summary_and_what_came_beside_it(run):
    told = " ".join(Reader(page(run)).texts)
    assert "positive by the end of a history as long as the one that judges (60 days)" in told
    assert (
        "After 7 days, 5.0% of the 200 customers who could be observed for so long had turned positive"
        in told
    )
    assert "Their scores of these 7 days say 30.0%: 6.00 times [4.00, 9.00] what had come by then." in told
    assert (
        "0 to 7 days before the end of the history, scores say 30.0% and 10.0% are positive: 3.00 times"
        in told
    )
    assert "A positive customer is taken to have turned positive with its last event." in told
    older = Reader(page(msgspec.structs.replace(run, evaluation=evaluation(promise=None))))
    assert SECTIONS["promise"] not in older.headings and "promise" not in older.ids
    assert older.links == [f"#{name}" for name in older.ids]
    of_events = evaluation(decides="events")
    told = " ".join(Reader(page(msgspec.structs.replace(run, evaluation=of_events))).texts)
    assert "A score is the probability that the event is positive." in told


def test_unequal_groups_are_told_with_their_base_rates_and_small_ones_are_said_to_be_small(run):
    groups = (
        group("M", 100, 0.2, REFERENCE),
        group("F", 90, 0.4, APART),
        group("D", 60, 0.3, MAYBE),
        group("X", 31, 0, SMALL),
    )
    found = msgspec.structs.replace(run, evaluation=evaluation(fairness=(fair(*groups, small=("Y", "Z")),)))
    text = page(found)
    told = " ".join(Reader(text).texts)
    assert (
        "F: recommended 2.00 times [1.40, 3.00] as often as M. That is beyond the four-fifths rule." in told
    )
    assert "Of F, 20.0% are positive, of M, 20.0%: a person has to judge whether that is why." in told
    assert (
        "D: recommended 2.00 times [1.40, 3.00] as often as M. With this few customers it may be chance."
        in told
    )
    assert "Too small to say anything of: Y, Z (7 customers in all)." in told
    assert "too small to say" in told and "0.00 times" not in told
    assert "hold for all 8 comparisons of this section together" in told


def test_a_protected_field_without_values_is_said_in_the_first_lines(run):
    found = evaluation(fairness=(Fairness("customer.gender", True, "", ()),))
    lines = words.first_lines(msgspec.structs.replace(run, evaluation=found))
    assert (
        "No customer that judges has a value of customer.gender: whether the model is fair by that is unknown."
        in lines
    )
    assert not any("customer.gender" in line for line in words.first_lines(run))


def test_dates_that_nobody_knows_in_time_are_told_apart_from_those_that_a_model_can_learn(run):
    auc, precision = Interval(0.9, 0.85, 0.94), Interval(0.7, 0.6, 0.8)
    near = DatesAlone(auc, precision, Interval(-0.02, -0.06, 0.02), True)
    far = DatesAlone(Interval(0.55, 0.47, 0.63), precision, Interval(0.33, 0.2, 0.4), False)
    spread = Quantiles(0.01, 0.02, 0.05, 0.1, 0.3)
    ends = (
        WeekFigures("2026-01-05", 1_000, 630, spread, 0.3, around(0.81), around(0.9), 90, 60),
        WeekFigures("2026-06-22", 2_000, 6, spread, 0.3, around(0.7), around(0.1), 190, 12),
    )
    lines = [
        words.first_lines(
            msgspec.structs.replace(
                run, evaluation=evaluation(calendar=Calendar("customers", near, known), weeks=ends)
            )
        )[1]
        for known in (near, far)
    ]
    assert (
        "as well as the model" in lines[0]
        and "may have learned the calendar, which does not repeat" in lines[0]
    )
    assert "the model never sees it; without it dates reach 0.550 [0.470, 0.630]" in lines[1]
    assert (
        "(the model's is lower by 0.020 [-0.020, 0.060])" in lines[1] and "part of the model" not in lines[1]
    )
    for line in lines:
        assert (
            "Positives are 63.0% of events in the week of 2026-01-05 and 0.3% in the week of 2026-06-22."
            in line
        )
        assert "Figures of later weeks are lower" in line
    calm = evaluation(calendar=Calendar("customers", far, far), weeks=ends)
    assert not any(
        "ates alone" in line for line in words.first_lines(msgspec.structs.replace(run, evaluation=calm))
    )


def test_figures_by_week_stand_beside_the_performance_and_weeks_of_few_positives_have_none(run):
    spread = Quantiles(0.01, 0.02, 0.05, 0.1, 0.3)
    few = WeekFigures("2026-01-12", 2_100, 7, spread, 0.02, None, None, 180, 4)
    many = WeekFigures("2026-01-05", 1_000, 630, spread, 0.3, around(0.81), around(0.9), 90, 60)
    text = Reader(page(msgspec.structs.replace(run, evaluation=evaluation(weeks=(many, few))))).texts
    start, end = text.index(SECTIONS["performance"], 40), text.index(SECTIONS["thresholds"], 40)
    told = " ".join(text[start:end])
    assert "2026-01-05 1,000 630 63.0% 90 60 0.810 [0.780, 0.840] 0.900 [0.870, 0.930]" in told
    assert "2026-01-12 2,100 7 0.3% 180 4 too few too few" in told
    summary = " ".join(text[:start])
    assert (
        "Positives are 63.0% of events in the week of 2026-01-05 and 0.3% in the week of 2026-01-12."
        in summary
    )
    assert "After the week of 2026-01-05 there are too few positive customers" in summary


def test_segments_are_told_in_words_and_units(run):
    medians = {"paid_count_24h": 3.0, "paid_sum_24h": 7_200.0, "amount": 0.125}
    found = evaluation(segments=(SegmentFigures("HIGH", 60, 0.3, 20, 1 / 3, medians),), everyone=medians)
    units = {"paid_sum_24h": "seconds", "amount": "share"}
    texts = Reader(page(msgspec.structs.replace(run, evaluation=found, units=units))).texts
    start = texts.index("What they are like")
    for name, shown in (("paid_count_24h", "3"), ("paid_sum_24h", "2 hours"), ("amount", "12.5%")):
        place = texts.index(name, start)
        assert texts[place - 1 : place + 3] == [run.meanings[name], name, shown, shown]


def test_a_page_can_be_made_of_almost_nothing(run):
    nobody = {name: ThresholdFigures(0.5, 0, NONE, NONE, NONE, NONE) for name in ("medium", "high")}
    unknown = Quantiles(NAN, NAN, NAN, NAN, NAN)
    void = {
        "n": 0,
        "positives": 0,
        "base_rate": NAN,
        "roc_auc": NONE,
        "average_precision": NONE,
        "brier": NONE,
    }
    void |= {"recall_at_fpr": {}, "precision_at_k": {}, "calibration_error": NAN, "at": nobody}
    void |= dict.fromkeys(("roc", "precision_recall", "calibration", "cost", "gain"), ())
    poor = evaluation(
        has_signal=False, words=NO_SIGNAL,
        customers=UnitFigures(about="customers", **void), events=UnitFigures(about="events", **void),
        earliness=Earliness(0, 0, unknown, unknown, NAN),
        weeks=(WeekFigures("2026-01-05", 0, 0, unknown, NAN, None, None),),
        importance=(), group_importance=(), fairness=(Fairness("customer.gender", True, "", ()),),
        baselines=(), segments=(), everyone={}, notes=(), promise=Promise(0.0, False, (), (), ()),
    )  # fmt: skip
    found = Reader(page(msgspec.structs.replace(run, evaluation=poor)))
    assert found.headings == list(SECTIONS.values())
    assert "nan" not in re.split(r"\W+", " ".join(found.texts).lower())
