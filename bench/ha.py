"""Whatever host or process fails: is every reading stored once, every alert raised once, and how long does it take?

A secured cluster as `vitalflow cluster up` starts it, with 500 readings a second. Faults strike one after the other,
each once the cluster is whole again; then what the devices wrote down is compared with the table.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from bench.accounting import Span
from bench.alert_recorder import retained
from bench.fault_run import AUTOSAVE_S, CALM_S, WATCHED, FaultCounts, FaultRun, UptimeMonitor
from bench.ha_counts import changes_at, longest_gap, older_revisions, per_fault, places_with_two_open, two_act
from bench.ha_environment import HaEnvironment, ha_environment
from bench.ha_faults import BY_DEFAULT, FAULTS, Fault, standby
from bench.ha_parts import EDGE_BEDS, EDGE_PREFIX, EDGE_WARD
from bench.recording_devices import STEADY
from bench.report import Figures, Log
from bench.storing_monitor import StoringMonitor
from stack.cluster.networks import why_not
from stack.cluster.observation import ClusterSeen
from stack.cluster.plan import process_name
from vitals.errors import TransientError
from vitals.topics import Topics

LOOK_S = 20.0  # the longest that a look at a cluster with a fault takes

LATEST = """
    SELECT DISTINCT ON (alert_id) alert_id, device_id, rule, state, raised_at::text, changed_at::text
    FROM alert_event ORDER BY alert_id, revision DESC"""


@dataclass
class FaultRow:
    """What one fault cost.

    harmed              hosts or processes
    without_storing_s   longest time without a stored reading, from the fault until the cluster was whole again
    without_alerts_s    longest time without a change of an alert; without a fault about one comes per second
    whole_s             from the end of the fault until each host could fail again; of a ward with a broker of its own
                        until its readings are stored again, and of `ingest-gone` until the session is drained
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
    lost_with_broker: int = 0
    older_revisions: int = 0
    sent_again_by_bridge: int = 0  # older revisions of a ward with a broker of its own
    two_acted: int = 0


@dataclass(kw_only=True)
class HaReport(FaultCounts):
    """The counts of one run.

    faults      a row for each fault that struck, in order
    each_fault  a row for each kind: how often it struck, the longest times and the sums
    kept        the folders of the run, if something was lost or doubled
    """

    faults: list[Figures] = field(default_factory=list)
    each_fault: list[Figures] = field(default_factory=list)
    places_with_two_open: list[str] = field(default_factory=list)
    open_in_database_alone: list[str] = field(default_factory=list)
    older_revisions: int = 0
    sent_again_by_bridge: int = 0  # older revisions of a ward with a broker of its own
    kept: list[str] = field(default_factory=list)

    @property
    def nothing_lost_or_doubled(self) -> bool:
        """Also whether no two acted at once."""
        two_acted = any(row["two_acted"] for row in self.each_fault)
        wrong = self.places_with_two_open or self.open_in_database_alone or two_acted
        return super().nothing_lost_or_doubled and not wrong


