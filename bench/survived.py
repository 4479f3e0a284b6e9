"""The counts of a run of `chaos`, for programs and for people."""

from collections import Counter
from dataclasses import asdict, dataclass, field


@dataclass
class Survived:
    """The counts of one run. `recovery_s`: the longest, by victim, from its return until readings measured after it
    are in the table (for alerts: until the worker evaluates readings again). `unwritten`: see `verdict`."""

    seconds: float
    seed: int
    devices: int
    readings_per_s: float
    faults: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    generated: int = 0
    unwritten: int = 0
    acknowledged_by_broker: int = 0
    stored: int = 0
    lost: int = 0
    duplicates: int = 0
    rejected: int = 0
    gaps: int = 0
    alerts_raised: int = 0
    alerts_due: int = 0
    alerts_lost: list[str] = field(default_factory=list)
    alerts_doubled: list[str] = field(default_factory=list)
    alert_changes_not_in_history: int = 0
    recovery_s: dict[str, float] = field(default_factory=dict)
    not_recovered: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)

    @property
    def unharmed(self) -> bool:
        """Nothing lost, nothing doubled, everybody came back."""
        return not (self.lost or self.duplicates or self.alerts_lost or self.alerts_doubled or self.not_recovered)

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return asdict(self)


def told(survived: Survived) -> str:
    """The counts for people."""
    faults = Counter(survived.faults)
    lines = [
        f"faults      {faults.total()}, of which {survived.kills} kills: "
        + ", ".join(f"{name} {times}" for name, times in sorted(faults.items())),
        f"readings    {survived.generated} made, {survived.stored} stored, {survived.lost} lost, "
        f"{survived.duplicates} doubled, {survived.rejected} rejected, {survived.gaps} gaps "
        f"({survived.unwritten} more died with their process in the instant of being made)",
        f"alerts      {survived.alerts_due} due, {len(survived.alerts_lost)} lost, "
        f"{len(survived.alerts_doubled)} doubled ({survived.alerts_raised} raised)",
        "recovery    " + ", ".join(f"{name} {took:.1f} s" for name, took in sorted(survived.recovery_s.items())),
        *(f"LOST        {what}" for what in survived.alerts_lost),
        *(f"DOUBLED     {what}" for what in survived.alerts_doubled),
        *(f"NOT BACK    {what}" for what in survived.not_recovered),
        *(f"not run     {what}" for what in survived.not_run),
        ", ".join(survived.machine.values()),
    ]
    return "\n".join(lines)
