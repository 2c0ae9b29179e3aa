"""Settings of a streaming job: those that it has on any runner, and those of a job on this machine."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pipeline.engine.settings import METRICS_HOST, EngineSettings
from pipeline.runtime.settings import Rules, Setting
from pipeline.runtime.watchdog import Limits

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
    # Longer than the timeouts of all calls, the longest of which is 30 s.
    hang_timeout_s: Annotated[
        int,
        Setting(
            help="Seconds after which a process ends in which a call, or the work at hand, gets nowhere.",
            expected="at least 60, or 0 for never",
        ),
    ] = 300
    # A model out of Cloud Storage and compilation take a minute or two.
    start_timeout_s: Annotated[
        int,
        Setting(
            help="Seconds after which a process ends that hangs while it starts.",
            expected="at least 60, or 0 for never",
        ),
    ] = 600

    RULES: ClassVar[Rules] = (
        (
            lambda job: all(each == 0 or each >= 60 for each in (job.hang_timeout_s, job.start_timeout_s)),
            "--hang-timeout-s, --start-timeout-s: expected at least 60, or 0 for never",
        ),
    )

    @property
    def limits(self) -> Limits:
        """The limits of the watchdog."""
        return Limits(self.hang_timeout_s, self.start_timeout_s)


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
