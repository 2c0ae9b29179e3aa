"""Features to begin with: windows that fit the span of the data, amounts, counts, latest values, the event itself."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from features.times import DAY_US, clock
from features.usecase import DERIVED, Kind
from training.draft.kinds import BIRTH, Guess
from training.draft.roles import File, Roles
from training.draft.yaml_text import flow, line

HOUR_US = 3_600_000_000
WINDOWS = {"1h": HOUR_US, "24h": DAY_US, "7d": 7 * DAY_US, "30d": 30 * DAY_US, "90d": 90 * DAY_US}
FITTING = 2  # times that a window lies in the span of the data, at least
MAX_WINDOWS, MAX_AMOUNTS, MAX_DISTINCT = 3, 4, 2
MAX_COLUMNS = 10  # of one category: each value is a feature
PROFILE_ROWS = 1.2  # rows a customer, at most, in a file that describes customers
PROTECTED = re.compile(
    r"(^|_)(gender|sex|genero|race|ethnic\w*|religion|nationality|citizenship|marital\w*|disab\w*|orientation)(_|$)",
    re.I,
)
YEARS = re.compile(r"(^|_)(age|years_old)(_|$)", re.I)


@dataclass(frozen=True)
class Shape:
    """Time span and density of a file. Times are microseconds since 1970 UTC."""

    file: File
    time: str  # the field, "" without one
    first_us: int
    last_us: int
    rows_per_subject: float

    @property
    def is_profile(self) -> bool:
        """True if the rows describe customers and are no events of theirs."""
        return not self.time or self.rows_per_subject <= PROFILE_ROWS

    @property
    def windows(self) -> list[str]:
        has_clock = self.file.guesses[self.time].has_clock
        spans = {name: length for name, length in WINDOWS.items() if has_clock or length > DAY_US}
        fitting = [n for n, length in spans.items() if length * FITTING <= self.last_us - self.first_us]
        return fitting[-MAX_WINDOWS:] or list(spans)[:1]


def shape(file: File, roles: Roles) -> Shape:
    """Return the shape of a file whose roles are known."""
    subjects = file.guesses[roles.subject[file.event_type]].column.values
    time = roles.time[file.event_type]
    times = [0]
    if time:
        guess = file.guesses[time]
        read = clock((guess.form or "%Y-%m-%d %H:%M:%S.%f",), "UTC").read
        times = [read(text) for text in {*guess.column.values}]
    return Shape(file, time, min(times), max(times), len(subjects) / len(set(subjects)))


def tell_the_label(file: File, roles: Roles) -> list[str]:
    """Return the fields of the label's file that have one answer for each value: they are the label in other words."""
    if roles.label is None or roles.label[0] != file.event_type:
        return []
    answers = file.guesses[roles.label[1]].column.values
    telling = []
    for name, guess in file.guesses.items():
        values = guess.values or (guess.kind is Kind.BOOLEAN and {*guess.column.values})
        pairs = {pair for pair in zip(guess.column.values, answers, strict=True) if all(pair)}
        if name != roles.label[1] and values and len(pairs) == len({value for value, _ in pairs}) > 1:
            telling.append(name)
    return telling


def is_protected(name: str) -> bool:
    """Return whether a field is called like a trait that laws against discrimination protect."""
    return bool(PROTECTED.search(name))


def features(shapes: Sequence[Shape], scored: str, roles: Roles, subject: str) -> list[str]:
    """Return the lines of the `features` section."""
    usable = {each.file.event_type: _usable(each.file, roles) for each in shapes}
    lines, used = ["features:", f"  {subject}:", "    aggregates:"], set[str]()
    ratios, attributes = list[str](), list[str]()
    for each in shapes:
        kind = each.file.event_type
        if each.is_profile and kind != scored:
            attributes += _attributes(kind, usable[kind], used)
        else:
            prefix = "" if kind == scored else f"{kind}_"
            lines += _aggregates(each, prefix, usable[kind])
            ratios += _ratios(each, usable[kind]) if kind == scored else []
    for title, entries in (("ratios", ratios), ("attributes", attributes)):
        lines += [f"    {title}:", *entries] if entries else []
    (event,) = [each for each in shapes if each.file.event_type == scored]
    return [*lines, *_event(event, usable[scored])]


