"""Two alert workers with `--standby` while the active one is killed, frozen and cut off: nothing is lost or doubled."""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

import pytest

from bench.proxy import Proxy
from stack.servers import BrokerServer
from tests.fixtures.alerts import AlertClient, AlertsProcess, MakeAlerts
from tests.fixtures.counts import ReportCount
from tests.integration.test_alerts_standby import HEART_RATE, is_standing_by, make_pair
from tests.support.servers import eventually

pytestmark = pytest.mark.slow
ROUNDS = int(os.environ.get("STANDBY_ROUNDS", "1"))
PAUSE_S = 0.2


@contextmanager
def raising_alerts(sender: AlertClient) -> Iterator[list[str]]:
    """Raise an alert at another bed every PAUSE_S during the block; the places, in their order."""
    places: list[str] = []
    ending = threading.Event()

    def raise_alerts() -> None:
        while not ending.wait(PAUSE_S):
            bed = f"bed-{len(places)}"
            places.append(f"icu-1/{bed}/{HEART_RATE}")
            sender.measure(bed, heart_rate=150)

    thread = threading.Thread(target=raise_alerts)
    thread.start()
    try:
        yield places
    finally:
        ending.set()
        thread.join()


def test_alerts_are_raised_once_while_the_active_worker_is_killed_frozen_and_cut_off(
    own_broker: BrokerServer,
    make_alerts: MakeAlerts,
    make_alert_client: Callable[[int], AlertClient],
    report_count: ReportCount,
) -> None:
    with ExitStack() as ends:
        links = [Proxy(own_broker.port).start() for _ in range(2)]
        for link in links:
            ends.callback(link.stop)
        urls = [f"mqtt://127.0.0.1:{link.port}" for link in links]
        pair = make_pair(make_alerts, *urls)
        link_of = dict(zip(urls, links, strict=True))
        person = make_alert_client(own_broker.port)
        with raising_alerts(make_alert_client(own_broker.port)) as places:
            waits = [
                fault(pair, link_of, person, places, kind)
                for _ in range(ROUNDS)
                for kind in ("killed", "frozen", "cut off")
            ]
        eventually(lambda: set(places) <= person.now.keys(), 30, "an alert at each place")
    ids: dict[str, set[UUID]] = defaultdict(set)
    newest: dict[UUID, int] = {}
    older = 0
    for topic, alert in person.received:
        assert alert is not None
        ids[topic].add(alert.alert_id)
        older += alert.revision < newest.get(alert.alert_id, 0)
        newest[alert.alert_id] = alert.revision
    doubled = [place for place in places if len(ids[place]) > 1]
    report_count(f"{len(waits)} faults, {len(places)} alerts, the first after at most {max(waits):.1f} s")
    assert (doubled, older) == ([], 0)


def fault(
    pair: list[AlertsProcess], link_of: dict[str, Proxy], person: AlertClient, places: list[str], kind: str
) -> float:
    """Do this to the active worker, undo it once the other one acts, and return how long no alert was raised."""
    active = next(worker for worker in pair if is_standing_by(worker) is False)
    link = link_of[active.environment["VITALFLOW_MQTT_URL"]]
    assert active.process is not None
    if kind == "killed":
        active.kill()
    elif kind == "frozen":
        active.process.send_signal(signal.SIGSTOP)
    else:
        link.stall()
    before, started = len(places) + 1, time.monotonic()
    eventually(lambda: len(places) > before and places[before] in person.now, 30, f"an alert after it was {kind}")
    waited_s = time.monotonic() - started
    if kind == "killed":
        active.start(wait=False)
    elif kind == "frozen":
        active.process.send_signal(signal.SIGCONT)
    else:
        link.heal()
    eventually(lambda: sorted(map(str, map(is_standing_by, pair))) == ["False", "True"], 30, "one acts, one stands by")
    return waited_s
