"""The faults of `chaos`: each stops something for a moment and restores it."""

import time
from dataclasses import dataclass
from random import Random
from typing import Protocol

from bench.proxy import Proxy
from bench.recording_devices import DeviceProcess
from bench.services import counter
from bench.small_disk import SmallDisk
from stack.servers import BrokerServer, DatabaseServer, Service


@dataclass(frozen=True)
class FaultRecord:
    """One fault: what was done, when it began, and when the victim was started again or the link healed (unix
    seconds)."""

    what: str
    began: float
    over: float


class Fault(Protocol):
    """A fault that can be injected repeatedly. `stops_alerts`: it interrupts the way from devices to alerts."""

    name: str
    stops_alerts: bool
    ward: str | None
    """The ward whose readings stop meanwhile; None for all."""

    def inject(self, moment: Random) -> FaultRecord:
        """Do it once; returns when it is over."""


class Kill:
    """kill -9 (for the database: immediate shutdown, as after a crash), and a restart as by a supervisor."""

    def __init__(self, name: str, victim: Service | BrokerServer | DatabaseServer | DeviceProcess) -> None:
        self.name = name
        self.stops_alerts = name in ("alerts", "broker")
        self.ward = victim.plan.ward if isinstance(victim, DeviceProcess) else None
        self._victim = victim

    def inject(self, moment: Random) -> FaultRecord:
        """Kill, wait up to a second, start; returns once it serves."""
        began = time.time()
        if isinstance(self._victim, DatabaseServer):
            self._victim.stop_at_once()
        else:
            self._victim.kill()
        time.sleep(moment.uniform(0.0, 1.0))
        over = time.time()
        self._victim.start()
        return FaultRecord(f"killed {self.name}", began, over)


class WipeBrokerStore:
    """kill -9 of the broker, and its disk with it: it starts without any session."""

    name = "broker's store"
    stops_alerts = True
    ward: str | None = None

    def __init__(self, broker: BrokerServer) -> None:
        self._broker = broker

    def inject(self, moment: Random) -> FaultRecord:
        """Kill, delete what it had saved, start."""
        began = time.time()
        self._broker.kill()
        self._broker.delete_store()
        over = time.time()
        self._broker.start()
        return FaultRecord("killed broker and deleted its store", began, over)


class Link:
    """A link is cut or stalled, mostly for up to four seconds and now and then for `longest` of them."""

    def __init__(self, name: str, proxy: Proxy, longest: float, *, stops_alerts: bool = False) -> None:
        self.name = f"link {name}"
        self.stops_alerts = stops_alerts
        self.ward: str | None = None
        self._proxy = proxy
        self._longest = longest

    def inject(self, moment: Random) -> FaultRecord:
        """Harm it, wait, heal it."""
        harm, what = moment.choice([(self._proxy.cut, "cut"), (self._proxy.stall, "stalled")])
        began = time.time()
        harm()
        time.sleep(self._longest if moment.random() < 0.1 else moment.uniform(0.2, 4.0))
        self._proxy.heal()
        return FaultRecord(f"{what} {self.name}", began, time.time())


class Disk:
    """The database's disk is full for some seconds; a PostgreSQL that gave up over it is started again."""

    name = "disk"
    stops_alerts = False
    ward: str | None = None

    def __init__(self, database: DatabaseServer, disk: SmallDisk) -> None:
        self._database = database
        self._disk = disk

    def inject(self, moment: Random) -> FaultRecord:
        """Fill, wait, empty."""
        began = time.time()
        self._disk.fill()
        time.sleep(moment.uniform(2.0, 5.0))
        self._disk.empty()
        over = time.time()
        if self._database.process is not None and self._database.process.poll() is not None:
            self._database.start()
        return FaultRecord("filled the database's disk", began, over)


class UptimeMonitor:
    """The spans in which the alert worker could work; the caller reports each fault that stops it."""

    def __init__(self, worker: Service) -> None:
        self._worker = worker
        self._since: float | None = time.time()
        self.spans: list[tuple[float, float]] = []

    def close(self) -> None:
        """The span ends here: a fault is about to strike, or the run is over."""
        if self._since is not None:
            self.spans.append((self._since, time.time()))
        self._since = None

    def reopen(self, patience: float) -> bool:
        """Wait until the worker evaluates readings again; False where it does not in time."""
        deadline = time.monotonic() + patience
        before = counter(self._worker, "readings_evaluated_total")
        while counter(self._worker, "readings_evaluated_total") <= before:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        self._since = time.time()
        return True
