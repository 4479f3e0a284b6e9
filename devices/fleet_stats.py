"""Counters of a fleet and the two lines made of them: a progress line and a summary. Pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class FleetStats:
    """Sums over all devices of a fleet.

    produced             readings produced
    restored             readings that an earlier run left in the outbox file
    published            readings that the broker acknowledged, each counted once
    confirmed            readings named in a receipt; `rejected` of them ingest rejected and stored with the reason
    resent               readings sent again because no receipt named them
    dropped              readings that a full outbox removed before the broker acknowledged them
    evicted_unconfirmed  readings that a full outbox removed after the PUBACK and before the receipt
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
        """Readings that the broker has not acknowledged and that are not dropped."""
        return self.restored + self.produced - self.published - self.dropped

    @property
    def unconfirmed(self) -> int:
        """Readings that the broker acknowledged and no receipt named; 0 if receipts are not in use."""
        return self.published - self.confirmed if self.confirmed else 0

    def line(self) -> str:
        """Return the progress line."""
        confirmed = f" · {self.confirmed} confirmed" if self.confirmed else ""
        dropped = f" · {self.dropped} dropped: outbox full" if self.dropped else ""
        return (
            f"{self.published} published{confirmed} · {self.waiting} waiting{dropped} · "
            f"{self.connected} of {self.devices} connected"
        )

    def summary(self) -> str:
        """Return the last line."""
        parts = [f"{self.published} readings published", f"{self.waiting} unsent", f"{self.dropped} dropped"]
        if self.confirmed:
            parts += [f"{self.confirmed - self.rejected} stored", f"{self.unconfirmed} unconfirmed"]
        elif self.published:
            parts.append("no receipts: ingest has not confirmed that anything is stored")
        if self.rejected:
            parts.append(f"{self.rejected} rejected (see the table rejected_message)")
        return ", ".join(parts)
