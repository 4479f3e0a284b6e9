"""Days of a ward in its time zone, and results that do not depend on the time zone of the session; both editions."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest

from sql.migrate import connect
from sql.time_zone import set_time_zone
from tests.fixtures.community import EDITIONS, on_edition
from tests.fixtures.trends import STATEMENTS, refresh_all, store
from tests.support.servers import Db
from vitals.errors import PermanentError

HOUR = timedelta(hours=1)
START = datetime(2026, 2, 25, tzinfo=UTC)  # New York changes to summer time on 8 March, Berlin on 29 March
HOURS = 40 * 24
ZONES = {"icu-ny": "America/New_York", "icu-kolkata": "Asia/Kolkata", "icu-berlin": "Europe/Berlin", "icu-utc": "UTC"}
SESSIONS = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Auckland")
ALERT = {
    "alert_id": "00000000-0000-0000-0000-000000000001", "revision": 1, "rule": "hr-high", "priority": "high",
    "kind": "physiological", "state": "cleared", "change": "cleared", "level": 1, "ward": "icu-ny",
    "device_id": "bed-icu-ny", "patient_id": None, "sign": None, "value": None, "limit": None, "unit": None,
    "text": "", "since": START, "raised_at": START + 24 * HOUR, "changed_at": START + 400 * HOUR,
    "acknowledged_by": None, "audio_paused_until": None, "latched": False, "reason": None, "received_at": START,
    "first_value": None, "first_value_at": None, "worst_value": None, "worst_value_at": None,
    "writer": "alerts", "epoch": 1, "max_epoch": 2,
}  # fmt: skip


def fill(db: Db) -> None:
    """A reading at 10 and at 50 minutes of each hour, in each ward; its heart rate is the day of the ward."""
    with connect(db.owner_url) as connection:
        for ward, zone in ZONES.items():
            if ward != "icu-berlin":
                set_time_zone(connection, zone, ward)
        set_time_zone(connection, "Europe/Berlin")  # of the other wards
    for ward, zone in ZONES.items():
        if ward == "icu-utc":
            continue
        times = [START + number * HOUR + timedelta(minutes=minute) for number in range(HOURS) for minute in (10, 50)]
        days = sorted({time.astimezone(ZoneInfo(zone)).date() for time in times})
        for day in days:
            of_day = [time for time in times if time.astimezone(ZoneInfo(zone)).date() == day]
            store(db, of_day, note_late=False, device_id=f"bed-{ward}", ward=ward, heart_rate=day.toordinal() % 100)
    with psycopg.connect(db.owner_url) as connection:
        connection.execute(STATEMENTS["alert_event"].encode(), ALERT)
    if is_community(db):
        refresh_all(db, START, START + HOURS * HOUR)


def is_community(db: Db) -> bool:
    return db.one("SELECT community FROM vitalflow_edition") is True


@pytest.fixture(scope="module", params=EDITIONS)
def march(request: pytest.FixtureRequest) -> Iterator[Db]:
    """Forty days with a change to summer time in New York and in Berlin, on each edition in turn."""
    with on_edition(request, "march", fill) as db:
        yield db


def ask(db: Db, session: str, query: str, *values: object) -> list[tuple[object, ...]]:
    """Ask in a session of this time zone."""
    with psycopg.connect(db.owner_url) as connection:
        connection.execute("SELECT set_config('timezone', %s, false)", [session])
        return connection.execute(query.encode(), values).fetchall()


@pytest.mark.parametrize("ward", ["icu-ny", "icu-kolkata", "icu-berlin"])
def test_a_day_of_a_ward_holds_exactly_its_readings_in_every_session(march: Db, ward: str) -> None:
    zone = ZoneInfo(ZONES[ward])
    wanted: dict[date, int] = {}
    for number in range(HOURS * 2):
        time = START + number // 2 * HOUR + timedelta(minutes=(10, 50)[number % 2])
        day = time.astimezone(zone).date()
        wanted[day] = wanted.get(day, 0) + 1
    first, last = min(wanted), max(wanted)
    assert (46 in wanted.values()) == (ward != "icu-kolkata"), "a day of 23 hours"
    query = (
        "SELECT day, readings, heart_rate_min, heart_rate_avg, heart_rate_max"
        " FROM vitals_by_day(%s, %s, %s) ORDER BY day"
    )
    for session in SESSIONS:
        rows = ask(march, session, query, START, START + HOURS * HOUR, [f"bed-{ward}"])
        assert {row[0]: row[1] for row in rows} == wanted, session
        assert all(row[2] == row[3] == row[4] == row[0].toordinal() % 100 for row in rows), session  # type: ignore[attr-defined]
    one = ask(march, "UTC", query, START + 240 * HOUR, START + 241 * HOUR, [f"bed-{ward}"])
    assert len(one) == 1
    assert first < one[0][0] < last  # type: ignore[operator]
    assert one[0][1] == 48
    assert ask(march, "UTC", query, START, START, [f"bed-{ward}"]) == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM vitals_series('bed-icu-ny', %s, %s, 30)",
        "SELECT * FROM vitals_series('bed-icu-ny', %s, %s, 7)",
        "SELECT * FROM bed_chart('{bed-icu-ny}', %s, %s, 86400000)",
        "SELECT * FROM news2_chart('{bed-icu-ny}', %s, %s, 86400000)",
        "SELECT * FROM reading_rate(%s, %s)",
        "SELECT * FROM alert_timeline('{icu-ny}', %s, %s, 86400000)",
        "SELECT * FROM vitals_by_day(%s, %s) ORDER BY day, device_id",
    ],
)
def test_a_result_is_the_same_in_every_session(march: Db, query: str) -> None:
    span = (START + 5 * HOUR, START + HOURS * HOUR)
    rows = ask(march, "UTC", query, *span)
    assert rows
    assert "reading_rate" not in query or all(row[1] for row in rows), "no day is missed"
    for session in SESSIONS[1:]:
        assert ask(march, session, query, *span) == rows, session


def test_a_refresh_of_one_day_covers_it_in_a_session_with_summer_time(march: Db) -> None:
    if not is_community(march):
        pytest.skip("the rollups of the Apache edition are views")
    day = datetime(2026, 3, 8, tzinfo=UTC)
    store(march, [day + HOUR], note_late=False, device_id="bed-late", ward="icu-ny", heart_rate=60)
    with psycopg.connect(march.owner_url, autocommit=True) as connection:
        connection.execute("SET timezone = 'America/New_York'")
        connection.execute("CALL refresh_rollups(%s, %s)", [day, day + 24 * HOUR])
        assert connection.execute("SELECT bucket FROM vitals_1d WHERE device_id = 'bed-late'").fetchall() == [(day,)]
        connection.execute("DELETE FROM patient_vitals WHERE device_id = 'bed-late'")


def test_an_unknown_zone_is_refused_and_a_ward_without_one_has_that_of_all(march: Db) -> None:
    refusal = "does not know the time zone 'Mars/Olympus'"
    with connect(march.owner_url) as connection, pytest.raises(PermanentError, match=refusal):
        set_time_zone(connection, "Mars/Olympus")
    assert ask(march, "UTC", "SELECT ward_time_zone(w) FROM unnest('{icu-ny,icu-9}'::text[]) w") == [
        ("America/New_York",),
        ("Europe/Berlin",),
    ]
