"""All that a job on Dataflow is told, declared once: flags, keys of an environment file, parameters of the template.

A setting comes from a flag, else from the file, else it has a default; nothing comes from the shell's environment,
so that what runs in production is what is written down. Reads nothing but the file, imports nothing heavy.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

EXACTLY_ONCE, AT_LEAST_ONCE = "exactly-once", "at-least-once"
MODES = {
    AT_LEAST_ONCE: "a message may be handed out again; records know their events, so nothing is counted twice. "
    "No shuffle to drop duplicates: lower latency, and the cheaper one",
    EXACTLY_ONCE: "Dataflow drops repeated event ids for ten minutes back before riskstream would; "
    "costs a shuffle and its storage for every message, and changes no result",
}
LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
OWN_LABELS = ("riskstream", "use_case", "fingerprint", "model")  # how `riskstream jobs` knows its own
# Of a wrong bucket Beam says nothing: it makes one of its own and stages there.
BUCKET = r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]"
SHORT_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"


class BadSettings(Exception):
    """Flags or an environment file that cannot be right: one line for each thing that is wrong."""


def setting(
    help: str, expected: str = "", pattern: str = "", default: Any = MISSING, template: bool = True
) -> Any:
    """A field: its help, what is `expected` in words and as a pattern; `template`: a parameter of the template too."""
    metadata = {"help": help, "expected": expected, "pattern": pattern, "template": template}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


def google(help: str, expected: str = "", pattern: str = "", default: Any = MISSING) -> Any:
    """A setting that a Flex Template does not take as a parameter: it is told to `gcloud` by a flag of its own."""
    return setting(help, expected, pattern, default, template=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A job on Dataflow. Topics and the subscription may be short names or whole paths."""

    project: str = google(
        "The Google Cloud project.", "the id of a project", r"[a-z][-a-z0-9:.]{4,61}[a-z0-9]"
    )
    region: str = google("Where the job runs.", "a region such as europe-west1", r"[a-z]+-[a-z]+\d+")
    job_name: str = google(
        "The job's name, one a region; default: riskstream-USE_CASE.",
        "lower case letters, digits and dashes", SHORT_NAME, default="",
    )  # fmt: skip
    use_case: str = setting(
        "The use case file, local or gs://; its text travels with the job.", "a file", r".+",
        default="usecases/offboarding.yaml",
    )  # fmt: skip
    bundle: str = setting("The folder of bundles, or one bundle.", "gs://BUCKET/FOLDER", rf"{BUCKET}/.+")
    subscription: str = setting(
        "Where events come from; default: USE_CASE-events-riskstream.", "a subscription", default=""
    )
    alerts_topic: str = setting("Where changes of level go; default: USE_CASE-alerts.", "a topic", default="")
    dead_letters_topic: str = setting(
        "Where unusable messages go; default: USE_CASE-dead-letters.", "a topic", default=""
    )
    dataset: str = setting("The dataset in BigQuery.", "a name", r"\w+", default="riskstream")
    redis_url: str = setting(
        "Memorystore, without a password: that is in --redis-secret.", "rediss://HOST:PORT or redis://HOST:PORT",
        r"rediss?://[^/@]+(/\d+)?",
    )  # fmt: skip
    redis_secret: str = setting(
        "Secret with the password; read by workers when they start.", "projects/PROJECT/secrets/NAME[/versions/V]",
        r"projects/[^/]+/secrets/[^/]+(/versions/[^/]+)?", default="",
    )  # fmt: skip
    redis_ca_file: str = setting(
        "Trust this certificate authority.",
        "gs://BUCKET/FILE, or a file of the image",
        r"(gs:/)?/.+",
        default="",
    )
    redis_cluster: bool = setting("Redis is a cluster.", default=False)
    prefix: str = setting(
        "Of all keys in Redis.", "some text without a colon", r"[^:\s]+", default="riskstream"
    )
    batch: int = setting("Messages assessed at once, at most.", "1 to 20000", default=16_000)
    image: str = google(
        "The worker image (deploy/images, target worker).", "REGISTRY/.../NAME:TAG or ...@sha256:DIGEST",
        r"[\w.-]+(/[\w.-]+)+(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})",
    )  # fmt: skip
    staging: str = google("Where the pipeline and temporary files go.", "gs://BUCKET/FOLDER",
                          rf"{BUCKET}(/.+)?")  # fmt: skip
    service_account: str = google(
        "The workers' service account.", "NAME@PROJECT.iam.gserviceaccount.com",
        r"[^@\s]+@[^@\s]+\.gserviceaccount\.com",
    )  # fmt: skip
    subnetwork: str = google(
        "Where workers are: a network from which Memorystore can be reached.",
        "NAME, regions/REGION/subnetworks/NAME or its URL",
        rf"{SHORT_NAME}|(https://\S+/)?regions/[^/]+/subnetworks/{SHORT_NAME}",
    )  # fmt: skip
    network: str = google(
        "The subnetwork's network, if it is a shared one.", "a name", SHORT_NAME, default=""
    )
    public_ips: bool = google("Give workers public addresses. They need none.", default=False)
    machine_type: str = google("Of a worker.", "a type such as n2-standard-4", r"[a-z][a-z0-9]*-[a-z0-9-]+",
                               default="n2-standard-4")  # fmt: skip
    min_workers: int = google("Never fewer workers.", "1 to 1000", default=1)
    max_workers: int = google("Never more workers.", "1 to 1000, not below min_workers", default=10)
    mode: str = google(
        f"{AT_LEAST_ONCE} or {EXACTLY_ONCE}. Results are the same in both: records know their events. "
        f"{AT_LEAST_ONCE} saves Dataflow's own shuffle against duplicates, so it is cheaper and faster.",
        " or ".join(MODES), "|".join(MODES), default=AT_LEAST_ONCE,
    )  # fmt: skip
    labels: dict[str, str] = google("Label of the job, for lists and bills.", "KEY=VALUE", default={})
    cold: bool = setting("Start although nothing has filled the records of these features.", default=False)
    skip_redis_check: bool = setting(
        "Redis cannot be reached from here: take it on trust that it can from the workers.", default=False
    )

    def __post_init__(self) -> None:
        """Raises BadSettings."""
        wrong = [line for each in fields(self) for line in _wrong(each, getattr(self, each.name))]
        wrong += [text for is_good, text in _LIMITS if not wrong and not is_good(self)]
        wrong += [] if wrong else list(_wrong_labels(self.labels))
        if wrong:
            raise BadSettings("\n".join(wrong))

    @classmethod
    def resolved(cls, flags: Mapping[str, Any], file: Path | None) -> Self:
        """Flags (None: not given) over the file. Raises BadSettings, which names the file where it is at fault."""
        given = {name: value for name, value in flags.items() if value is not None}
        written = _read(file) if file else {}
        both = {**written, **given}
        if "labels" in written and "labels" in given:
            both["labels"] = {**written["labels"], **given["labels"]}
        missing = [each for each in fields(cls) if _is_required(each) and each.name not in both]
        if missing:
            where = f" and not in {file}" if file else "; --env names a file with them"
            raise BadSettings(
                "\n".join(
                    f"{flag(e.name)}: not given{where}, expected {e.metadata['expected']}" for e in missing
                )
            )
        try:
            return cls(**both)
        except BadSettings as error:
            raise BadSettings(f"{error}\n(settings of {file})" if file else str(error)) from None

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job_name or "riskstream-" + Path(self.use_case).stem.lower().replace("_", "-")


