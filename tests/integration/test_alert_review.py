"""The alarm review of a running station: filter, pages and CSV, each for the wards that the user may see."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest

from stack.servers import BrokerServer
from station import api_models
from tests.fixtures.alerts import AlertClient
from tests.fixtures.secured import Secured
from tests.fixtures.station import MakeStation, StationProcess, basic
from tests.support.factories import make_alert
from tests.support.rows import store_alert, write_readings
from tests.support.servers import Db, eventually
from vitals.alert import Priority

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(hours=2)


def store_history(db: Db) -> None:
    """Two wards with 12 alerts each, in pairs that were raised at the same time; one is older than a day."""
    for number in range(24):
        ward, device = (("icu-1", "bed-1"), ("icu-2", "bed-9"))[number % 2]
        raised = BEGIN + timedelta(minutes=number // 2)
        rule, priority = (("spo2-low", Priority.HIGH), ("news2", Priority.MEDIUM))[number // 2 % 2]
        alert = make_alert(
            ward=ward, device=device, rule=rule, priority=priority, raised_at=raised, changed_at=raised, since=raised,
            alert_id=f"00000000-0000-0000-0000-{number:012}", text=f"{rule}: {number}", patient_id=f"=p-{device}",
        )  # fmt: skip
        store_alert(db, alert)
    old = NOW - timedelta(days=40)
    store_alert(db, make_alert(device="bed-1", raised_at=old, changed_at=old, text="old: 1"))


def ask(station: StationProcess, path: str, user: str = "a script", /, **query: Any) -> tuple[int, Any]:
    password = {"ada": "word-of-ada", "grace": "word-of-grace"}.get(user, "any word")
    url = f"{path}?{urlencode({'from' if name == 'start' else name: value for name, value in query.items()})}"
    status, answer, _ = station.ask("GET", url, Authorization=basic(user, password))
    return status, answer


def numbers(answer: Any) -> list[int]:
    return [int(alert["text"].partition(": ")[2]) for alert in answer["alerts"]]


def exported(answer: Any) -> list[int]:
    assert isinstance(answer, str), answer
    rows = csv.DictReader(io.StringIO(answer.removeprefix("\ufeff")))
    return [int(row["text"].partition(": ")[2]) for row in rows]


def test_pages_have_every_alert_once_and_the_csv_has_the_same(
    broker: BrokerServer, db: Db, make_station: MakeStation
) -> None:
    store_history(db)
    station = make_station(broker.url, reader_url=db.reader_url)
    seen: list[int] = []
    query: dict[str, Any] = {"limit": 5}
    while True:
        status, answer = ask(station, "/api/alerts/history", **query)
        assert status == 200, answer
        api_models.AlertHistory.model_validate(answer)
        seen += numbers(answer)
        if answer["next"] is None:
            break
        assert len(answer["alerts"]) == 5
        query["after"] = answer["next"]
    # Of two that were raised at the same time, the one with the higher id first.
    assert seen == list(range(23, -1, -1))
    assert exported(ask(station, "/api/alerts/history.csv")[1]) == seen
    assert exported(ask(station, "/api/alerts/history.csv", start="2020-01-01T00:00:00Z")[1]) == [*seen, 1]
    assert '"\'=p-bed-1"' in ask(station, "/api/alerts/history.csv")[1]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"device": "bed-9"}, range(23, -1, -2)),
        ({"ward": "icu-1"}, range(22, -1, -2)),
        ({"rule": "news2"}, (23, 22, 19, 18, 15, 14, 11, 10, 7, 6, 3, 2)),
        ({"priority": "high", "ward": "icu-2"}, (21, 17, 13, 9, 5, 1)),
        ({"start": (BEGIN + timedelta(minutes=3)).isoformat(), "to": (BEGIN + timedelta(minutes=5)).isoformat()},
         (9, 8, 7, 6)),
        ({"device": "unknown"}, ()),
    ],
)  # fmt: skip
def test_list_and_csv_have_the_alerts_of_the_filter(
    query: dict[str, str], expected: tuple[int, ...], broker: BrokerServer, db: Db, make_station: MakeStation
) -> None:
    store_history(db)
    station = make_station(broker.url, reader_url=db.reader_url)
    assert numbers(ask(station, "/api/alerts/history", **query)[1]) == list(expected)
    assert exported(ask(station, "/api/alerts/history.csv", **query)[1]) == list(expected)


def station_with_wards(secured: Secured, db: Db, make_station: MakeStation) -> StationProcess:
    """A station on a broker with access control, once it knows the ward of ada."""
    station = make_station(
        secured.url_of("station"), mqtt_ca=secured.ca, station_client_id="station", reader_url=db.reader_url
    )
    device = AlertClient(0, secured.broker("grace"), secured.broker("bed-1"), "bed-1")
    device.measure("bed-1", heart_rate=80)  # a station knows the wards that it has received
    eventually(lambda: ask(station, "/api/ward", "ada")[1]["beds"], 30, "ada sees her ward")
    device.close()
    return station


def test_no_route_shows_an_alert_of_a_ward_that_the_user_may_not_see(
    shared_secured: Secured, db: Db, make_station: MakeStation
) -> None:
    store_history(db)
    station = station_with_wards(shared_secured, db, make_station)
    mine = list(range(22, -1, -2))
    for route in ("/api/alerts/history", "/api/alerts/history.csv"):
        found = numbers if route.endswith("history") else exported
        assert found(ask(station, route, "grace")[1]) == list(range(23, -1, -1))
        assert found(ask(station, route, "ada")[1]) == mine
        for foreign in ({"ward": "icu-2"}, {"device": "bed-9"}):
            assert found(ask(station, route, "ada", **foreign)[1]) == []
        assert station.ask("GET", route)[0] == 401
    cookie = station.sign_in("ada", "word-of-ada")
    choices = station.ask("GET", "/ui/review", Cookie=cookie)[1]
    assert choices["beds"] == [{"ward": "icu-1", "device": "bed-1"}]
    assert {choice["rule"] for choice in choices["rules"]} == {"spo2-low", "news2"}
    assert station.ask("GET", "/ui/review")[0] == 401


def test_the_readings_around_an_alert_are_shown_to_users_of_their_ward_only(
    shared_secured: Secured, db: Db, make_station: MakeStation
) -> None:
    store_history(db)
    station = station_with_wards(shared_secured, db, make_station)
    mine, foreign = (f"/api/alerts/00000000-0000-0000-0000-{number:012}/snapshot" for number in (0, 1))
    found = ask(station, mine, "ada")
    assert (found[0], found[1]["taken_at"], found[1]["signs"]) == (200, None, {})
    write_readings(db, range(1, 301), device="bed-1", start=BEGIN - timedelta(minutes=2, seconds=30))
    write_readings(db, range(1, 301), device="bed-9", start=BEGIN)
    with psycopg.connect(db.ingest_url) as ingest:
        ingest.execute("SELECT take_alert_snapshots(100)")
    answer = ask(station, mine, "ada")[1]
    api_models.AlertSnapshot.model_validate(answer)
    times = [datetime.fromisoformat(time) for time in answer["time"]]
    assert times == [BEGIN + timedelta(seconds=second) for second in range(-120, 121)]
    assert answer["signs"] == {"heart_rate": {"unit": "/min", "values": [82.0] * 241}}
    assert ask(station, foreign, "grace")[0] == 200
    assert ask(station, foreign, "ada")[0] == 404
    assert ask(station, "/api/alerts/00000000-0000-0000-0000-999999999999/snapshot", "grace")[0] == 404
    assert ask(station, "/api/alerts/x/snapshot", "grace")[0] == 422
    assert station.ask("GET", mine)[0] == 401


def test_bad_parameters_and_a_missing_database_have_a_reason(
    broker: BrokerServer, db: Db, make_station: MakeStation
) -> None:
    station = make_station(broker.url, reader_url=db.reader_url)
    for route in ("/api/alerts/history", "/api/alerts/history.csv"):
        for query in (
            {"after": "x"}, {"start": "2026-01-01T00:00:00"}, {"priority": "worst"}, {"device": "\0"}, {"to": "soon"},
        ):  # fmt: skip
            assert ask(station, route, **query)[0] == 422, query
    without = make_station(broker.url)
    assert ask(without, "/api/alerts/history") == (503, {"detail": "this station keeps no history"})
    assert ask(without, "/api/alerts/history.csv") == (503, {"detail": "this station keeps no history"})
