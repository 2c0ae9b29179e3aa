"""Settings of a streaming job: those that it has on any runner, and those of a job on this machine."""

from dataclasses import dataclass
from typing import Annotated

from pipeline.engine.settings import METRICS_HOST, EngineSettings
from pipeline.runtime.settings import Setting

STATE_FOLDER = ".riskstream"


@dataclass(frozen=True, kw_only=True)
class JobSettings(EngineSettings):
    """The settings of the steps, wherever they run. Topics and the subscription may be short names or whole paths."""

    subscription: Annotated[
        str, Setting(help="The subscription that events come from.", usual="USE_CASE-events-riskstream")
    ] = ""
    alerts_topic: Annotated[
        str, Setting(help="The topic that changes of level go to.", usual="USE_CASE-alerts")
    ] = ""
    dead_letters_topic: Annotated[
        str, Setting(help="The topic that unusable messages go to.", usual="USE_CASE-dead-letters")
    ] = ""
    # The more events there are in a batch, the more of them share the reading and writing of a record.
    batch: Annotated[
        int, Setting(help="The most messages that are assessed at once.", least=1, most=20_000)
    ] = 16_000
    owners: Annotated[
        bool,
        Setting(
            help="Let one worker fold the events of each merchant or device, where workers share its record."
        ),
    ] = True


@dataclass(frozen=True, kw_only=True)
class RunSettings(JobSettings):
    """The settings of a job that `riskstream run` starts."""

    workers: Annotated[
        int, Setting(help="Processes on this machine, or pullers on another runner.", least=1, most=64)
    ] = 1
    # At these bounds no more messages are pulled; what is assessed by then is still delivered.
    most_unacknowledged: Annotated[
        int, Setting(help="The most messages of a process that may wait for their rows.", least=1)
    ] = 1_000_000
    rows_in_memory_mib: Annotated[
        int, Setting(help="MiB of rows that may wait in memory; more go to temporary files.", least=1)
    ] = 128
    rows_on_disk_mib: Annotated[
        int, Setting(help="MiB of rows that may wait in temporary files of a process.", least=1)
    ] = 2_048
    metrics_port: Annotated[
        int | None,
        Setting(
            help="Serve metrics for Prometheus; each process takes the first free port from this one on.",
            least=1,
            most=65_000,
        ),
    ] = None
    metrics_host: Annotated[str, METRICS_HOST] = "127.0.0.1"
    state: Annotated[
        str, Setting(help="The folder of job.json, which `run` writes and `status` reads.", metavar="FOLDER")
    ] = STATE_FOLDER
