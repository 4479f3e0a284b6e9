"""Whatever host or process fails: is every reading stored once, every alert raised once, and how long does it take?

A secured cluster as `vitalflow cluster up` starts it, with 500 readings a second. Faults strike one after the other,
each once the cluster is whole again; then what the devices wrote down is compared with the table.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from bench.accounting import Record, Span, account_alerts, doubled_rows, lost_with_broker
from bench.alert_recorder import AlertRecorder, retained
from bench.chaos import AUTOSAVE_S, NAMES, SETTLED_S
from bench.chaos_environment import READINGS_PER_S, WATCHED
from bench.environment import settle
from bench.ha_counts import changes_at, longest_gap, older_revisions, per_fault, places_with_two_open, two_act
from bench.ha_environment import HaEnvironment, ha_environment
from bench.ha_faults import FAULTS, Fault
from bench.recording_devices import STEADY, Name
from bench.report import Figures, Log
from bench.storing_monitor import StoringMonitor
from stack.cluster.networks import why_not
from stack.cluster.plan import FULL_HOSTS
from vitals.errors import TransientError
from vitals.topics import Topics

ACTIVE_TIMEOUT_S = 60.0  # until an alert worker evaluates readings again
CALM_S = 10.0  # at the begin and the end, without a fault
LOOK_S = 20.0  # the longest that a look at a cluster with a fault takes

LATEST = "SELECT DISTINCT ON (alert_id) device_id, rule, state FROM alert_event ORDER BY alert_id, revision DESC"


@dataclass
class FaultRow:
    """What one fault cost.

    harmed              hosts or processes
    without_storing_s   longest time without a stored reading, from the fault until the cluster was whole again
    without_alerts_s    longest time without a change of an alert; without a fault about one comes per second
    whole_s             from the end of the fault until each host could fail again
    lost_plain          readings of devices without receipts, acknowledged by the broker that failed; not in `lost`
    two_acted           looks, some seconds apart, at which two databases accepted writes or two alert workers acted
    """

    fault: str
    harmed: str
    without_storing_s: float = 0.0
    without_alerts_s: float = 0.0
    whole_s: float = 0.0
    made: int = 0
    lost: int = 0
    doubled: int = 0
    lost_plain: int = 0
    older_revisions: int = 0
    two_acted: int = 0


@dataclass
class HaReport:
    """The counts of one run.

    faults      a row for each fault that struck, in order
    each_fault  a row for each kind: how often it struck, the longest times and the sums
    """

    seed: int | None
    devices: int
    readings_per_s: float
    faults: list[Figures] = field(default_factory=list)
    each_fault: list[Figures] = field(default_factory=list)
    generated: int = 0
    stored: int = 0
    lost: int = 0
    lost_plain: int = 0
    duplicates: int = 0
    unknown: int = 0
    alerts_due: int = 0
    alerts_lost: list[str] = field(default_factory=list)
    alerts_doubled: list[str] = field(default_factory=list)
    places_with_two_open: list[str] = field(default_factory=list)
    older_revisions: int = 0
    not_recovered: list[str] = field(default_factory=list)

    @property
    def nothing_lost_or_doubled(self) -> bool:
        """Whether nothing was lost or doubled and the cluster was whole after each fault."""
        two_acted = sum(row["two_acted"] for row in self.each_fault)
        alerts = (self.alerts_lost, self.alerts_doubled, self.places_with_two_open, two_acted)
        return not any((self.lost, self.duplicates, self.unknown, *alerts, self.not_recovered))

    def as_dict(self) -> Figures:
        """Return the counts as figures."""
        return asdict(self)


def ha(names: Sequence[str], devices: int, rounds: int, random_faults: int, seed: int, log: Log) -> HaReport:
    """Let faults strike, by name and then at random, and count what was lost or doubled.

    rounds          how often each named one strikes
    random_faults   how many are drawn from all faults after those named, in an order that the seed gives
    """
    draw = Random(seed)
    faults = [FAULTS[name] for name in names] * rounds
    faults += [FAULTS[draw.choice(list(FAULTS))] for _ in range(random_faults)]
    with_networks = any(fault.needs_networks for fault in faults)
    if with_networks and (reason := why_not()) is not None:
        log(f"no fault of the network: this machine gives no host a network of its own ({reason})")
        faults, with_networks = [fault for fault in faults if not fault.needs_networks], False
    report = HaReport(seed if random_faults else None, devices, READINGS_PER_S)
    with ha_environment(devices, log, with_networks=with_networks) as environment:
        run = _Run(environment, report, log)
        try:
            run.recorder.acknowledge_half(STEADY, WATCHED // 2, 60.0)
            time.sleep(CALM_S)
            for fault in faults:
                run.strike(fault)
            log("waiting for what is still owed")
            time.sleep(CALM_S)
            run.close_uptime()
            run.settle()
            for fleet in environment.fleets:
                fleet.finish()
            run.settle()
            run.count()
        finally:
            run.storing.close()
            run.recorder.close()
    return report


class _Run:
    def __init__(self, environment: HaEnvironment, report: HaReport, log: Log) -> None:
        self.recorder = AlertRecorder(environment.operator, Topics())
        self.storing = StoringMonitor([environment.ports.of(host).ingest for host in FULL_HOSTS])
        self._environment = environment
        self._report = report
        self._log = log
        self._rows: list[tuple[FaultRow, Span]] = []
        self._outages: list[Span] = []  # of the broker in use
        self._uptime: list[Span] = []
        self._up_since: float | None = time.time()

    def close_uptime(self) -> None:
        """End the span in which alerts are due."""
        if self._up_since is not None:
            self._uptime.append((self._up_since, time.time()))
        self._up_since = None

    def strike(self, fault: Fault) -> None:
        """Wait until the cluster is whole, harm it, undo that, and wait again."""
        environment = self._environment
        try:
            targets = fault.targets(environment.wait_until_healthy())
        except TransientError as error:
            self._report.not_recovered.append(f"{fault.name} did not strike: {error}")
            return
        row = FaultRow(fault.name, ", ".join(targets))
        self.close_uptime()
        began = time.time()
        environment.harm(targets, fault.strike)
        struck = time.time()
        self._wait_for_worker(fault)
        while struck + fault.hold_s - time.time() > LOOK_S:
            row.two_acted += two_act(environment.observe())
        time.sleep(max(0.0, struck + fault.hold_s - time.time()))
        undone = time.time()
        if fault.undo is not None:
            environment.harm(targets, fault.undo)
        try:
            environment.wait_until_healthy()
        except TransientError as error:
            self._report.not_recovered.append(f"{fault.name}: {error}")
        row.whole_s = round(time.time() - undone, 1)
        if fault.harms_broker:
            self._outages.append((began - AUTOSAVE_S, time.time()))
        self._rows.append((row, (began, time.time())))
        self._log(f"{fault.name}: {row.harmed}; whole {row.whole_s:.0f} s after its end")

    def _wait_for_worker(self, fault: Fault) -> None:
        """Wait until an alert worker evaluates readings; alerts are due from then on."""
        before, deadline = self._environment.evaluated(), time.monotonic() + ACTIVE_TIMEOUT_S
        while not any(value > before.get(host, 0.0) for host, value in self._environment.evaluated().items()):
            if time.monotonic() > deadline:
                self._report.not_recovered.append(f"{fault.name}: no alert worker")
                return
            time.sleep(0.2)
        self._up_since = time.time()

    def settle(self) -> None:
        """Wait until all that was made by now is stored, or no more comes."""
        record = Record.read(self._records)
        until = time.time()
        owed = {name for name, moment in record.made.items() if moment <= until}
        owed -= lost_with_broker(owed, record, self._outages)
        settle(lambda: len(owed.intersection(self._names())), len(owed), SETTLED_S, poll_s=1.0)

    @property
    def _records(self) -> list[Path]:
        return [Path(fleet.plan.record) for fleet in self._environment.fleets]

    def _names(self) -> list[Name]:
        with self._environment.connect() as connection:
            return connection.execute(NAMES).fetchall()  # type: ignore[return-value]

    def count(self) -> None:
        """Compare what the devices made with the table, and the alerts that were due with those that came."""
        report, record, stored = self._report, Record.read(self._records), self._names()
        with self._environment.connect() as connection:
            latest = [(str(device), str(rule), str(state)) for device, rule, state in connection.execute(LATEST)]
        missing = record.made.keys() - set(stored)
        plain = lost_with_broker(missing, record, self._outages)
        lost, times = missing - plain, Counter(stored)
        report.generated, report.stored = len(record.made), len(times)
        report.lost, report.lost_plain, report.duplicates = len(lost), len(plain), doubled_rows(stored)
        report.unknown = len(times.keys() - record.made.keys())
        alerts, came_at = list(self.recorder.received), list(self.recorder.came_at)
        changes = changes_at(alerts, came_at)
        for row, span in self._rows:
            begin = span[0] - AUTOSAVE_S  # what a broker acknowledged and had not saved
            made = {name for name, moment in record.made.items() if begin <= moment <= span[1]}
            row.made, row.lost, row.lost_plain = len(made), len(made & lost), len(made & plain)
            row.doubled = sum(times[name] > 1 for name in made)
            row.without_storing_s = round(longest_gap(self.storing.stored_at, span), 1)
            row.without_alerts_s = round(longest_gap(changes, span), 1)
            row.older_revisions = older_revisions(alerts, came_at, span)
            report.faults.append(asdict(row))
        report.each_fault = per_fault(report.faults)
        last = retained(self._environment.operator, Topics())
        account = account_alerts(record, alerts, last, self._uptime)
        report.alerts_due, report.alerts_lost, report.alerts_doubled = account.due, account.lost, account.doubled
        report.places_with_two_open = places_with_two_open(latest)
        report.older_revisions = sum(row.older_revisions for row, _ in self._rows)