def ha(names: Sequence[str], devices: int, rounds: int, random_faults: int, seed: int, log: Log) -> HaReport:
    """Let faults strike, by name and then at random, and count what was lost or doubled.

    rounds          how often each named one strikes
    random_faults   how many are drawn from all faults after those named, in an order that the seed gives
    """
    draw = Random(seed)
    faults = [FAULTS[name] for name in names] * rounds
    faults += [FAULTS[draw.choice(BY_DEFAULT)] for _ in range(random_faults)]
    if any(fault.needs_networks for fault in faults) and (reason := why_not()) is not None:
        log(f"no fault of the network: this machine gives no host a network of its own ({reason})")
        faults = [fault for fault in faults if not fault.needs_networks]
    report = HaReport(seed=seed if random_faults else None, devices=devices)
    with ha_environment(devices, log, faults) as environment:
        run = _Run(environment, report, log)
        try:
            run.recorder.acknowledge_half(STEADY, (WATCHED + (EDGE_BEDS if environment.edge else 0)) // 2, 60.0)
            time.sleep(CALM_S)
            for fault in faults:
                run.strike(fault)
            run.end()
            run.count_all()
            if not report.nothing_lost_or_doubled:
                report.kept = environment.keep()
                run.recorder.write(Path(report.kept[0], "alerts.jsonl"))
                log(f"kept {' and '.join(report.kept)}")
        finally:
            run.storing.close()
            run.recorder.close()
    return report


class _Run(FaultRun):
    def __init__(self, environment: HaEnvironment, report: HaReport, log: Log) -> None:
        super().__init__(environment.fleets, environment.operator, environment.connect, environment.evaluated, log)
        self.storing = StoringMonitor(environment.ingest_ports)
        edge = environment.edge
        self.edge_uptime = UptimeMonitor(edge.evaluated if edge else dict)
        self._environment = environment
        self._report = report
        self._rows_of_faults: list[tuple[FaultRow, Span]] = []

    def strike(self, fault: Fault) -> None:
        """Wait until the cluster is whole, harm it, undo that, and wait again."""
        environment = self._environment
        try:
            seen = environment.wait_until_healthy()
        except TransientError as error:
            self._report.not_recovered.append(f"{fault.name} did not strike: {error}")
            return
        targets = fault.targets(seen)
        row = FaultRow(fault.name, ", ".join(targets))
        uptime = self.edge_uptime if fault.at_edge else self.uptime
        if fault.stops_alerts:
            uptime.close()
        began = time.time()
        self._harm(fault, targets, seen)
        struck = time.time()
        if not fault.at_edge:
            self._reopen(uptime, fault)
        while struck + fault.hold_s - time.time() > LOOK_S:
            row.two_acted += two_act(environment.observe())
        time.sleep(max(0.0, struck + fault.hold_s - time.time()))
        undone = time.time()
        if fault.undo is not None:
            environment.harm(targets, fault.undo)
        if fault.at_edge:
            if fault.stops_alerts:
                self._reopen(uptime, fault)
            if not self.stored_since(undone, EDGE_WARD):
                self._report.not_recovered.append(f"{fault.name}: nothing of the ward is stored")
        if fault.at_edge or fault.needs_group:
            row.whole_s = round(time.time() - undone, 1)
        try:
            environment.wait_until_healthy()
        except TransientError as error:
            self._report.not_recovered.append(f"{fault.name}: {error}")
        row.whole_s = row.whole_s or round(time.time() - undone, 1)
        if fault.harms_broker:
            self.outages.append((began - AUTOSAVE_S, time.time()))
        self._rows_of_faults.append((row, (began, time.time())))
        self._log(f"{fault.name}: {row.harmed}; whole {row.whole_s:.0f} s after its end")

    def end(self) -> None:
        """End as every run, and with the ward that has a broker of its own."""
        super().end()
        self.edge_uptime.close()

    def uptime_of(self, device: str) -> Sequence[Span]:
        """Return the spans in which the alert worker of a device could work."""
        return (self.edge_uptime if EDGE_PREFIX in device else self.uptime).spans

    def _harm(self, fault: Fault, targets: list[str], seen: ClusterSeen) -> None:
        if fault.behind_s == 0.0:
            self._environment.harm(targets, fault.strike)
            return
        behind = [process_name("patroni", standby(seen))]
        self._environment.harm(behind, "freeze")
        time.sleep(fault.behind_s)
        self._environment.harm(targets, fault.strike)
        self._environment.harm(behind, "thaw")

    def _reopen(self, uptime: UptimeMonitor, fault: Fault) -> None:
        if not uptime.reopen():
            self._report.not_recovered.append(f"{fault.name}: no alert worker")

    def count_all(self) -> None:
        """Count, for the whole run and for each fault."""
        report, counted = self._report, self.count(self._report)
        alerts, came_at = list(self.recorder.received), list(self.recorder.came_at)
        changes = changes_at(alerts, came_at)
        received = list(zip(alerts, came_at, strict=True))
        at_edge = [(alert, came) for alert, came in received if EDGE_PREFIX in alert.device_id]
        elsewhere = [(alert, came) for alert, came in received if EDGE_PREFIX not in alert.device_id]
        for row, span in self._rows_of_faults:
            begin = span[0] - AUTOSAVE_S  # what a broker acknowledged and had not saved
            made = {name for name, moment in counted.record.made.items() if begin <= moment <= span[1]}
            row.made, row.lost, row.lost_with_broker = len(made), len(made & counted.lost), len(made & counted.excused)
            row.doubled = sum(counted.stored[name] > 1 for name in made)
            row.without_storing_s = round(longest_gap(self.storing.stored_at, span), 1)
            row.without_alerts_s = round(longest_gap(changes, span), 1)
            row.older_revisions = older_revisions(elsewhere, span)
            row.sent_again_by_bridge = older_revisions(at_edge, span)
            report.faults.append(asdict(row))
        report.each_fault = per_fault(report.faults)
        with self._environment.connect() as connection:
            latest = connection.execute(LATEST).fetchall()
            stored = connection.execute("SELECT alert_id, device_id, rule FROM alert_active").fetchall()
        known = {alert.alert_id for alert in retained(self._broker, Topics()).values() if alert.is_open}
        report.open_in_database_alone = [f"{device}/{rule}" for alert, device, rule in stored if alert not in known]
        # An end that a broker lost before ingest received it is in `alert_changes_not_in_history`.
        ended = {alert.alert_id for alert in alerts if not alert.is_open}
        report.places_with_two_open = places_with_two_open(row[1:] for row in latest if row[0] not in ended)  # type: ignore[misc]
        report.older_revisions = sum(row.older_revisions for row, _ in self._rows_of_faults)
        report.sent_again_by_bridge = sum(row.sent_again_by_bridge for row, _ in self._rows_of_faults)
