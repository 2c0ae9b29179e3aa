"""Settings of the REST service: those of its work, and those that say who may ask."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.engine.settings import METRICS_HOST, EngineSettings
from pipeline.runtime.settings import Setting

ROLES = "viewer, scorer, analyst or admin"


@dataclass(frozen=True, kw_only=True)
class ServiceSettings(EngineSettings):
    """The settings of the service's work. The topic may be a short name or a whole path."""

    topic: Annotated[
        str,
        Setting(
            help="The topic to which events are published before they are assessed.", usual="USE_CASE-events"
        ),
    ] = ""
    host: Annotated[str, Setting(help="The address to listen at.")] = "127.0.0.1"
    port: Annotated[int, Setting(help="The port to listen at.", least=1, most=65_535)] = 8080
    root_path: Annotated[
        str, Setting(help="The prefix that a gateway removes from the path, such as /ai.")
    ] = ""
    metrics_port: Annotated[
        int | None, Setting(help="Serve metrics for Prometheus at this port.", least=1, most=65_000)
    ] = None
    metrics_host: Annotated[str, METRICS_HOST] = "127.0.0.1"
    audit_folder: Annotated[
        Path,
        Setting(
            help="The folder in which records of the audit trail wait for BigQuery.",
            variable="RISKSTREAM_AUDIT_FOLDER",
            metavar="FOLDER",
        ),
    ] = Path(".riskstream/audit")
    # 128 MiB are some 500,000 records: over an hour at 100 requests a second; a pod has 512 MiB.
    audit_mib: Annotated[
        float,
        Setting(
            help="Room for these records, in MiB. When it is used up, only events are accepted.", least=0.001
        ),
    ] = 128
    no_audit: Annotated[
        bool, Setting(help="Keep no audit trail; allowed only where no other machine can ask.")
    ] = False
    allow_unauthenticated: Annotated[
        bool, Setting(help="Answer without tokens, although other machines can ask.")
    ] = False
    max_in_flight: Annotated[
        int, Setting(help="The most requests at once; further ones are told to come back.", least=1)
    ] = 256


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """The settings that say who may ask. A list that is given but empty is refused: it must not mean everybody."""

    issuer: Annotated[
        str,
        Setting(
            help="Accept bearer tokens of this OpenID Connect provider only.", variable="RISKSTREAM_ISSUER"
        ),
    ] = ""
    audience: Annotated[
        str, Setting(help="The audience for which tokens are made.", variable="RISKSTREAM_AUDIENCE")
    ] = ""
    caller_emails: Annotated[
        str | None,
        Setting(
            help=f"Callers by verified e-mail address: EMAIL=ROLE, with commas; the role is {ROLES}.",
            variable="RISKSTREAM_CALLER_EMAILS",
        ),
    ] = None
    caller_subjects: Annotated[
        str | None,
        Setting(
            help="Callers by the subject of their tokens: SUBJECT=ROLE, with commas.",
            variable="RISKSTREAM_CALLER_SUBJECTS",
        ),
    ] = None
    caller_groups: Annotated[
        str | None,
        Setting(
            help="Callers by the groups in their tokens: GROUP=ROLE, with commas.",
            variable="RISKSTREAM_CALLER_GROUPS",
        ),
    ] = None
    groups_claim: Annotated[
        str, Setting(help="The claim of a token that lists groups.", variable="RISKSTREAM_GROUPS_CLAIM")
    ] = "groups"
    other_callers: Annotated[
        str,
        Setting(
            help=f"The role of the issuer's callers who are in no list: {ROLES}.",
            variable="RISKSTREAM_OTHER_CALLERS",
            usual="they are refused",
        ),
    ] = ""
