"""The end of the log in BigQuery: how many assessments it has of a use case, and their latest numbers.

Asked when a job starts, to tell a store that lost something from one that never had it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter

from features.usecase import UseCase
from features.usecase.expiry import expiries_ms
from pipeline.bigquery.client import query_client
from pipeline.bigquery.schemas import ASSESSMENTS
from pipeline.runtime.errors import SinkUnavailable

TIMEOUT_S = 10.0
LATEST = 2_000  # assessments: whatever a server has lost, it has lost its last writes
COUNT = "SELECT COUNT(*) AS n FROM `{table}` WHERE use_case = @use_case AND fingerprint = @fingerprint"
NUMBERS = """
SELECT customer, MAX(assessed_at) AS at,
  ARRAY_AGG(seq ORDER BY assessed_at DESC, seq DESC LIMIT 1)[SAFE_OFFSET(0)] AS seq FROM (
  SELECT customer, seq, assessed_at FROM `{table}` WHERE use_case = @use_case AND fingerprint = @fingerprint
  ORDER BY assessed_at DESC LIMIT {latest}
) GROUP BY customer
"""


@dataclass(frozen=True)
class LogEnd:
    """The end of the log of one use case's present features. Every method raises SinkUnavailable."""

    project: str
    dataset: str
    use_case: UseCase

    def count(self) -> int:
        """Count the rows of the log; 0 if there is no table."""
        return sum(row.n for row in self._rows(COUNT))

    def numbers(self, now: datetime) -> Mapping[str, int]:
        """Return the seq that each customer of the latest rows had reached, for records that cannot have expired."""
        expiry_ms = expiries_ms(self.use_case)[self.use_case.subject]
        since = now - timedelta(milliseconds=expiry_ms) if expiry_ms else datetime.min.replace(tzinfo=UTC)
        return {row.customer: row.seq for row in self._rows(NUMBERS) if row.at > since}

    def _rows(self, text: str) -> Any:
        table = f"{self.project}.{self.dataset}.{ASSESSMENTS.name}"
        values = {"use_case": self.use_case.name, "fingerprint": self.use_case.fingerprint}
        config = QueryJobConfig(
            query_parameters=[ScalarQueryParameter(name, "STRING", value) for name, value in values.items()]
        )
        query = text.format(table=table, latest=LATEST)
        once: dict[str, Any] = {"retry": None, "timeout": TIMEOUT_S}
        client = query_client(self.project)
        try:
            client.get_table(table, **once)  # a query calls a missing table a forbidden one
            job = client.query(query, job_config=config, job_retry=None, **once)
            return list(job.result(job_retry=None, **once))
        except NotFound:
            return []
        except (GoogleAPIError, GoogleAuthError, OSError) as error:
            raise SinkUnavailable(f"BigQuery, {table}: {error}") from error
