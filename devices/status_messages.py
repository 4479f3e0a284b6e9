"""What a device says of itself: its birth, its will and its goodbye, and how many readings it dropped.

Pure; `publisher` says it. docs/wire-format.md describes the message.
"""

from math import inf

from devices.outbox.queue import Outbox
from devices.source import Source
from vitals.status import Status, encode_status

STATUS_INTERVAL_S = 5.0  # seconds between two statuses that tell of more dropped readings, at least


class StatusMessages:
    """The statuses of one device, and when one more is due because readings were dropped since the last."""

    def __init__(self, source: Source, outbox: Outbox) -> None:
        self._source = source
        self._outbox = outbox
        self._published_dropped = 0
        self._published_at = -inf

    def online(self, now: float) -> bytes:
        """The status that is published now."""
        self._published_dropped, self._published_at = self._outbox.dropped, now
        source = self._source
        status = Status(
            state="online",
            boot=source.boot,
            interval_s=source.interval_s,
            model=source.model,
            dropped=self._outbox.dropped,
        )
        return encode_status(status)

    def offline(self) -> bytes:
        """The goodbye, or the will."""
        return encode_status(Status(state="offline", boot=self._source.boot, dropped=self._outbox.dropped))

    def due_at(self) -> float:
        """When `online` has to be said again; infinity where there is nothing new."""
        return inf if self._outbox.dropped == self._published_dropped else self._published_at + STATUS_INTERVAL_S
