"""The counts of a run of `chaos`."""

from collections import Counter
from dataclasses import dataclass, field

from bench.report import Result


@dataclass
class ChaosReport(Result):
    """The counts of one run.

    recovery_s    the longest, by victim, from its return until readings measured after it are in the table (for alerts:
                  until the worker evaluates readings again)
    unwritten     see `accounting`, as for `lost_with_broker`; neither is in `lost`
    unknown       rows that no device made
    examples      some of the readings that were lost
    """

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
    lost_with_broker: int = 0
    examples: list[str] = field(default_factory=list)
    duplicates: int = 0
    unknown: int = 0
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
    def nothing_lost_or_doubled(self) -> bool:
        """Whether nothing was lost or doubled and every victim recovered."""
        wrong = (self.lost, self.duplicates, self.unknown, self.alerts_lost, self.alerts_doubled, self.not_recovered)
        return not any(wrong)

    def text(self) -> str:
        """Format the figures for a terminal."""
        faults = Counter(self.faults)
        lines = [
            f"faults      {faults.total()}, of which {self.kills} kills: "
            + ", ".join(f"{name} {times}" for name, times in sorted(faults.items())),
            f"readings    {self.generated} made, {self.stored} stored, {self.lost} lost, "
            f"{self.duplicates} doubled, {self.unknown} unknown, {self.rejected} rejected, {self.gaps} gaps "
            f"({self.unwritten} more died with their process in the instant of being made, {self.lost_with_broker} of "
            f"devices without numbers with the broker that had acknowledged them)",
            f"alerts      {self.alerts_due} due, {len(self.alerts_lost)} lost, "
            f"{len(self.alerts_doubled)} doubled ({self.alerts_raised} raised)",
            "recovery    " + ", ".join(f"{name} {took:.1f} s" for name, took in sorted(self.recovery_s.items())),
            *(f"LOST        {what}" for what in (*self.examples, *self.alerts_lost)),
            *(f"DOUBLED     {what}" for what in self.alerts_doubled),
            *(f"NOT BACK    {what}" for what in self.not_recovered),
            *(f"not run     {what}" for what in self.not_run),
            ", ".join(self.machine.values()),
        ]
        return "\n".join(lines)
