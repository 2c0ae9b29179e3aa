"""Settings of a job on Dataflow: flags, keys of an environment file, parameters of the Flex Template.

A setting comes from a flag, else from the file, else it has a default; nothing comes from the shell's environment,
so that what runs in production is what is written down. Reads nothing but the file, imports nothing heavy.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import usecases
from pipeline.bigquery.settings import PROJECT
from pipeline.job.settings import JobSettings
from pipeline.runtime.errors import BadSettings
from pipeline.runtime.settings import Rules, Setting, SettingsClass, declared, faults, flag
from pipeline.stores.settings import CA_FILE, CERT_FILE, KEY_FILE, PREFIX

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
FILE, FILE_PATTERN = "gs://BUCKET/FILE, or a file of the image", r"(gs:/)?/.+"
SHORT_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"


@dataclass(frozen=True, kw_only=True)
class TemplateSettings(JobSettings):
    """The settings of the steps on Dataflow, wherever they are launched from: stricter than on one's own machine."""

    project: Annotated[str, replace(PROJECT, pattern=r"[a-z][-a-z0-9:.]{4,61}[a-z0-9]")]
    use_case: Annotated[
        str,
        Setting(
            help="The use case: a file, local or gs://, or the name of a packaged one; its text travels with the job.",
            expected="a file or a name",
            pattern=r".+",
            metavar="NAME_OR_FILE",
        ),
    ] = usecases.DEFAULT
    bundle: Annotated[
        str,
        Setting(
            help="The folder of bundles, or one bundle.",
            expected="gs://BUCKET/FOLDER",
            pattern=rf"{BUCKET}/.+",
        ),
    ] = field()
    redis_url: Annotated[
        str,
        Setting(
            help="The address of Memorystore. A password is in a secret (redis_secret), never here.",
            expected="rediss://HOST:PORT or redis://HOST:PORT",
            pattern=r"rediss?://[^/@]+(/\d+)?",
        ),
    ]
    redis_ca_file: Annotated[str, replace(CA_FILE, expected=FILE, pattern=FILE_PATTERN)] = ""
    redis_cert_file: Annotated[str, replace(CERT_FILE, expected=FILE, pattern=FILE_PATTERN)] = ""
    redis_key_file: Annotated[str, replace(KEY_FILE, expected=FILE, pattern=FILE_PATTERN)] = ""
    prefix: Annotated[str, replace(PREFIX, expected="text without a colon", pattern=r"[^:\s]+")] = (
        "riskstream"
    )

    def __post_init__(self) -> None:
        """Raises BadSettings."""
        if wrong := list(faults(self)):
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

    @classmethod
    def resolved(cls, flags: Mapping[str, Any], file: Path | None) -> Self:
        """Return the settings of flags (None: not given) over those of a file.

        Raises BadSettings, which names the file where it is at fault.
        """
        given = {name: value for name, value in flags.items() if value is not None}
        settings_class: type[SettingsClass] = cls
        known = declared(settings_class)
        written = _read(file, [each.name for each in known]) if file else {}
        both = {**written, **given}
        if "labels" in given and isinstance(written.get("labels"), dict):
            both["labels"] = {**written["labels"], **given["labels"]}
        missing = [each for each in known if each.is_required and each.name not in both]
        if missing:
            where = f" and not in {file}" if file else ""
            lines = [f"{each.flag}: not given{where}, expected {each.setting.wanted}" for each in missing]
            raise BadSettings("\n".join([*lines, *([] if file else ["--env names a file with settings"])]))
        try:
            return cls(**both)
        except BadSettings as error:
            raise BadSettings(f"{error}\n(with the settings of {file})" if file else str(error)) from None