def _usable(file: File, roles: Roles) -> dict[str, Guess]:
    """The fields that features may use: no id, time, label, protected trait, and nothing that tells the label."""
    kind = file.event_type
    barred = {roles.subject[kind], roles.time[kind], *roles.id[kind]}
    barred |= {*tell_the_label(file, roles)}
    barred |= {roles.label[1]} if roles.label and roles.label[0] == kind else set()
    return {n: g for n, g in file.guesses.items() if n not in barred and not is_protected(n)}


def _amounts(usable: Mapping[str, Guess]) -> list[str]:
    """Number fields that vary, those with fractions first."""
    varying = [n for n, g in usable.items() if g.is_numeric and len(set(g.column.values)) > 1]
    return sorted(varying, key=lambda name: usable[name].kind is Kind.INTEGER)[:MAX_AMOUNTS]


def _aggregates(shape: Shape, prefix: str, usable: Mapping[str, Guess]) -> Iterator[str]:
    kind, windows = shape.file.event_type, shape.windows
    head = {"event": kind}
    yield line(6, f"{prefix}events", flow({**head, "statistics": ["count"], "windows": windows}))
    ages = {"statistics": ["since_first", "since_last"], "windows": ["ever"]}
    yield line(6, f"{prefix}activity", flow({**head, **ages}))
    for name in _amounts(usable):
        numbers = {"value": name, "statistics": ["sum", "mean", "max"], "windows": windows}
        yield line(6, f"{prefix}{name}", flow({**head, **numbers}))
    texts = [n for n, g in usable.items() if g.kind is Kind.STRING and _repeats(g)]
    for name in texts[:MAX_DISTINCT]:
        distinct = {"distinct": name, "statistics": ["distinct"], "windows": windows[-1:]}
        yield line(6, f"{prefix}different_{name}", flow({**head, **distinct}))


def _repeats(guess: Guess) -> bool:
    values = [value for value in guess.column.values if value]
    return 2 * len(set(values)) <= len(values)


def _ratios(shape: Shape, usable: Mapping[str, Guess]) -> Iterator[str]:
    longest = shape.windows[-1]
    for name in _amounts(usable)[:1]:
        sides = {"numerator": f"event.{name}", "denominator": f"{name}.mean.{longest}"}
        yield line(6, f"{name}_over_usual", flow(sides)) + "   # this event beside the customer's usual one"


def _attributes(kind: str, usable: Mapping[str, Guess], used: set[str]) -> Iterator[str]:
    """The latest values of a customer's profile."""
    for name, guess in usable.items():
        is_short = guess.kind is Kind.CATEGORY and len(guess.values) <= MAX_COLUMNS
        is_age = guess.kind is Kind.DATE and bool(BIRTH.search(name))
        if guess.is_numeric or guess.kind is Kind.BOOLEAN or is_short or is_age:
            label = f"{kind}_{name}" if name in used else name
            used.add(label)
            yield line(
                6, f"latest_{label}", flow({"from": f"{kind}.{name}"} | ({"as": "age"} if is_age else {}))
            )


def _event(shape: Shape, usable: Mapping[str, Guess]) -> Iterator[str]:
    names = [
        name
        for name, guess in usable.items()
        if guess.is_numeric
        or guess.kind is Kind.BOOLEAN
        or (guess.kind is Kind.CATEGORY and len(guess.values) <= MAX_COLUMNS)
    ]
    names += DERIVED if shape.file.guesses[shape.time].has_clock else ["weekday"]
    yield f"  event: {flow(names)}"
