"""Settings of whoever assesses events: a job, or the REST service."""

from dataclasses import dataclass
from typing import Annotated

from pipeline.bigquery.settings import BigQuerySettings
from pipeline.runtime.settings import Setting
from pipeline.stores.settings import RedisWriterSettings

BUNDLE = Setting(
    help="The folder of bundles, or one bundle; local or gs://.", variable="RISKSTREAM_BUNDLE", pattern=r".+"
)
BUNDLES = "build/bundles"
METRICS_HOST = Setting(help="The address at which the port of the metrics is opened.")


@dataclass(frozen=True, kw_only=True)
class EngineSettings(RedisWriterSettings, BigQuerySettings):
    """The settings of reading records, scoring and committing."""

    bundle: Annotated[str, BUNDLE] = BUNDLES
    allow_empty_store: Annotated[
        bool, Setting(help="Start although nothing has filled the records of these features.")
    ] = False
