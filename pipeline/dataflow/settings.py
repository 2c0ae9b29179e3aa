"""All that a job on Dataflow is told, declared once: flags, keys of an environment file, parameters of the template.

A setting comes from a flag, else from the file, else it has a default; nothing comes from the shell's environment,
so that what runs in production is what is written down. Reads nothing but the file, imports nothing heavy.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import usecases
from pipeline.runtime.errors import BadSettings

EXACTLY_ONCE, AT_LEAST_ONCE = "exactly-once", "at-least-once"
MODES = {
    AT_LEAST_ONCE: "a message may be handed out again; records know their events, so nothing is counted twice. "
    "No storage and no shuffle against duplicates: the cheaper and the faster one",
    EXACTLY_ONCE: "Dataflow itself drops a message that Pub/Sub delivers again; costs storage and a shuffle for every "
    "message, and changes no result",
}
LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
OWN_LABELS = ("riskstream", "use_case", "fingerprint", "model")  # how `riskstream jobs` knows its own
# Of a wrong bucket Beam says nothing: it makes one of its own and stages there.
BUCKET = r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]"
FORMER_KEYS = {
    "cold": "allow_empty_store"
}  # of environment files and of the template, by their present names
SHORT_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"


def setting(help: str, expected: str = "", pattern: str = "", default: Any = MISSING) -> Any:
    """A field: its help, and what is `expected`, in words and as a pattern."""
    return field(default=default, metadata={"help": help, "expected": expected, "pattern": pattern})


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """What the steps are told, wherever they are launched from. Topics and the subscription may be short names."""

    project: str = setting("The Google Cloud project.", "its id", r"[a-z][-a-z0-9:.]{4,61}[a-z0-9]")
    use_case: str = setting(
        "The use case: a file, local or gs://, or the name of a packaged one; its text travels with the job.",
        "a file or a name", r".+", default=usecases.DEFAULT,
    )  # fmt: skip
    bundle: str = setting("The folder of bundles, or one bundle.", "gs://BUCKET/FOLDER", rf"{BUCKET}/.+")
    subscription: str = setting("Where events come from; default: USE_CASE-events-riskstream.", default="")
    alerts_topic: str = setting("Where changes of level go; default: USE_CASE-alerts.", default="")
    dead_letters_topic: str = setting(
        "Where unusable messages go; default: USE_CASE-dead-letters.", default=""
    )
    dataset: str = setting("The dataset in BigQuery.", "a name", r"\w+", default="riskstream")
    redis_url: str = setting(
        "Memorystore. A password is in a secret (redis_secret), never here.",
        "rediss://HOST:PORT or redis://HOST:PORT", r"rediss?://[^/@]+(/\d+)?",
    )  # fmt: skip
    redis_secret: str = setting(
        "Secret with the password of Redis; workers read it when they start.",
        "projects/PROJECT/secrets/NAME, a version may follow",
        r"projects/[^/]+/secrets/[^/]+(/versions/[^/]+)?", default="",
    )  # fmt: skip
    redis_ca_file: str = setting(
        "Trust this certificate authority.", "gs://BUCKET/FILE, or a file of the image", r"(gs:/)?/.+", default=""
    )  # fmt: skip
    redis_cert_file: str = setting(
        "Show Redis this certificate.", "gs://BUCKET/FILE, or a file of the image", r"((gs:/)?/.+)?", default=""
    )  # fmt: skip
    redis_key_file: str = setting(
        "The certificate's key.", "gs://BUCKET/FILE, or a file of the image", r"((gs:/)?/.+)?", default=""
    )  # fmt: skip
    redis_cluster: bool = setting("Redis is a cluster.", default=False)
    redis_replicas: int = setting("Replicas that must have a commit before it counts.", "0 to 5", default=0)
    allow_eviction: bool = setting("Start although Redis may drop records when it is full.", default=False)
    prefix: str = setting("Of all keys in Redis.", "text without a colon", r"[^:\s]+", default="riskstream")
    batch: int = setting("Messages assessed at once, at most.", "1 to 20000", default=16_000)
    allow_empty_store: bool = setting(
        "Start although nothing has filled the records of these features.", default=False
    )

    def __post_init__(self) -> None:
        """Raises BadSettings."""
        wrong = [line for each in fields(self) for line in _wrong(each, getattr(self, each.name))]
        wrong = wrong or list(self._wrong_together())
        if wrong:
            raise BadSettings("\n".join(wrong))

    @property
    def use_case_file(self) -> str:
        """The file of the use case. Raises BadSettings if there is none of that path or name."""
        if "://" in self.use_case:
            return self.use_case
        try:
            return str(usecases.find(self.use_case))
        except FileNotFoundError as error:
            raise BadSettings(f"{flag('use_case')}: {error}") from None

    def _wrong_together(self) -> Iterator[str]:
        return (text for is_good, text in JOB_LIMITS if not is_good(self))

    @classmethod
    def resolved(cls, flags: Mapping[str, Any], file: Path | None) -> Self:
        """Flags (None: not given) over the file. Raises BadSettings, which names the file where it is at fault."""
        given = {name: value for name, value in flags.items() if value is not None}
        written = _read(file, [each.name for each in fields(cls)]) if file else {}
        both = {**written, **given}
        if "labels" in given and isinstance(written.get("labels"), dict):
            both["labels"] = {**written["labels"], **given["labels"]}
        missing = [each for each in fields(cls) if is_required(each) and each.name not in both]
        if missing:
            where = f" and not in {file}" if file else ""
            lines = [f"{flag(e.name)}: not given{where}, expected {e.metadata['expected']}" for e in missing]
            raise BadSettings("\n".join([*lines, *([] if file else ["--env names a file with settings"])]))
        try:
            return cls(**both)
        except BadSettings as error:
            raise BadSettings(f"{error}\n(with the settings of {file})" if file else str(error)) from None


@dataclass(frozen=True, kw_only=True)
class Settings(JobSettings):
    """A whole job on Dataflow: what its steps are told, and what the service is told about workers."""

    region: str = setting("Where the job runs.", "a region such as europe-west1", r"[a-z]+-[a-z]+\d+")
    job_name: str = setting(
        "The job's name, one a region; default: riskstream-USE_CASE.", "lower case letters, digits and dashes",
        SHORT_NAME, default="",
    )  # fmt: skip
    image: str = setting(
        "The worker image (deploy/images, target worker).", "REGISTRY/.../NAME:TAG or ...@sha256:DIGEST",
        r"[\w.-]+(/[\w.-]+)+(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})",
    )  # fmt: skip
    staging: str = setting(
        "Where the pipeline and temporary files go.", "gs://BUCKET or gs://BUCKET/FOLDER", rf"{BUCKET}(/.+)?"
    )
    service_account: str = setting(
        "The workers' service account.", "NAME@PROJECT.iam.gserviceaccount.com",
        r"[^@\s]+@[^@\s]+\.gserviceaccount\.com",
    )  # fmt: skip
    subnetwork: str = setting(
        "Where workers are: a network from which Memorystore can be reached.",
        "NAME, regions/REGION/subnetworks/NAME or its URL",
        rf"{SHORT_NAME}|(https://\S+/)?regions/[^/]+/subnetworks/{SHORT_NAME}",
    )  # fmt: skip
    network: str = setting(
        "The network, where the subnetwork does not say it.", "a name", SHORT_NAME, default=""
    )
    public_ips: bool = setting("Give workers public addresses. They need none.", default=False)
    machine_type: str = setting(
        "Of a worker.", "a type such as n2-standard-4", r"[a-z][a-z0-9]*-[a-z0-9-]+", default="n2-standard-4"
    )
    min_workers: int = setting("Never fewer workers.", "1 to 1000", default=1)
    max_workers: int = setting("Never more workers.", "1 to 1000, not below min_workers", default=10)
    mode: str = setting(
        f"{AT_LEAST_ONCE} or {EXACTLY_ONCE}. Results are the same in both, as records know their events; "
        f"{AT_LEAST_ONCE} saves Dataflow's own work against duplicates, so it is cheaper and faster.",
        " or ".join(MODES), "|".join(MODES), default=AT_LEAST_ONCE,
    )  # fmt: skip
    labels: dict[str, str] = field(
        default_factory=dict,
        metadata={"help": "Label of the job, for lists and bills.", "expected": "KEY=VALUE", "pattern": ""},
    )
    skip_redis_check: bool = setting(
        "Redis cannot be reached from here: take it on trust that it can from the workers.", default=False
    )

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job_name or "riskstream-" + Path(self.use_case).stem.lower().replace("_", "-")

    @property
    def use_case_file(self) -> str:
        """The file of the use case. Raises BadSettings if there is none of that path or name."""
        if "://" in self.use_case:
            return self.use_case
        try:
            return str(usecases.find(self.use_case))
        except FileNotFoundError as error:
            raise BadSettings(f"{flag('use_case')}: {error}") from None

    def _wrong_together(self) -> Iterator[str]:
        yield from super()._wrong_together()
        yield from (text for is_good, text in LIMITS if not is_good(self))
        yield from _wrong_labels(self.labels)


# (whether it is right, what is wrong)
JOB_LIMITS: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (lambda job: 1 <= job.batch <= 20_000, "--batch: expected 1 to 20000 messages"),
    (
        lambda job: not job.redis_ca_file or job.redis_url.startswith("rediss:"),
        "--redis-ca-file: a certificate authority is given, expected --redis-url rediss://HOST:PORT",
    ),
    (
        lambda job: bool(job.redis_cert_file) == bool(job.redis_key_file),
        "--redis-cert-file, --redis-key-file: expected both, or neither",
    ),
    (
        lambda job: not job.redis_cert_file or job.redis_url.startswith("rediss:"),
        "--redis-cert-file: a certificate is given, expected --redis-url rediss://HOST:PORT",
    ),
    (lambda job: 0 <= job.redis_replicas <= 5, "--redis-replicas: expected 0 to 5"),
    (
        lambda job: not job.redis_secret or job.redis_url.startswith("rediss:"),
        "--redis-secret: a password would travel in clear text, expected --redis-url rediss://HOST:PORT",
    ),
)
LIMITS: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (
        lambda job: 1 <= job.min_workers <= job.max_workers <= 1_000,
        "--min-workers, --max-workers: expected 1 <= min_workers <= max_workers <= 1000",
    ),
    (
        lambda job: bool(re.fullmatch(SHORT_NAME, job.name)),
        "--job-name: not given, and the use case file's name does not do for one",
    ),
    (
        lambda job: "regions/" not in job.subnetwork or f"regions/{job.region}/" in job.subnetwork,
        "--subnetwork: found one of another region, expected one of --region, where the workers are",
    ),
)


def flag(name: str) -> str:
    """The flag of a setting."""
    return "--label" if name == "labels" else "--" + name.replace("_", "-")


def is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _wrong(each: Field[Any], value: Any) -> Iterator[str]:
    """Why the value will not do for the field. A password in it is not told."""
    kind = dict if each.name == "labels" else each.type
    expected, pattern = each.metadata["expected"], each.metadata["pattern"]
    if type(value) is not kind:
        wanted = expected or {bool: "true or false", str: "text"}[each.type]
        yield f"{flag(each.name)}: found {value!r}, expected {wanted}"
    elif pattern and (value or is_required(each)) and not re.fullmatch(pattern, value):
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


def _read(file: Path, known: list[str]) -> dict[str, Any]:
    """An environment file. Raises BadSettings."""
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"{file}: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadSettings(f"{file}: {error}") from None
    if not isinstance(found, dict):
        raise BadSettings(f"{file}: found {type(found).__name__}, expected keys such as project and region")
    if unknown := [str(key) for key in found if key not in known]:
        raise BadSettings("\n".join(f"{file}: {_unknown(key, known)}" for key in unknown))
    return found


def _unknown(key: str, known: list[str]) -> str:
    if now := FORMER_KEYS.get(key):
        return f"{key} is now {now}"
    return f"{key}: no such setting; there are {', '.join(known)}"
