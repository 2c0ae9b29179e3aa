"""Settings of BigQuery: where the log of assessments is."""

from dataclasses import dataclass
from typing import Annotated

from pipeline.runtime.settings import Setting

PROJECT = Setting(
    help="The Google Cloud project.", expected="its id", pattern=r".+", variable="GOOGLE_CLOUD_PROJECT"
)
DATASET = Setting(help="The dataset in BigQuery.", expected="a name", pattern=r"\w+")


@dataclass(frozen=True, kw_only=True)
class BigQuerySettings:
    """The project, dataset and location of the tables."""

    project: Annotated[str, PROJECT]
    dataset: Annotated[str, DATASET] = "riskstream"
