"""Account for every reading and every alert of a run of `chaos`: lists in, counts out.

Pure, except that it reads the record files of `recording_devices`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.recording_devices import INTERMITTENT, STEADY, Name
from vitals.alert import Alert, State

Span = tuple[float, float]
"""From one moment to another, in unix seconds."""

DELAY_S = 4.0  # of spo2-low in chaos_rules.toml
MARGIN_S = 2.0  # for a reading's way to the worker and an alert's way out; readings come twice a second


@dataclass(frozen=True)
class Record:
    """What the devices recorded.

    made        when each reading was made
    taken       when the broker acknowledged it, where it did
    measured    for each moody device and SpO2 (time, taken at, whether it was low)
    """

    made: dict[Name, float]
    taken: dict[Name, float]
    measured: dict[str, list[tuple[float, float, bool]]]

    @classmethod
    def read(cls, files: Iterable[Path]) -> "Record":
        """Read record files; the last line of a killed process may be incomplete, and is ignored."""
        made: dict[Name, tuple[float, bool | None]] = {}
        taken: dict[Name, float] = {}
        for line in (line for file in files for line in file.read_text().splitlines(keepends=True)):
            match line.split():
                case ["made", device, boot, seq, stamp, time, spo2] if line.endswith("\n"):
                    low = None if spo2 == "None" else float(spo2) < 92
                    made[(device, int(boot), int(seq), int(stamp))] = (float(time), low)
                case ["taken", device, boot, seq, stamp, time] if line.endswith("\n"):
                    taken.setdefault((device, int(boot), int(seq), int(stamp)), float(time))
        measured = defaultdict(list)
        for name, (time_, low) in made.items():
            if name[0].startswith(INTERMITTENT) and name in taken and low is not None:
                measured[name[0]].append((time_, taken[name], low))
        times = {name: time for name, (time, _) in made.items()}
        return cls(times, taken, {device: sorted(rows) for device, rows in measured.items()})


@dataclass(frozen=True)
class AlertAccount:
    """How many alerts were raised and due, and which were lost or doubled."""

    raised: int
    due: int
    lost: list[str]
    doubled: list[str]


def never_in_outbox(record: Record, stored: Iterable[Name], last_lines: Iterable[str]) -> set[Name]:
    """Find readings generated in the instant in which their process was killed: in its record, but not in its outbox.

    A device process generates a reading, records it and puts it into its outbox without interruption. So for each kill
    at most one reading can be in the record and not in the outbox: the last one generated.
    """
    made = [line.split() for line in last_lines if line]
    last = {(device, int(boot), int(seq), int(stamp)) for _, device, boot, seq, stamp, *_ in made}
    return last & (record.made.keys() - set(stored) - record.taken.keys())


def lost_with_broker(missing: Iterable[Name], record: Record, outages: Sequence[Span]) -> set[Name]:
    """Find readings without a number that the broker acknowledged and lost when it was killed.

    Receipts name numbers, so such a device never learns that its reading is lost (docs/guarantees.md, Limits).

    outages    of the broker: from its last save before each kill until readings were stored again
    """
    return {
        name
        for name in missing
        if name[2] < 0 and any(begin <= record.taken.get(name, 0.0) <= end for begin, end in outages)
    }


def doubled_rows(rows: Iterable[Name]) -> int:
    """How many readings are stored more than once."""
    return sum(times > 1 for times in Counter(rows).values())


def account_alerts(
    record: Record,
    alerts: Sequence[Alert],
    last: dict[tuple[str, str], Alert],
    uptime: Callable[[str], Sequence[Span]],
    cleared_at: Mapping[object, float],
) -> AlertAccount:
    """Find the alerts that were due and missing, and those that were raised twice.

    alerts    every change that a subscriber received
    last      the retained alerts at the end
    uptime    of a device: the spans in which its worker ran, was connected, and no fault affected their link
    cleared_at  when each alert ended, as stored: the subscriber may be away when it does, and then finds the next
                one of the same place, which has replaced it at the broker

    An alert was due where a sign stayed beyond its limit for longer than the delay within one such span: had the
    worker been killed during the delay, its successor may begin the delay again, as documented.
    """
    spans = alert_spans(alerts, cleared_at)
    doubled = [
        f"{device}/{rule}: raised at {later[0]:.1f}, the one before at {earlier[0]:.1f} and over at {earlier[1]:.1f}"
        for (device, rule), spans in spans.items()
        for earlier, later in pairwise(sorted(spans))
        if later[0] < earlier[1]
    ]
    due = lost = 0
    missing = []
    for device, rows in record.measured.items():
        for begin, end in _due(rows, uptime(device)):
            due += 1
            if not any(raised <= end and over >= begin for raised, over in spans.get((device, "spo2-low"), ())):
                after = min((one[0] for one in spans.get((device, "spo2-low"), ()) if one[0] > end), default=0.0)
                missing.append(f"{device}/spo2-low, low from {begin:.1f} to {end:.1f}; the next raised at {after:.1f}")
                lost += 1
    first = {(a.device_id, a.rule): a.alert_id for a in reversed(alerts)}
    acknowledged = {a.alert_id for a in alerts if a.state is State.ACKNOWLEDGED}
    for place, name in first.items():
        if place[0].startswith(STEADY) and place[1] == "heart-rate-high":
            due += 1
            now = last.get(place)
            if now is None or not now.is_open or now.alert_id != name:
                missing.append(f"{'/'.join(place)} at the end")
            elif name in acknowledged and now.state is not State.ACKNOWLEDGED:
                missing.append(f"the acknowledgement of {'/'.join(place)}")
    return AlertAccount(len({a.alert_id for a in alerts}), due, missing, doubled)


def alert_spans(alerts: Iterable[Alert], cleared_at: Mapping[object, float]) -> dict[tuple[str, str], list[Span]]:
    """From raised to cleared, for each alert of each place, by arrival; endless where never cleared."""
    spans: dict[tuple[str, str], dict[object, Span]] = defaultdict(dict)
    for alert in alerts:
        place = spans[(alert.device_id, alert.rule)]
        _, over = place.get(alert.alert_id, (0.0, cleared_at.get(alert.alert_id, float("inf"))))
        ends = over if alert.is_open else min(over, alert.changed_at.timestamp())
        place[alert.alert_id] = (alert.raised_at.timestamp(), ends)
    return {place: list(found.values()) for place, found in spans.items()}


def _due(rows: Sequence[tuple[float, float, bool]], uptime: Sequence[Span]) -> list[Span]:
    """The low spells of one device that lasted long enough within one span of `uptime`."""
    found = []
    for start, stop in uptime:
        begin: float | None = None
        end = 0.0
        for time, taken, low in [*rows, (float("inf"), float("inf"), False)]:
            if low and time >= start and taken <= stop:
                begin, end = time if begin is None else begin, time
            elif time >= start:
                if begin is not None and end - begin > DELAY_S + MARGIN_S:
                    found.append((begin, end))
                begin = None
    return found
