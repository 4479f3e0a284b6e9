"""What a fleet counts, and how it is told: one line for all devices, never one line for each.

`publisher` counts here and reports trouble here; `fleet` lets the lines out. Pure: time is an argument.
"""

from dataclasses import dataclass, field

REMIND_S = 30.0  # seconds between two sentences about the same broker being away


@dataclass(slots=True)
class Tally:
    """Sums over all devices of a fleet.

    published   readings that the broker has acknowledged
    produced    readings that were made
    dropped     readings lost to a full outbox
    waiting     readings in outboxes
    """

    devices: int
    connected: int = 0
    produced: int = 0
    published: int = 0
    dropped: int = 0

    @property
    def waiting(self) -> int:
        """Readings that were made and neither taken by the broker nor dropped."""
        return self.produced - self.published - self.dropped

    def line(self) -> str:
        """The progress line."""
        dropped = f" · {self.dropped} dropped: outbox full" if self.dropped else ""
        return (
            f"{self.published} published · {self.waiting} waiting{dropped} · "
            f"{self.connected} of {self.devices} connected"
        )


@dataclass(slots=True)
class Trouble:
    """Turns the failures of thousands of connections into a sentence now and then."""

    broker: str
    remind_s: float = REMIND_S
    _told_at: float | None = field(default=None, init=False)

    def sentence(self, reason: str, now: float) -> str | None:
        """What to say about a failed connection at `now` (monotonic seconds); None where it was said lately."""
        if self._told_at is not None and now - self._told_at < self.remind_s:
            return None
        self._told_at = now
        return f"waiting for the broker at {self.broker}: {reason} (trying again; readings are kept meanwhile)"

    def over(self) -> str | None:
        """What to say when every device is connected; None where nothing was wrong."""
        if self._told_at is None:
            return None
        self._told_at = None
        return f"connected to the broker at {self.broker}"
