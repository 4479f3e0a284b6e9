"""The status messages of a device: online, offline, and how many readings it dropped. Pure.

docs/wire-format.md describes the message.
"""

from math import inf

from devices.outbox.queue import Outbox
from devices.source import Source
from vitals.status import Status, encode_status

STATUS_INTERVAL_S = 5.0  # the shortest time between two status messages that report dropped readings


class StatusMessages:
    """Status messages of one device; another one is due after readings were dropped."""

    def __init__(self, source: Source, outbox: Outbox) -> None:
        self._source = source
        self._boot = source.boot if source.numbered else 0
        self._outbox = outbox
        self._published_dropped = 0
        self._published_at = -inf

    def online(self, now: float) -> bytes:
        """Make the status that is published now."""
        self._published_dropped, self._published_at = self._outbox.dropped, now
        source = self._source
        status = Status(
            state="online",
            boot=self._boot,
            interval_s=source.interval_s,
            clock="right" if source.right_clock else None,
            model=source.model,
            dropped=self._outbox.dropped,
        )
        return encode_status(status)

    def offline(self) -> bytes:
        """Make the status for the will and for an orderly end."""
        return encode_status(Status(state="offline", boot=self._boot, dropped=self._outbox.dropped))

    def due_at(self) -> float:
        """Return when `online` is to be published again; infinity if nothing was dropped since."""
        return inf if self._outbox.dropped == self._published_dropped else self._published_at + STATUS_INTERVAL_S
