"""The two files behind an estimate: figures measured by `make bench`, and prices. Both may be one's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pipeline.files.source import BadFile

MEASURED = Path(__file__).parent / "measured.json"
PRICES = Path(__file__).parent / "prices.yaml"
EVENTS_A_CUSTOMER = (10, 40, 100, 1_000)  # in 30 days: for these a record's size is measured
SIZES_KB = (1, 10)  # of records: for these a read and a write are measured

# What is taken from the rows of bench.json, by the name here. The use case is off-boarding, all of it.
ROWS = {
    "worker_cpu_us": "workers_1_cpu_us",
    "message_bytes": "assess_offboarding_message_bytes",
    "row_bytes": "assess_offboarding_row_bytes",
    "alerts_per_event": "assess_offboarding_alerts_per_event",
}
# The same, where a figure goes by something: the name here, the row with its place, the places, and their factor.
SERIES = {
    "record_bytes": ("redis_bytes_per_customer_offboarding_{}", EVENTS_A_CUSTOMER, 1),
    "redis_cpu_us": ("redis_{}kb_cpu_us", SIZES_KB, 1_000),
    "redis_client_cpu_us": ("redis_{}kb_client_cpu_us", SIZES_KB, 1_000),
    "cluster_cpu_us": ("redis_cluster_{}kb_cpu_us", SIZES_KB, 1_000),
    "cluster_client_cpu_us": ("redis_cluster_{}kb_client_cpu_us", SIZES_KB, 1_000),
}
# Also kept, because docs/scaling.md tells of them.
TOLD = tuple(
    f"workers_{workers}_{figure}"
    for workers in (1, 2, 4)
    for figure in ("events_per_s", "cpu_us", "conflicts_per_event")
)


Points = Mapping[int, float]


class Measured(msgspec.Struct, frozen=True):
    """Figures of one benchmark; each `_us` is processor time of an event or of a record read and written."""

    date: str
    commit: str
    machine: str
    load: str  # of that machine
    worker_cpu_us: float  # an event, from Pub/Sub to BigQuery, in the worker process; records of about 1 kB
    message_bytes: float
    row_bytes: float
    alerts_per_event: float
    record_bytes: Points  # by events in 30 days; with key and Redis's own overhead
    redis_cpu_us: Points  # by bytes of the record, in redis-server, one node
    redis_client_cpu_us: Points  # the same in the worker
    cluster_cpu_us: Points  # in all nodes of a cluster
    cluster_client_cpu_us: Points
    told: tuple[tuple[str, float, str], ...] = ()  # rows of TOLD: name, value, setting


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list price or a limit, where it is published, and when and for which region it was read."""

    value: float
    unit: str
    page: str
    note: str = ""
    region: str = ""
    read: str = ""


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    currency: str
    wanted: str
    prices: Mapping[str, Price]
    limits: Mapping[str, Price]

    def price(self, name: str) -> float:
        return self.prices[name].value

    def limit(self, name: str) -> float:
        return self.limits[name].value


def measured(file: Path = MEASURED) -> Measured:
    """The figures in a bench.json. Raises BadFile for one without them, OSError."""
    benchmark = _decoded(file, msgspec.json.decode)
    try:
        rows = {row[0]: float(row[1]) for row in benchmark["rows"]}
        machine_facts = benchmark["machine"]
        machine = f"{machine_facts['cpu']}, {machine_facts['cores']} cores"
        head = {
            "date": benchmark["date"],
            "commit": benchmark["commit"],
            "machine": machine,
            "load": machine_facts["load"],
        }
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise BadFile(f"{file}: found no rows of a benchmark; expected what `make bench` writes") from error
    missing = [name for name in names() if name not in rows]
    if missing:
        raise BadFile(f"{file}: {', '.join(missing)} missing; run `make bench`, all of it")
    values = {name: rows[row] for name, row in ROWS.items()}
    series = {
        name: {at * factor: rows[row.format(at)] for at in places}
        for name, (row, places, factor) in SERIES.items()
    }
    lines = tuple((row[0], float(row[1]), row[3]) for row in benchmark["rows"] if row[0] in TOLD)
    figures: dict[str, Any] = head | values | series  # names are those of the fields, as tests see
    return Measured(**figures, told=lines)


def names() -> list[str]:
    """The rows of bench.json that are used."""
    return [*ROWS.values(), *(row.format(at) for row, places, _ in SERIES.values() for at in places)]


def kept(bench: Path) -> bytes:
    """Return the part of a bench.json that is kept with the code: machine, date, rows in use. Raises as `measured`."""
    measured(bench)
    benchmark = msgspec.json.decode(bench.read_bytes())
    benchmark["machine"] = {name: benchmark["machine"][name] for name in ("cpu", "cores", "python", "load")}
    benchmark["rows"] = [row for row in benchmark["rows"] if row[0] in (*names(), *TOLD)]
    return msgspec.json.format(msgspec.json.encode(benchmark), indent=2) + b"\n"


def prices(file: Path | None = None) -> Prices:
    """The prices of this package, those of `file` instead where it has some. Raises BadFile, OSError."""
    shipped = msgspec.yaml.decode(PRICES.read_bytes())
    if file is None:
        return msgspec.convert(shipped, Prices)
    given = _decoded(file, msgspec.yaml.decode)
    if not isinstance(given, dict):
        raise BadFile(f"{file}: expected a mapping as in deploy/capacity/prices.yaml")
    for part in ("prices", "limits"):
        unknown = sorted(set(given.get(part) or {}) - set(shipped[part]))
        if unknown:
            raise BadFile(f"{file}: {part}.{unknown[0]} is none; expected some of {', '.join(shipped[part])}")
    merged = {part: {**shipped[part], **(given.get(part) or {})} for part in ("prices", "limits")}
    try:
        return msgspec.convert({**shipped, **given, **merged}, Prices)
    except msgspec.ValidationError as error:
        raise BadFile(f"{file}: {error}") from error


def _decoded(file: Path, decode: Any) -> Any:
    try:
        return decode(file.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadFile(f"{file}: {error}") from error
