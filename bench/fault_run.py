"""What `chaos` and `ha` have in common: devices that keep a record, when alerts were due, and the final count."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import psycopg

from bench.accounting import Record, Span, account_alerts, doubled_rows, lost_with_broker, never_in_outbox
from bench.alert_recorder import AlertRecorder, retained
from bench.environment import settle
from bench.recording_devices import MESSAGES_PER_SAMPLE, WRONG_CLOCK, DevicePlan, DeviceProcess, Name
from bench.report import Figures, Log
from mqtt.endpoint import BrokerEndpoint
from vitals.alert import State
from vitals.topics import Topics

READINGS_PER_S = 500
WATCHED = 20  # devices whose alarms are looked at, twice a second each
WATCHED_WARD = "icu-9"
WARDS = ("icu-1", "icu-2", WATCHED_WARD)
CALM_S = 10.0  # without a fault, at the end: for alarms that fell due before
TIMEOUT_S = 60.0  # until readings are stored, or evaluated, again
AUTOSAVE_S = 10.0  # of mosquitto.conf: what a killed broker received since may be lost
SETTLED_S = 40.0  # without a new row, after which no more is expected; devices send again after 15

NAMES = """
    SELECT device_id, boot, seq, CASE WHEN seq > 0 THEN 0 ELSE (extract(epoch FROM time) * 1000)::bigint END
    FROM patient_vitals"""
"""The name of each row, as `recording_devices.name` has it."""
STORED_SINCE = """
    SELECT FROM patient_vitals
    WHERE time > to_timestamp(%s) AND ward = coalesce(%s, ward) AND NOT device_id LIKE %s LIMIT 1"""
HISTORY = "SELECT alert_id, revision, state, extract(epoch FROM changed_at) FROM alert_event"


@dataclass(kw_only=True)
class FaultCounts:
    """The counts of one run.

    unwritten, lost_with_broker   see `accounting`; neither is in `lost`
    unknown                       rows that no device made
    examples                      some of the readings that were lost
    """

    seed: int | None
    devices: int
    readings_per_s: float = READINGS_PER_S
    generated: int = 0
    unwritten: int = 0
    stored: int = 0
    lost: int = 0
    lost_with_broker: int = 0
    examples: list[str] = field(default_factory=list)
    duplicates: int = 0
    unknown: int = 0
    alerts_raised: int = 0
    alerts_due: int = 0
    alerts_lost: list[str] = field(default_factory=list)
    alerts_doubled: list[str] = field(default_factory=list)
    alert_changes_not_in_history: int = 0
    not_recovered: list[str] = field(default_factory=list)

    @property
    def nothing_lost_or_doubled(self) -> bool:
        """Whether nothing was lost or doubled and all recovered after each fault."""
        wrong = (self.lost, self.duplicates, self.unknown, self.alerts_lost, self.alerts_doubled, self.not_recovered)
        return not any(wrong)

    def as_dict(self) -> Figures:
        """Return the counts as figures."""
        return asdict(self)


def recording_fleets(
    devices: int, url_of: Callable[[str], str], folder: Path, ca: str | None = None
) -> list[DeviceProcess]:
    """Return a process of devices for each of WARDS, which together make READINGS_PER_S; not started.

    url_of   the broker's URL for the devices of a ward
    """
    interval = MESSAGES_PER_SAMPLE * devices / (READINGS_PER_S - WATCHED / 0.5)
    sizes = ((devices + 1) // 2, devices // 2, WATCHED)
    found = []
    for ward, size in zip(WARDS, sizes, strict=True):
        record, outbox = (str(folder / f"{ward}.{kind}") for kind in ("record", "outbox"))
        watched = ward == WATCHED_WARD
        plan = DevicePlan(url_of(ward), ward, size, 0.5 if watched else interval, record, outbox, watched, ca)
        found.append(DeviceProcess(plan, folder / f"{ward}.log"))
    return found


class UptimeMonitor:
    """The spans in which an alert worker could work; the caller reports each fault that stops it.

    evaluated   returns the readings that each worker that answers has evaluated
    """

    def __init__(self, evaluated: Callable[[], Mapping[str, float]]) -> None:
        self._evaluated = evaluated
        self._since: float | None = time.time()
        self.spans: list[Span] = []

    def close(self) -> None:
        """The span ends here: a fault is about to strike, or the run is over."""
        if self._since is not None:
            self.spans.append((self._since, time.time()))
        self._since = None

    def reopen(self, poll_s: float = 0.5) -> bool:
        """Wait until a worker evaluates readings again; False if none does within TIMEOUT_S.

        That is so once the count has grown in three looks in a row: after a broker is killed, the worker still
        evaluates what it had received.
        """
        known, grown, deadline = self._evaluated(), 0, time.monotonic() + TIMEOUT_S
        while grown < 3:
            if time.monotonic() > deadline:
                return False
            time.sleep(poll_s)
            now = self._evaluated()
            grown = grown + 1 if any(value > known.get(worker, 0.0) for worker, value in now.items()) else 0
            known = now
        self._since = time.time()
        return True


class Counted(NamedTuple):
    """What the counts are of.

    stored   how often each reading is stored
    lost     readings; those in `excused` were lost with a broker
    """

    record: Record
    stored: Counter[Name]
    lost: set[Name]
    excused: set[Name]


class FaultRun:
    """The devices of one run, and what was seen of it. `outages`: of the broker, see `lost_with_broker`."""

    def __init__(
        self,
        fleets: Sequence[DeviceProcess],
        broker: BrokerEndpoint,
        connect: Callable[[], psycopg.Connection[tuple[object, ...]]],
        evaluated: Callable[[], Mapping[str, float]],
        log: Log,
    ) -> None:
        self.recorder = AlertRecorder(broker, Topics())
        self.uptime = UptimeMonitor(evaluated)
        self.outages: list[Span] = []
        self._fleets, self._broker, self._connect, self._log = fleets, broker, connect, log

    def end(self) -> None:
        """Wait until all that was made is stored, or no more comes; then let the devices deliver what they have."""
        self._log("all is well again; waiting for what is still owed")
        calm = time.time()
        time.sleep(CALM_S)
        self.uptime.close()
        self._settle(calm)
        self._log("the devices end their day")
        with ThreadPoolExecutor() as pool:
            list(pool.map(DeviceProcess.finish, self._fleets))
        self._settle(time.time())

    def uptime_of(self, _device: str) -> Sequence[Span]:
        """Return the spans in which the alert worker of a device could work."""
        return self.uptime.spans

    def stored_since(self, moment: float, ward: str | None = None) -> bool:
        """Wait until a reading measured after a moment is in the table; False if that takes longer than TIMEOUT_S.

        ward   None: of any
        """
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            with self._connect() as connection:
                if connection.execute(STORED_SINCE, [moment, ward, f"%{WRONG_CLOCK}%"]).fetchone() is not None:
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)

    def count(self, counts: FaultCounts) -> Counted:
        """Compare what the devices made with the table, and the alerts that were due with those that came."""
        record, rows = self._record(), self._rows()
        stored = Counter(rows)
        gone = never_in_outbox(record, stored, self._last_lines)
        missing = record.made.keys() - stored.keys() - gone
        excused = lost_with_broker(missing, record, self.outages)
        lost = missing - excused
        counts.generated, counts.stored = len(record.made) - len(gone), len(stored)
        counts.unwritten, counts.lost_with_broker, counts.lost = len(gone), len(excused), len(lost)
        counts.examples = [f"{' '.join(map(str, name))} made at {record.made[name]:.1f}" for name in sorted(lost)[:20]]
        counts.duplicates, counts.unknown = doubled_rows(rows), len(stored.keys() - record.made.keys())
        received, last = list(self.recorder.received), retained(self._broker, Topics())
        with self._connect() as connection:
            history = connection.execute(HISTORY).fetchall()
        cleared_at = {alert: float(at) for alert, _, state, at in history if state == State.CLEARED}  # type: ignore[arg-type]
        alerts = account_alerts(record, received, last, self.uptime_of, cleared_at)
        changes = {(alert.alert_id, alert.revision) for alert in received}
        counts.alert_changes_not_in_history = len(changes - {(alert, revision) for alert, revision, *_ in history})
        counts.alerts_raised, counts.alerts_due = alerts.raised, alerts.due
        counts.alerts_lost, counts.alerts_doubled = alerts.lost, alerts.doubled
        return Counted(record, stored, lost, excused)

    def _settle(self, until: float) -> None:
        record = self._record()
        owed = {name for name, moment in record.made.items() if moment <= until}
        owed -= never_in_outbox(record, (), self._last_lines) | lost_with_broker(owed, record, self.outages)
        settle(lambda: len(owed.intersection(self._rows())), len(owed), SETTLED_S, poll_s=1.0)

    @property
    def _last_lines(self) -> list[str]:
        return [line for fleet in self._fleets for line in fleet.last_lines]

    def _record(self) -> Record:
        return Record.read(Path(fleet.plan.record) for fleet in self._fleets)

    def _rows(self) -> list[Name]:
        with self._connect() as connection:
            return connection.execute(NAMES).fetchall()  # type: ignore[return-value]