# (whether it is right, what is wrong)
_LIMITS: tuple[tuple[Any, str], ...] = (
    (lambda s: 1 <= s.batch <= 20_000, "--batch: expected 1 to 20000 messages"),
    (lambda s: 1 <= s.min_workers <= s.max_workers <= 1_000,
     "--min-workers, --max-workers: expected 1 <= min_workers <= max_workers <= 1000"),
    (lambda s: not s.redis_ca_file or s.redis_url.startswith("rediss:"),
     "--redis-ca-file: a certificate authority is given, expected --redis-url rediss://..."),
    (lambda s: not (s.redis_secret and s.redis_url.startswith("redis:")),
     "--redis-secret: a password would travel in clear text, expected --redis-url rediss://..."),
    (lambda s: re.fullmatch(SHORT_NAME, s.name), "--job-name: give one, the use case file's name is not fit for it"),
)  # fmt: skip


def flag(name: str) -> str:
    """The flag of a setting."""
    return "--label" if name == "labels" else "--" + name.replace("_", "-")


def _is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _wrong(each: Field[Any], value: Any) -> Iterator[str]:
    """Why the value will not do for the field. A secret part of it is not told."""
    kind = dict if each.name == "labels" else each.type
    expected, pattern = each.metadata["expected"], each.metadata["pattern"]
    if type(value) is not kind:
        wanted = expected or {bool: "true or false", int: "a number"}.get(kind, kind.__name__)
        yield f"{flag(each.name)}: found {value!r}, expected {wanted}"
    elif pattern and (value or _is_required(each)) and not re.fullmatch(pattern, value):
        found = re.sub(r"//[^@]*@", "//***@", value)
        yield f"{flag(each.name)}: found {found!r}, expected {expected}"


def _wrong_labels(labels: Mapping[Any, Any]) -> Iterator[str]:
    for key, value in labels.items():
        if key in OWN_LABELS:
            yield f"--label: {key} is one that riskstream sets itself"
        elif not LABEL_KEY.fullmatch(str(key)) or not LABEL_VALUE.fullmatch(str(value)):
            yield f"--label: found {key}={value}, expected lower case letters, digits, _ and -, at most 63"


def labels_of(pairs: Iterable[str]) -> dict[str, str]:
    """KEY=VALUE pairs as a mapping. Raises BadSettings."""
    found = [pair.partition("=") for pair in pairs]
    if without := [key for key, sign, _ in found if not sign]:
        raise BadSettings(f"--label: found {without[0]!r}, expected KEY=VALUE")
    return {key: value for key, _, value in found}


def _read(file: Path) -> dict[str, Any]:
    """An environment file. Raises BadSettings."""
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadSettings(f"{file}: {error}") from None
    if not isinstance(found, dict):
        raise BadSettings(f"{file}: found {type(found).__name__}, expected keys such as project and region")
    known = [each.name for each in fields(Settings)]
    if unknown := [str(key) for key in found if key not in known]:
        raise BadSettings(
            "\n".join(
                f"{file}: {key}: no such setting; expected one of {', '.join(known)}" for key in unknown
            )
        )
    return found
