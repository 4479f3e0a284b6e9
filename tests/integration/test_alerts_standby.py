"""Two alert workers with `--standby`: one acts, whatever is killed, frozen or stalled, and nothing is doubled."""

import json
import signal
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from bench.proxy import Proxy
from stack.servers import BrokerServer
from tests.fixtures.alerts import RULES, AlertClient, AlertsProcess, MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.support.factories import make_alert
from tests.support.servers import Db, eventually
from vitals.alert import Change, State, encode_alert

MakePerson = Callable[[int], AlertClient]
WITHOUT_NO_DATA = RULES.partition('[[rule]]\nname = "no-data"')[0]
HEART_RATE = "heart-rate-high"


@pytest.fixture
def stalling_proxy(own_broker: BrokerServer) -> Iterator[Proxy]:
    proxy = Proxy(own_broker.port).start()
    yield proxy
    proxy.stop()


def is_standing_by(worker: AlertsProcess) -> bool | None:
    """Return what /healthz states; None without an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{worker.metrics_port}/healthz", timeout=5) as answer:
            return bool(json.load(answer)["standby"])
    except OSError:
        return None


def make_pair(make_alerts: MakeAlerts, first_url: str, second_url: str) -> list[AlertsProcess]:
    """Start two standbys at once and return them, the active one first."""
    first = make_alerts(first_url, start=False, standby=True)
    second = make_alerts(second_url, start=False, standby=True, alerts_client_id=first.client_id)
    pair = [first, second]
    for worker in pair:
        worker.rules.write_text(WITHOUT_NO_DATA)
        worker.start(wait=False)
    eventually(lambda: sorted(map(str, map(is_standing_by, pair))) == ["False", "True"], 30, "one of the two acts")
    return sorted(pair, key=lambda worker: is_standing_by(worker) is True)


def assert_nothing_doubled(person: AlertClient, places: list[str]) -> None:
    """One alert on each place since it was empty, and no revision after a later one."""
    ids: dict[str, set[UUID]] = defaultdict(set)
    newest: dict[UUID, int] = {}
    for topic, alert in person.received:
        if alert is None:
            continue
        ids[topic].add(alert.alert_id)
        assert alert.revision >= newest.get(alert.alert_id, 0), f"an older revision on {topic}"
        newest[alert.alert_id] = alert.revision
    assert {place: len(ids[place]) for place in places} == dict.fromkeys(places, 1)


def test_a_standby_takes_over_from_a_frozen_worker_which_then_stands_by(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    active, standby = make_pair(make_alerts, own_broker.url, own_broker.url)
    person = make_alert_client(own_broker.port)
    places = [f"icu-1/bed-{number}/{HEART_RATE}" for number in (1, 2, 3)]
    person.measure("bed-1", heart_rate=150)
    person.wait_for(places[0], state="active")
    person.command("acknowledge", places[0])
    person.wait_for(places[0], state="acknowledged")
    assert active.process is not None
    active.process.send_signal(signal.SIGSTOP)
    person.measure("bed-2", heart_rate=150)  # lies in the socket of the frozen one
    person.wait_for(places[1], timeout=30, state="active")
    assert person.now[places[0]].acknowledged_by == "nurse Ada"
    person.measure("bed-2", heart_rate=80)
    person.wait_for(places[1], state="cleared")
    active.process.send_signal(signal.SIGCONT)
    eventually(lambda: is_standing_by(active) is True, 30, "the thawed one stands by")
    person.measure("bed-3", heart_rate=150)
    person.wait_for(places[2], timeout=30, state="active")
    standby.kill()
    person.command("acknowledge", places[2])
    person.wait_for(places[2], timeout=30, state="acknowledged")
    assert is_standing_by(active) is False
    assert_nothing_doubled(person, places)


def test_a_worker_whose_link_stalls_publishes_nothing_after_the_standby_has_taken_over(
    own_broker: BrokerServer, stalling_proxy: Proxy, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    stalled = make_alerts(f"mqtt://127.0.0.1:{stalling_proxy.port}", start=False, standby=True)
    stalled.rules.write_text(WITHOUT_NO_DATA)
    stalled.start()
    person = make_alert_client(own_broker.port)
    places = [f"icu-1/bed-{number}/{HEART_RATE}" for number in (1, 2)]
    person.measure("bed-1", heart_rate=150)
    person.wait_for(places[0], state="active")
    other = make_alerts(own_broker.url, start=False, standby=True, alerts_client_id=stalled.client_id)
    other.rules.write_text(WITHOUT_NO_DATA)
    other.start(wait=False)
    eventually(lambda: is_standing_by(other) is True, 30, "the other one stands by")
    stalling_proxy.stall()
    person.measure("bed-2", heart_rate=150)
    person.wait_for(places[1], timeout=30, state="active")
    person.command("acknowledge", places[0])
    person.wait_for(places[0], state="acknowledged")
    stalling_proxy.heal()
    eventually(lambda: is_standing_by(stalled) is True, 30, "the former one stands by")
    person.measure("bed-1", heart_rate=80)
    person.wait_for(places[0], timeout=30, state="cleared")
    assert_nothing_doubled(person, places)


def test_what_a_replaced_worker_still_publishes_changes_no_alert(
    own_broker: BrokerServer,
    db: Db,
    make_alerts: MakeAlerts,
    make_ingest: MakeIngest,
    make_alert_client: MakePerson,
) -> None:
    make_ingest(own_broker.url, db)
    worker = make_alerts(own_broker.url, start=False)
    worker.rules.write_text(WITHOUT_NO_DATA)
    worker.start()
    person = make_alert_client(own_broker.port)
    place, elsewhere = f"icu-1/bed-1/{HEART_RATE}", f"icu-1/bed-2/{HEART_RATE}"
    person.measure("bed-1", heart_rate=150)
    alert = person.wait_for(place, state="active", writer=worker.client_id)
    assert alert.epoch > 0
    stale = replace(alert, epoch=alert.epoch - 1)
    for change in (
        replace(stale, revision=7, state=State.CLEARED, change=Change.CLEARED),
        replace(stale, alert_id=uuid4()),
    ):
        expected = [*person.received, (place, change), (place, alert)]
        person.send(f"alerts/{place}", encode_alert(change), retain=True)
        eventually(lambda: person.received == expected, 30, "the worker publishes the alert again")  # noqa: B023
    now = datetime.now(UTC)
    lone = make_alert(ward="icu-1", device="bed-2", rule=HEART_RATE, raised_at=now, changed_at=now)
    lone = replace(lone, writer=stale.writer, epoch=stale.epoch)
    person.send(f"alerts/{elsewhere}", encode_alert(lone), retain=True)
    person.wait_for(elsewhere, timeout=30, state="cleared", alert_id=lone.alert_id, epoch=alert.epoch)
    eventually(lambda: db.count("alert_latest") == 2, 30, "both places are stored")
    query = "SELECT alert_id, state, epoch FROM alert_latest ORDER BY device_id"
    eventually(
        lambda: db.rows(query) == [(alert.alert_id, "active", alert.epoch), (lone.alert_id, "cleared", alert.epoch)],
        30,
        "the states of the worker",
    )
    assert db.one("SELECT count(*) FROM alert WHERE cleared_at IS NULL") == 1
    assert db.rows("SELECT DISTINCT alert_id FROM alert_event WHERE device_id = 'bed-1'") == [(alert.alert_id,)]
