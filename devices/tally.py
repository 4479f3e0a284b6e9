"""What a fleet counts, and how it is told: one line for all devices, never one line for each.

`publisher` counts here and reports trouble here; `fleet` lets the lines out. Pure: time is an argument.
"""

from dataclasses import dataclass, field

REMIND_S = 30.0  # seconds between two sentences about the same broker being away


@dataclass(slots=True)
class Tally:
    """Sums over all devices of a fleet.

    produced    readings that were made
    recalled    readings that an earlier run left in the outbox file
    published   readings that the broker has acknowledged, each counted once
    confirmed   readings that a receipt has named; `rejected` of them were refused and kept with the reason
    resent      readings sent again because no receipt named them
    dropped     readings lost to a full outbox before the broker had them
    let_go      readings that a full outbox pushed out after the broker had them and before their receipt
    """

    devices: int
    connected: int = 0
    produced: int = 0
    recalled: int = 0
    published: int = 0
    confirmed: int = 0
    rejected: int = 0
    resent: int = 0
    dropped: int = 0
    let_go: int = 0

    @property
    def waiting(self) -> int:
        """Readings that were made and neither taken by the broker nor dropped."""
        return self.recalled + self.produced - self.published - self.dropped

    @property
    def unconfirmed(self) -> int:
        """Readings that the broker has taken and no receipt has named; 0 where there are no receipts at all."""
        return self.published - self.confirmed if self.confirmed else 0

    def line(self) -> str:
        """The progress line."""
        confirmed = f" · {self.confirmed} confirmed" if self.confirmed else ""
        dropped = f" · {self.dropped} dropped: outbox full" if self.dropped else ""
        return (
            f"{self.published} published{confirmed} · {self.waiting} waiting{dropped} · "
            f"{self.connected} of {self.devices} connected"
        )

    def summary(self) -> str:
        """The last line."""
        parts = [f"{self.published} readings published", f"{self.waiting} unsent", f"{self.dropped} dropped"]
        if self.confirmed:
            parts.append(f"{self.unconfirmed} unconfirmed")
        if self.rejected:
            parts.append(f"{self.rejected} refused (see the table rejected_message)")
        return ", ".join(parts)


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


@dataclass(slots=True)
class Puzzles:
    """Turns receipts that make no sense, of any number of devices, into a sentence now and then."""

    remind_s: float = REMIND_S
    _told_at: float | None = field(default=None, init=False)
    _untold: int = field(default=0, init=False)

    def sentence(self, problem: str, now: float) -> str | None:
        """What to say about a receipt at `now` (monotonic seconds); None where one was told lately."""
        if self._told_at is not None and now - self._told_at < self.remind_s:
            self._untold += 1
            return None
        more = f" ({self._untold} more like it since the last line)" if self._untold else ""
        self._told_at, self._untold = now, 0
        return f"a receipt was ignored: {problem}{more}"
