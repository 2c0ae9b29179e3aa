"""Settings of a certification: how much is published, for how long, and which faults there are."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pipeline.bigquery.settings import PROJECT
from pipeline.runtime.settings import Rules, Setting
from pipeline.stores.settings import PREFIX, RedisWriterSettings


@dataclass(frozen=True, kw_only=True)
class CertifySettings(RedisWriterSettings):
    """The servers to certify, the bounds of a run, and its faults."""

    RULES: ClassVar[Rules] = (
        (
            lambda certify: certify.allow_failover or not certify.failover_command,
            "--failover-command: a command is given, expected --allow-failover too",
        ),
    )

    project: Annotated[str, PROJECT]
    prefix: Annotated[str, PREFIX] = "riskstream_certify"  # one in use is refused
    location: Annotated[str, Setting(help="The location of the run's dataset in BigQuery.")] = "EU"
    events: Annotated[int, Setting(help="How many messages are published.", least=100, most=1_000_000)] = (
        20_000
    )
    minutes: Annotated[float, Setting(help="The most minutes that the run may take.", least=1, most=600)] = (
        20.0
    )
    memory_mb: Annotated[
        int, Setting(help="The most megabytes that the run may take in Redis.", least=1, most=100_000)
    ] = 100
    workers: Annotated[int, Setting(help="Worker processes of the job.", least=1, most=16)] = 2
    batch: Annotated[
        int, Setting(help="The most messages that a worker assesses at once.", least=1, most=20_000)
    ] = 500
    kills: Annotated[int, Setting(help="How often the job is killed; 0: never.", least=0, most=100)] = 3
    outage_s: Annotated[
        float, Setting(help="Seconds that each outage lasts; 0: there is none.", least=0, most=600)
    ] = 10.0
    allow_failover: Annotated[
        bool, Setting(help="Make a replica take over: CLUSTER FAILOVER, or --failover-command.")
    ] = False
    failover_command: Annotated[
        str, Setting(help="The command that makes a replica take over where Redis is no cluster.")
    ] = ""
    seed: Annotated[int, Setting(help="The seed of the stream.", least=0)] = 1