@dataclass(frozen=True, kw_only=True)
class DataflowSettings(TemplateSettings):
    """The settings of a whole job on Dataflow: those of its steps, and those of the service and its workers."""

    RULES: ClassVar[Rules] = (
        (
            lambda job: job.min_workers <= job.max_workers,
            "--min-workers, --max-workers: expected min_workers <= max_workers",
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

    region: Annotated[
        str,
        Setting(
            help="The region in which the job runs.",
            expected="a region such as europe-west1",
            pattern=r"[a-z]+-[a-z]+\d+",
        ),
    ]
    job_name: Annotated[
        str,
        Setting(
            help="The name of the job, unique in its region.",
            usual="riskstream-USE_CASE",
            expected="lower case letters, digits and dashes",
            pattern=SHORT_NAME,
        ),
    ] = ""
    image: Annotated[
        str,
        Setting(
            help="The worker image (deploy/images, target worker).",
            expected="REGISTRY/.../NAME:TAG or ...@sha256:DIGEST",
            pattern=r"[\w.-]+(/[\w.-]+)+(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})",
        ),
    ]
    staging: Annotated[
        str,
        Setting(
            help="The folder for the pipeline and temporary files.",
            expected="gs://BUCKET or gs://BUCKET/FOLDER",
            pattern=rf"{BUCKET}(/.+)?",
        ),
    ]
    service_account: Annotated[
        str,
        Setting(
            help="The service account of the workers.",
            expected="NAME@PROJECT.iam.gserviceaccount.com",
            pattern=r"[^@\s]+@[^@\s]+\.gserviceaccount\.com",
        ),
    ]
    subnetwork: Annotated[
        str,
        Setting(
            help="The subnetwork of the workers, from which Memorystore can be reached.",
            expected="NAME, regions/REGION/subnetworks/NAME or its URL",
            pattern=rf"{SHORT_NAME}|(https://\S+/)?regions/[^/]+/subnetworks/{SHORT_NAME}",
        ),
    ]
    network: Annotated[
        str,
        Setting(
            help="The network, where the subnetwork does not name it.", expected="a name", pattern=SHORT_NAME
        ),
    ] = ""
    public_ips: Annotated[bool, Setting(help="Give workers public addresses. They need none.")] = False
    machine_type: Annotated[
        str,
        Setting(
            help="The machine type of a worker.",
            expected="a type such as n2-standard-4",
            pattern=r"[a-z][a-z0-9]*-[a-z0-9-]+",
        ),
    ] = "n2-standard-4"
    min_workers: Annotated[int, Setting(help="The smallest number of workers.", least=1, most=1_000)] = 1
    max_workers: Annotated[int, Setting(help="The largest number of workers.", least=1, most=1_000)] = 10
    mode: Annotated[
        str,
        Setting(
            help=f"{AT_LEAST_ONCE} or {EXACTLY_ONCE}. Results are the same in both, as records know their events; "
            f"{AT_LEAST_ONCE} saves Dataflow's own work against duplicates, so it is cheaper and faster.",
            expected=" or ".join(MODES),
            pattern="|".join(MODES),
        ),
    ] = AT_LEAST_ONCE
    labels: Annotated[
        dict[str, str],
        Setting(help="A label of the job, for lists and bills.", expected="KEY=VALUE", metavar="KEY=VALUE"),
    ] = field(default_factory=dict)
    skip_redis_check: Annotated[
        bool, Setting(help="Do not check Redis, which cannot be reached from here but can from the workers.")
    ] = False

    def __post_init__(self) -> None:
        """Raises BadSettings."""
        super().__post_init__()
        if wrong := list(_wrong_labels(self.labels)):
            raise BadSettings("\n".join(wrong))

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job_name or "riskstream-" + Path(self.use_case).stem.lower().replace("_", "-")


def _wrong_labels(labels: Mapping[str, str]) -> Iterator[str]:
    for key, value in labels.items():
        if key in OWN_LABELS:
            yield f"--label: {key} is one that riskstream sets itself"
        elif not LABEL_KEY.fullmatch(str(key)) or not LABEL_VALUE.fullmatch(str(value)):
            yield f"--label: found {key}={value}, expected lower case letters, digits, _ and -, at most 63"


def labels_of(pairs: Iterable[str]) -> dict[str, str]:
    """Return KEY=VALUE pairs as a mapping. Raises BadSettings."""
    parts = [pair.partition("=") for pair in pairs]
    if without := [key for key, sign, _ in parts if not sign]:
        raise BadSettings(f"--label: found {without[0]!r}, expected KEY=VALUE")
    return {key: value for key, _, value in parts}


def _read(file: Path, known: list[str]) -> dict[str, Any]:
    """Read an environment file. Raises BadSettings."""
    import yaml

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"{file}: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadSettings(f"{file}: {error}") from None
    if not isinstance(document, dict):
        raise BadSettings(
            f"{file}: found {type(document).__name__}, expected keys such as project and region"
        )
    if unknown := [str(key) for key in document if key not in known]:
        raise BadSettings("\n".join(f"{file}: {_unknown(key, known)}" for key in unknown))
    return document


def _unknown(key: str, known: list[str]) -> str:
    if now := FORMER_KEYS.get(key):
        return f"{key} is now {now}"
    return f"{key}: no such setting; there are {', '.join(known)}"
