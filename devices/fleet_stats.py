"""Counters of a fleet and the two lines made of them: a progress line and a summary. Pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class FleetStats:
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
    restored: int = 0
    published: int = 0
    confirmed: int = 0
    rejected: int = 0
    resent: int = 0
    dropped: int = 0
    evicted_unconfirmed: int = 0

    @property
    def waiting(self) -> int:
        """Readings that were made and neither taken by the broker nor dropped."""
        return self.restored + self.produced - self.published - self.dropped

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
