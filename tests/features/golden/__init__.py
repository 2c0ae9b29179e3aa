"""Bytes that must not change by accident. `python -m tests.features.golden` writes them anew.

A new layout needs a new layout version and a new file, so that old records are refused by name.
"""

from pathlib import Path

from features.kernel.plan import EVER, EntityPlan, Lane, Output, Statistic
from tests.features.driving import Driver
from tests.features.histories import DAY, HOUR, MINUTE, NAN, SECOND
from tests.features.oracle import Event

RECORD = Path(__file__).with_name("record_v1.bin")
START_US = 1_772_323_200 * SECOND  # 2026-03-01 00:00:00

PLAN = EntityPlan(
    fingerprint=0x0123456789ABCDEF,
    lanes=(Lane(0, 0), Lane(1, -1), Lane(-1, -1)),
    values=2,
    distincts=1,
    attributes=3,
    sources=2,
    outputs=(
        Output(0, Statistic.SUM, DAY, HOUR),
        Output(0, Statistic.DISTINCT, DAY, HOUR),
        Output(0, Statistic.MAX, 30 * DAY, DAY),
        Output(1, Statistic.STD, 30 * DAY, DAY),
        Output(2, Statistic.COUNT, HOUR, 5 * MINUTE),
        Output(1, Statistic.LAST, EVER, 0),
        Output(2, Statistic.SINCE_FIRST, EVER, 0),
    ),
    is_subject=True,
)
ATTRIBUTE_SOURCE = (0, 0, 1)


def event(k: int) -> Event:
    """Every 7 hours or so, every tenth two hours late; amounts in cents and rates that are not."""
    source = {0: 0, 5: 1}.get(k % 10, -1)
    return Event(
        entity="customer",
        key=k * 0x9E3779B97F4A7C15 % 2**64,
        time_us=START_US + k * 7 * HOUR + k % 7 * SECOND - (2 * HOUR if k % 10 == 3 else 0),
        lanes=1 + k % 7,
        values=(k * 12.34 - 100, k / 7 if k % 3 else NAN),
        slots=(k * 37 % 256,),
        source=source,
        attributes={0: (float(k), NAN, NAN), 1: (NAN, NAN, k / 3)}.get(source, ()),
    )


def record() -> bytes:
    """The record after 100 events, of which 36 have left the ring."""
    driver = Driver(PLAN, ATTRIBUTE_SOURCE)
    driver.tell([event(k) for k in range(100)], (30,))
    return driver.blobs["customer"]
