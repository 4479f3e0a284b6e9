"""The faults of `chaos`: each stops something for a moment and restores it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bench.proxy import Proxy
from bench.recording_devices import DeviceProcess
from bench.small_disk import SmallDisk
from stack.servers import BrokerServer, DatabaseServer, Service


@dataclass(frozen=True)
class Fault:
    """A fault that can be injected repeatedly: `strike`, then `restore`.

    strike          does the harm, waits, and returns what was done
    restore         lets it go on
    stops_alerts    it interrupts the way from devices to alerts
    ward            the ward whose readings stop meanwhile; None for all
    is_kill         of a process, or of the broker and its store
    """

    name: str
    strike: Callable[[Random], str]
    restore: Callable[[], None]
    stops_alerts: bool = False
    ward: str | None = None
    is_kill: bool = False


def kill(name: str, victim: Service | BrokerServer | DatabaseServer | DeviceProcess) -> Fault:
    """kill -9 (for the database: immediate shutdown, as after a crash), and a restart as by a supervisor."""

    def strike(moment: Random) -> str:
        if isinstance(victim, DatabaseServer):
            victim.stop_at_once()
        else:
            victim.kill()
        time.sleep(moment.uniform(0.0, 1.0))
        return f"killed {name}"

    ward = victim.plan.ward if isinstance(victim, DeviceProcess) else None
    return Fault(name, strike, victim.start, stops_alerts=name in ("alerts", "broker"), ward=ward, is_kill=True)


def wipe_broker_store(broker: BrokerServer) -> Fault:
    """kill -9 of the broker, and its disk with it: it starts without any session."""

    def strike(moment: Random) -> str:
        broker.kill()
        broker.delete_store()
        return "killed broker and deleted its store"

    return Fault("broker's store", strike, broker.start, stops_alerts=True, is_kill=True)


def link(name: str, proxy: Proxy, longest_s: float, *, stops_alerts: bool = False) -> Fault:
    """A link is cut or stalled, mostly for up to four seconds and now and then for `longest_s` of them."""

    def strike(moment: Random) -> str:
        harm, what = moment.choice([(proxy.cut, "cut"), (proxy.stall, "stalled")])
        harm()
        time.sleep(longest_s if moment.random() < 0.1 else moment.uniform(0.2, 4.0))
        return f"{what} link {name}"

    return Fault(f"link {name}", strike, proxy.heal, stops_alerts=stops_alerts)


def full_disk(database: DatabaseServer, disk: SmallDisk) -> Fault:
    """The database's disk is full for some seconds; a PostgreSQL that gave up over it is started again."""

    def strike(moment: Random) -> str:
        disk.fill()
        time.sleep(moment.uniform(2.0, 5.0))
        disk.empty()
        return "filled the database's disk"

    def restore() -> None:
        if not database.is_alive():
            database.start()

    return Fault("disk", strike, restore)
