"""The draft: the text of a use case file with what was assumed and what a person must decide as comments."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from features.times import EPOCHS
from features.usecase import DERIVED, Kind
from training.draft.check import Checked, checked
from training.draft.kinds import ISO_DATE, Guess, decimal_sign, guess
from training.draft.proposed_features import YEARS, Shape, features, is_protected, shape, tell_the_label
from training.draft.reading import JSON_TEXT, Sample
from training.draft.roles import Asked, CannotDraft, File, Roles, roles
from training.draft.yaml_text import flow, line

IDENTIFIER = re.compile(r"[A-Za-z]\w*", re.ASCII)
OFTEN = 10  # events of a customer, on average, from which a recommendation may ask for several in a row
WHOLE_EVENT = '["*"]            # the same row again is the same event'
UNDATED = "published       # the latest row of a customer counts"
COSTLY = (
    "# Ask who decides: what a missed case and a false alarm cost decides where the thresholds should lie."
)


@dataclass(frozen=True)
class Draft:
    """The text of a use case file, what was assumed, and how the files fit it."""

    text: str
    assumed: tuple[str, ...]
    checked: tuple[Checked, ...]


def draft(samples: Sequence[Sample], name: str, asked: Asked, now_us: int) -> Draft:
    """Return a use case for files of events, which the same parser has accepted that reads every use case.

    Raises CannotDraft where a flag must decide, BadFile, and BadUseCase for a name that is none.
    """
    kinds = [each.event_type for each in samples]
    if twice := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        raise CannotDraft(
            f"several files would be the event type {', '.join(twice)}: rename all but one of each"
        )
    files = [_file(each) for each in samples]
    chosen = roles(files, asked)
    chosen.assumed += [text for file in files for text in _doubts(file)]
    files = [_settled(file, chosen) for file in files]
    chosen.assumed += [
        f"{file.event_type}.{name} tells the label by itself, so no feature uses it"
        for file in files
        for name in tell_the_label(file, chosen)
    ]
    shapes = [shape(file, chosen) for file in files]
    text = _text(name, shapes, chosen)
    return Draft(text, tuple(chosen.assumed), tuple(checked(text, name, files, now_us)))


def _file(sample: Sample) -> File:
    """The columns of a file by the names of their fields. Columns of JSON keep their names, or are left out."""
    is_json = any(column.stored == JSON_TEXT for column in sample.columns)
    decimal, guesses = decimal_sign(sample.columns, sample.separator), dict[str, Guess]()
    left_out = list(sample.left_out)
    for column in sample.columns:
        field = _field_name(column.name, guesses)
        if field != column.name and (is_json or sample.path.suffix.lower() not in (".csv", ".parquet")):
            left_out.append(column.name)
        else:
            guesses[field] = guess(column, decimal)
    return File(replace(sample, left_out=tuple(left_out)), sample.event_type, _one_format(guesses))


def _field_name(column: str, taken: Iterable[str]) -> str:
    if IDENTIFIER.fullmatch(column) and column not in DERIVED and column not in taken:
        return column
    plain = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    plain = re.sub(r"\W+", "_", plain).strip("_")
    plain = plain if plain[:1].isalpha() and plain not in DERIVED else f"column_{plain}".strip("_")
    names = (plain, *(f"{plain}_{n}" for n in range(2, 1_000)))
    return next(name for name in names if name not in taken)


def _one_format(guesses: dict[str, Guess]) -> dict[str, Guess]:
    """The fields of one file share its missing words, and it has at most one count of an epoch."""
    missing = tuple(sorted({word for each in guesses.values() for word in each.missing}))
    settled, epoch = dict[str, Guess](), ""
    for name, each in guesses.items():
        made = replace(each, missing=missing, values=tuple(v for v in each.values if v not in missing))
        if not set(missing).isdisjoint(each.column.values):
            made = replace(made, optional=True)
        if made.kind is Kind.TIME and made.form in EPOCHS:
            made = replace(made, kind=Kind.INTEGER, form="") if epoch not in ("", made.form) else made
            epoch = epoch or made.form
        settled[name] = made
    return settled


def _doubts(file: File) -> list[str]:
    """Return what the author should check in one file."""
    kind, sample = file.event_type, file.sample
    doubts = [
        f"{kind}.{name}: {g.doubt}; {g.form} is taken"
        for name, g in file.guesses.items()
        if g.doubt and g.form
    ]
    doubts += [f"{kind}.{name}: {g.doubt}" for name, g in file.guesses.items() if g.doubt and not g.form]
    if missing := next((g.missing for g in file.guesses.values() if g.missing), ()):
        doubts.append(f"{kind}: a value is missing where a cell holds {' or '.join(missing)}")
    if sample.encoding == "cp1252":
        doubts.append(f"{kind}: the file is not UTF-8; cp1252 is taken")
    if sample.left_out:
        doubts.append(f"{kind}: left out, as no field can hold it: {', '.join(sample.left_out)}")
    if not sample.is_whole:
        doubts.append(f"{kind}: only the first {sample.rows:,} rows were looked at")
    zones = [g for g in file.guesses.values() if g.kind is Kind.TIME and g.form and g.form not in EPOCHS]
    if any(g.has_clock and "UTC" not in g.form for g in zones):
        doubts.append(f"{kind}: times without an offset are in UTC (timezone: says otherwise)")
    return doubts


def _settled(file: File, chosen: Roles) -> File:
    """The fields with their roles: what dates an event is a time, a label has values and comes late."""
    guesses = dict(file.guesses)
    if time := chosen.time[file.event_type]:
        guesses[time] = replace(guesses[time], kind=Kind.TIME)
    if chosen.label and chosen.label[0] == file.event_type:
        label = guesses[chosen.label[1]]
        if label.column.stored not in (JSON_TEXT, "boolean") and file.sample.path.suffix.lower() in (
            ".jsonl",
            ".ndjson",
        ):
            raise CannotDraft(f"--label {chosen.label[1]}: in JSON a label must be a text, or true or false")
        if label.kind is not Kind.BOOLEAN:
            values = sorted(set(label.column.values) - {"", *label.missing})
            label = replace(label, kind=Kind.CATEGORY, values=tuple(values))
        guesses[chosen.label[1]] = replace(label, optional=True)
    return replace(file, guesses=guesses)


def _text(name: str, shapes: Sequence[Shape], chosen: Roles) -> str:
    subject = _entity(next(iter(chosen.subject.values())))
    scored = _scored(shapes, chosen)
    (event,) = [each for each in shapes if each.file.event_type == scored]
    lateness = "1h" if event.file.guesses[event.time].has_clock else "1d"  # events of a day come in any order
    lines = [
        "# A draft made from files. Nothing in it is known better than the data show: read it, and decide.",
        *(f"# Assumed: {text}" for text in chosen.assumed),
        "",
        f"use_case: {flow(name)}",
        f"subject: {subject}",
        f"allowed_lateness: {lateness}     # how much later an event may come and still count in its place",
        "",
        "events:",
    ]
    for each in shapes:
        lines += ["", *_event_type(each, chosen, subject, scored)]
    lines += ["", *_protected(shapes)]
    lines += [
        "# Decide: is every value below known at the moment of the event? One that is filled in later is a leak."
    ]
    lines += features(shapes, scored, chosen, subject)
    lines += ["", *_label(shapes, chosen), *_policy(shapes, scored)]
    return "\n".join(lines) + "\n"


def _entity(field: str) -> str:
    """account_id: account"""
    plain = re.sub(r"(_?(id|no|nr|number|key|uuid|code))$|^id_?", "", field, flags=re.I).strip("_").lower()
    return plain if IDENTIFIER.fullmatch(plain) else "customer"


def _scored(shapes: Sequence[Shape], chosen: Roles) -> str:
    """The event type of the label where it is dated, else the one with the most rows that is."""
    dated = [each for each in shapes if each.time]
    labelled = [each for each in dated if chosen.label and each.file.event_type == chosen.label[0]]
    most = max(labelled or dated, key=lambda each: each.file.sample.rows).file.event_type
    if len(shapes) > 1:
        chosen.assumed.append(f"every {most} is scored, other events are only remembered (scored: true)")
    return most


def _event_type(shape: Shape, chosen: Roles, subject: str, scored: str) -> list[str]:
    file, kind = shape.file, shape.file.event_type
    ids = chosen.id[kind]
    forms = list(dict.fromkeys(g.form for g in file.guesses.values() if g.kind is Kind.TIME and g.form))
    lines = [
        f"  {kind}:",
        f"    scored: {flow(kind == scored)}",
        f"    id: {flow(ids) if ids else WHOLE_EVENT}",
        f"    time: {flow([shape.time]) if shape.time else UNDATED}",
    ]
    lines += [f"    time_format: {flow(forms)}"] if forms else []
    lines += [f"    entities: {flow({subject: chosen.subject[kind]})}", "    fields:"]
    lines += [line(6, name, _field(each)) for name, each in file.guesses.items()]
    return [*lines, *_format(file)]


def _field(guess: Guess) -> str:
    if guess.kind is Kind.CATEGORY:
        return flow({"values": guess.values, "optional": True} if guess.optional else guess.values)
    return flow({"type": guess.kind.value, "optional": True} if guess.optional else guess.kind.value)


def _format(file: File) -> list[str]:
    """The `file` section, where anything in it is not as usual."""
    sample, guesses = file.sample, file.guesses
    if sample.path.suffix.lower() not in (".csv", ".parquet"):
        return []
    keys: dict[str, str | list[str] | dict[str, list[str]]] = {}
    if sample.separator != ",":
        keys["separator"] = sample.separator
    if sample.encoding != "utf-8":
        keys["encoding"] = sample.encoding
    if decimal_sign(sample.columns, sample.separator) == ",":
        keys["decimal"] = ","
    if missing := next((each.missing for each in guesses.values() if each.missing), ()):
        keys["missing_values"] = ["", *missing]
    for key in ("true", "false"):
        words = {
            word for each in guesses.values() if each.kind is Kind.BOOLEAN for word in getattr(each, key)
        }
        if words and not words <= {key, key.title(), key.upper()}:
            keys[f"{key}_values"] = sorted(words)
    forms = {g.form for g in guesses.values() if g.kind is Kind.DATE and g.form != ISO_DATE}
    if forms:
        keys["date_format"] = sorted({g.form for g in guesses.values() if g.kind is Kind.DATE})
    columns = {name: [g.column.name] for name, g in guesses.items() if name != g.column.name}
    if columns:
        keys["columns"] = columns
    return [f"    file: {flow(keys)}"] if keys else []


def _protected(shapes: Sequence[Shape]) -> list[str]:
    barred = [f"{s.file.event_type}.{name}" for s in shapes for name in s.file.guesses if is_protected(name)]
    years = [
        {"from": f"{s.file.event_type}.{name}", "as": "age"}
        for s in shapes
        for name, g in s.file.guesses.items()
        if YEARS.search(name) and g.is_numeric
    ]
    lines = ["# Decide: which fields say something of a person for which nobody may be treated worse?"]
    example = "# For example: protected: [TYPE.gender]"
    lines += [f"protected: {flow(barred)}     # no feature may use these" if barred else example]
    lines += (
        [f"sensitive: {flow(years)}     # features may use these, reports compare by them"] if years else []
    )
    return [*lines, ""]


def _label(shapes: Sequence[Shape], chosen: Roles) -> list[str]:
    if chosen.label is None:
        return ["# Training needs a label, for example: label: {from: TYPE.FIELD, positive: [VALUE]}", ""]
    kind, name = chosen.label
    (file,) = [each.file for each in shapes if each.file.event_type == kind]
    positive: str | bool = chosen.positive
    if file.guesses[name].kind is Kind.BOOLEAN:
        positive = chosen.positive == "true"
    return [
        "# Decide: how long after the event is the label known? Without a `delay` it is taken as known at once.",
        f"label: {flow({'from': f'{kind}.{name}', 'positive': [positive]})}",
        "",
    ]


def _policy(shapes: Sequence[Shape], scored: str) -> list[str]:
    (event,) = [each for each in shapes if each.file.event_type == scored]
    is_often = event.rows_per_subject >= OFTEN
    recommend = flow({"in_a_row": 3 if is_often else 1, "min_events": 5 if is_often else 1})
    return [
        COSTLY,
        "policy:",
        "  high: {precision: 0.8}    # four of five on this level are there rightly",
        "  medium: {recall: 0.8}     # four of five of the positive reach it",
        "  exit_ratio: 0.8",
        "  cooldown: 24h",
        f"  recommend: {recommend}",
    ]
