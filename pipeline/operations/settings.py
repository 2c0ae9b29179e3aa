"""Settings of the commands that look at a running system."""

from dataclasses import dataclass
from typing import Annotated

from pipeline.bigquery.settings import BigQuerySettings
from pipeline.runtime.settings import Setting
from pipeline.stores.settings import REDIS_URL, RedisSettings


@dataclass(frozen=True, kw_only=True)
class StatusSettings(RedisSettings, BigQuerySettings):
    """The places that a status asks. Without an address of Redis the other places are asked all the same."""

    redis_url: Annotated[str, REDIS_URL] = ""
    state: Annotated[
        str, Setting(help="The folder of job.json, which `run` writes and `status` reads.", metavar="FOLDER")
    ] = ".riskstream"
