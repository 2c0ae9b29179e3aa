"""Queries of a use case's assessments in BigQuery, with the retries and parameters they share."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter
from google.cloud.bigquery.retry import DEFAULT_RETRY
from google.cloud.bigquery.table import RowIterator

from features.usecase import UseCase
from pipeline.bigquery.client import query_client
from pipeline.bigquery.schemas import ASSESSMENTS

ASK_AGAIN = DEFAULT_RETRY.with_timeout(60.0)
DAY = timedelta(days=1)
ALL_SCORED = "use_case = @use_case AND score IS NOT NULL"
OWN = "use_case = @use_case AND fingerprint = @fingerprint"
SCORED = f"{OWN} AND score IS NOT NULL"
DURING = "event_time >= @since AND event_time < @until"
NEWEST = f"SELECT MAX(event_time) FROM `{{table}}` WHERE {SCORED}"
OLDEST = f"SELECT MIN(event_time) FROM `{{table}}` WHERE {SCORED} AND {DURING}"
# A customer whose first event in the log has the number 1 was not in the store before.
FIRST_NUMBERS = f"""
SELECT COUNT(*), COUNTIF(seq = 1) FROM (
  SELECT customer, MIN(seq) AS seq FROM `{{table}}` WHERE {OWN} AND {DURING} GROUP BY customer)
"""
COLD = 0.5  # of the first day's customers are new: the store was empty when the log began


@dataclass(frozen=True)
class AssessmentQueries:
    """The assessments of a use case in BigQuery. Every method raises GoogleAPIError."""

    use_case: UseCase
    project: str
    dataset: str = "riskstream"

    @property
    def table(self) -> str:
        return f"{self.project}.{self.dataset}.{ASSESSMENTS.name}"

    def ask(self, sql: str, **values: int | str | datetime) -> RowIterator:
        """Run a query that names its {table}, and return its rows."""
        return self.run(sql.format(table=self.table), **values)

    def run(self, sql: str, **values: int | str | datetime) -> RowIterator:
        """Run a query with these parameters, beside @use_case and @fingerprint, and return its rows."""
        texts = {"use_case": self.use_case.name, "fingerprint": self.use_case.fingerprint}
        kinds = {str: "STRING", int: "INT64", datetime: "TIMESTAMP"}
        given = [ScalarQueryParameter(k, kinds[type(v)], v) for k, v in (texts | values).items()]
        config = QueryJobConfig(query_parameters=given)
        # Without a word, jobs would be tried again for 40 minutes. `query_and_wait` takes the local server's
        # refusals for empty answers.
        patience: dict[str, Any] = {"retry": ASK_AGAIN, "job_retry": None}
        asked = query_client(self.project).query(sql, job_config=config, **patience)
        return asked.result(**patience)

    def newest(self) -> datetime | None:
        """Return the time of the newest scored event; None without any."""
        ((newest,),) = self.ask(NEWEST)
        return newest  # type: ignore[no-any-return]

    def beginning(self, since: datetime, until: datetime, window: timedelta) -> "Beginning | None":
        """Return the beginning of the log, if it was within the window before `since`, or later."""
        before = since - window - DAY
        ((oldest,),) = self.ask(OLDEST, since=before, until=until)
        if oldest is None or oldest < before + DAY:
            return None
        ((customers, new),) = self.ask(FIRST_NUMBERS, since=before, until=oldest + DAY)
        return Beginning(oldest, new > COLD * customers)


@dataclass(frozen=True)
class Beginning:
    """The time of the log's first scored event, and whether the store was empty then."""

    at: datetime
    cold: bool
