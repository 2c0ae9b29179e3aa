"""Held-out scores of every row that training used, as a Parquet table beside the report: for figures of one's own.

No score is by a model that has learned from the row, nor, but for the split `time`, from any row of its customer. The
table holds identifiers of customers and events, so whoever may read it is who may read the history.

    customer, event_type, event_id   text      whose row it is, and of which event
    time                             time      of the event, UTC
    label                            integer   1 positive, 0 negative
    weight                           number    of the row in figures of events: see `HeldOut.weight`
    fold                             integer   that the row is in, from 0: the score is by the model without it; none
                                               where a cut in time sets the row apart
    score                            number    the event's, a probability
    level                            text      that the event's score reaches: LOW, MEDIUM or HIGH
    customer_score                   number    that ranks the customer, from its rows of the same `in_report`
    customer_level                   text      the customer's level after its last event
    customer_highest_level           text      the highest level that the customer ever had
    recommended, is_open             boolean   whether the customer was ever recommended, and is so after its last event
    in_report                        boolean   whether the report's figures are of this row

With folds of customers the report's figures are of all rows. With a cut in time they are of the later part alone, by a
model of the earlier part; then the table has the rows of the model that is kept too, each by the folds of that model,
so an event may stand there twice. `level` is by the thresholds that go with the score. Levels of customers and
recommendations are those of the replayed policy (training.evaluation.recommendations), as in the report.
"""

from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from export.policy import Level, Transition
from training.arrays import Floats
from training.build_bundle import BuiltBundle
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.recommendations import replayed
from training.models.held_out import HeldOut

FILE = "scores.parquet"
LEVELS = ("medium", "high")  # rising
NAMES = np.array([level.name for level in Level])


def files(made: BuiltBundle) -> dict[str, bytes]:
    """The table of a training as a Parquet file, by name; the same training gives the same bytes."""
    parts = [_table(made.held_out, in_report=True)]
    if made.out_of_fold is not made.held_out:
        parts.append(_table(made.out_of_fold, in_report=False))
    file = BytesIO()
    pq.write_table(pa.concat_tables(parts), file, compression="zstd")
    return {FILE: file.getvalue()}


def _table(held_out: HeldOut, in_report: bool) -> pa.Table:
    customers, rows = HeldOutCustomers.of(held_out), held_out.rows
    of_customer, made = customers.of_row, replayed(held_out)
    return pa.table(
        {
            "customer": pa.array(rows.customers.tolist(), pa.string()),
            "event_type": pa.array(rows.event_types.tolist(), pa.string()),
            "event_id": pa.array(rows.event_ids.tolist(), pa.string()),
            "time": pa.array(rows.times_us, pa.timestamp("us", "UTC")),
            "label": pa.array(rows.label, pa.int8()),
            "weight": pa.array(customers.weight, pa.float64()),
            "fold": _folds(held_out),
            "score": pa.array(held_out.score, pa.float64()),
            "level": _levels(held_out.score, held_out.thresholds),
            "customer_score": pa.array(customers.score[of_customer], pa.float64()),
            "customer_level": NAMES[made.last_level[of_customer]],
            "customer_highest_level": NAMES[made.highest_level[of_customer]],
            "recommended": pa.array(made.ever(Transition.RECOMMENDED)[of_customer]),
            "is_open": pa.array(made.is_open[of_customer]),
            "in_report": pa.array(np.full(len(rows), in_report)),
        }
    )


def _folds(held_out: HeldOut) -> pa.Array:
    if held_out.model_of_row is None:
        return pa.nulls(len(held_out.score), pa.int16())
    return pa.array(held_out.model_of_row, pa.int16())


def _levels(score: Floats, thresholds: dict[str, float]) -> NDArray[np.str_]:
    """The highest level [n] whose threshold is reached."""
    reached = np.full(len(score), "LOW", "U6")
    for level in LEVELS:
        reached[score >= thresholds[level]] = level.upper()
    return reached
