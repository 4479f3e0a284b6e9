"""Keep what a request holds, and count what became of it."""

from collections.abc import Mapping

from edges.inbox.entry import Entry
from edges.inbox.inbox import Inbox, Taken
from edges.observations.observed import Reason
from edges.service.metrics import Metrics
from vitals.errors import TransientError


async def keep(inbox: Inbox, metrics: Metrics, entry: Entry, counts: Mapping[str, int], answer: str) -> Taken:
    """Return what the sender gets, after all of an entry is kept; raises TransientError.

    counts   of its observations by reason
    answer   how a message is counted that is no repeat
    """
    try:
        taken = await inbox.take(entry)
    except TransientError:
        metrics.messages.labels("error").inc()
        raise
    if taken.repeated:
        metrics.messages.labels("repeated").inc()
        return taken
    metrics.messages.labels(answer).inc()
    for reason, count in counts.items():
        metrics.observations.labels(reason).inc(count - taken.again if reason == Reason.USED else count)
    if taken.again:
        metrics.observations.labels(Reason.SAME_AGAIN).inc(taken.again)
    return taken
