"""What the log says of rejects: ids, reason and trace; nothing of what they hold.

The key of a record that cannot be read is told although it names a customer: nobody could mend it otherwise.
"""

import logging
from collections.abc import Sequence

from pipeline.engine.rejects import Reject
from pipeline.runtime import tracing

EXAMPLES = 5  # of a batch that are logged one by one: a flood of them must not stop the stream

logger = logging.getLogger(__name__)


def tell_rejects(rejects: Sequence[Reject]) -> None:
    """The first of a batch one by one, the others as a number."""
    for reject in rejects[:EXAMPLES]:
        facts = {
            "event_id": reject.event_id,
            "event_type": reject.event_type,
            "message_id": reject.message.message_id,
            "reason": reject.reason,
            "key": reject.key,
            "trace_id": tracing.trace_id(tracing.parent_of(reject.message.attributes)),
        }
        text = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
        logger.warning("dead letter: %s", text, extra=facts)
    if len(rejects) > EXAMPLES:
        logger.warning("and %d more dead letters in the same batch", len(rejects) - EXAMPLES)
