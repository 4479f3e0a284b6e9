"""What the views say of an alert: the value that raised it and its worst one, whatever came later."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import psycopg

from ingest.store import STATEMENTS
from stack.servers import BrokerServer
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.support.factories import make_alert
from tests.support.rows import store_alert
from tests.support.servers import Db, eventually
from vitals.alert import Change, Priority, State, max_epoch

NOW = datetime.now(UTC).replace(microsecond=0)
OPEN = "SELECT device_id FROM alert_active WHERE rule = 'heart-rate-high' ORDER BY device_id"


def test_no_later_value_overwrites_the_first_and_the_worst_one(db: Db) -> None:
    raised = make_alert(
        device="bed-1", rule="news2", sign=None, unit=None, priority=Priority.MEDIUM, text="NEWS2: 5",
        value=5.0, limit=4.0, raised_at=NOW - timedelta(minutes=5), first_value=5.0,
        first_value_at=NOW - timedelta(minutes=5),
        worst_value=5.0, worst_value_at=NOW - timedelta(minutes=5),
    )  # fmt: skip
    worst_at = NOW - timedelta(minutes=3)
    worse = msgspec.structs.replace(
        raised, revision=2, change=Change.ESCALATED, priority=Priority.HIGH, text="NEWS2: 8", value=8.0,
        changed_at=worst_at, worst_value=8.0, worst_value_at=worst_at,
    )  # fmt: skip
    harmless = msgspec.structs.replace(
        worse, revision=3, change=Change.LATCHED, state=State.LATCHED, text="NEWS2", value=0.0, changed_at=NOW
    )
    for alert in (raised, worse, harmless):
        store_alert(db, alert)
    ask = "SELECT text, value, first_value, worst_value, worst_value_at FROM alert"
    assert db.rows(ask) == [("NEWS2: 8", 8.0, 5.0, 8.0, worst_at)]
    assert db.rows("SELECT text, first_value, worst_value FROM alert_active") == [("NEWS2", 5.0, 8.0)]
    overlapping = "SELECT text FROM alert_overlapping(now() - interval '1 hour', now())"
    assert db.rows(overlapping) == [("NEWS2: 8",)]
    db.rows(
        "INSERT INTO device (device_id, ward, state, boot, changed_at) VALUES ('bed-1', 'icu-1', 'online', 1, now())"
        " RETURNING 1"
    )
    (shown,) = db.rows("SELECT alert_text FROM ward_board")
    assert shown == (f"NEWS2, worst 8 at {worst_at:%H:%M} (latched)",)


def test_an_alert_of_an_older_alert_worker_has_the_value_of_its_worst_priority(db: Db) -> None:
    alert = make_alert(device="bed-1", raised_at=NOW)
    store_alert(db, alert)
    assert db.rows("SELECT first_value, worst_value, worst_value_at FROM alert") == [(82.0, 82.0, alert.changed_at)]


def test_an_alert_whose_end_was_lost_with_a_broker_is_over_when_the_next_one_begins(db: Db) -> None:
    first, second, elsewhere = (
        make_alert(device=device, alert_id=uuid4(), raised_at=NOW - timedelta(minutes=ago))
        for device, ago in (("bed-1", 30), ("bed-1", 10), ("bed-2", 30))
    )
    for alert in (first, second, elsewhere):
        store_alert(db, alert)
    assert db.rows("SELECT state, cleared_at, duration FROM alert WHERE alert_id = %s", first.alert_id) == [
        ("cleared", second.raised_at, timedelta(minutes=20))
    ]
    open_now = {second.alert_id, elsewhere.alert_id}
    assert {name for (name,) in db.rows("SELECT alert_id FROM alert WHERE cleared_at IS NULL")} == open_now
    overlapping = "SELECT alert_id FROM alert_overlapping(now() - interval '1 hour', now()) WHERE cleared_at IS NULL"
    assert {name for (name,) in db.rows(overlapping)} == open_now


def test_an_alert_that_the_worker_which_takes_over_does_not_know_is_over(
    own_broker: BrokerServer,
    db: Db,
    make_ingest: MakeIngest,
    make_alerts: MakeAlerts,
    make_alert_client: Callable[[int], AlertClient],
) -> None:
    make_ingest(own_broker.url, db)
    worker, person = make_alerts(own_broker.url), make_alert_client(own_broker.port)
    for bed in ("bed-1", "bed-2"):
        person.measure(bed, heart_rate=150)
    eventually(lambda: db.rows(OPEN) == [("bed-1",), ("bed-2",)], 30, "both alerts are stored")
    worker.kill()
    person.send("alerts/icu-1/bed-1/heart-rate-high", b"", retain=True)  # as at a broker that it had not reached
    person.measure("bed-1", heart_rate=80)
    worker.start()
    eventually(lambda: db.rows(OPEN) == [("bed-2",)], 30, "the one that the new worker knows is open")
    query = "SELECT state, reason, cleared_at > raised_at FROM alert WHERE device_id = 'bed-1' AND rule = %s"
    assert db.rows(query, "heart-rate-high") == [("cleared", "its end was not received", True)]


def test_an_alert_is_open_again_once_its_worker_or_that_of_its_ward_publishes_it(db: Db) -> None:
    def acts(writer: str, epoch: int, ward: str) -> None:
        row = {"writer": writer, "epoch": epoch, "wards": [ward, "stack"], "max_epoch": max_epoch(NOW)}
        with psycopg.connect(db.ingest_url) as connection:
            connection.execute(STATEMENTS["alert_worker"].encode(), row)

    def ends() -> list[tuple[object, ...]]:
        overlapping = "SELECT cleared_at FROM alert_overlapping(now() - interval '1 hour', now())"
        return [*db.rows("SELECT cleared_at FROM alert"), *db.rows(overlapping)]

    began = NOW - timedelta(minutes=4)
    alert = make_alert(device="bed-1", raised_at=NOW - timedelta(minutes=5), writer="alerts", epoch=1)
    store_alert(db, alert)
    acts("alerts", 2, "icu-2")
    acts("alerts-2", 2, "+")
    acts("alerts", max_epoch(NOW) + 1, "+")
    assert ends() == [(None,)] * 2, "another ward, another worker, a clock that is ahead"
    epoch = int(began.timestamp()) * 1_000_000_000
    acts("alerts", epoch, alert.ward)
    assert ends() == [(began,)] * 2
    acts("alerts", epoch + 1, alert.ward)
    assert ends() == [(began,)] * 2, "a later start changes no history"
    store_alert(db, msgspec.structs.replace(alert, writer="alerts-2", epoch=epoch))
    assert ends() == [(None,)] * 2
    acts("alerts-2", epoch + 1, "+")
    assert ends() == [(began,)] * 2
    store_alert(db, msgspec.structs.replace(alert, writer="alerts-2", epoch=epoch + 1))
    assert ends() == [(None,)] * 2
