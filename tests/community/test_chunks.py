"""How many chunks the queries of pages open: bounded, however long the history is. On both editions."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from bench.chunks import chunks_opened, fill_chunks, page_queries
from bench.week import Week
from sql.migrate import connect
from tests.fixtures.community import EDITIONS, on_edition
from tests.fixtures.week import as_reader
from tests.support.servers import Db

CHUNKS = 60
WEEK = Week(beds=2, dense=timedelta(minutes=5), sparse=timedelta(minutes=10), alerts_a_day=6)
# The two days of the present, and the week before a range in which completeness_between searches a number.
BOUND = 10


SILENT = """
INSERT INTO device (device_id, ward, state, boot, changed_at) VALUES
    ('bed-new', 'icu-1', 'online', 1, now()), ('bed-silent', 'icu-1', 'online', 1, now());
INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, status, received_at)
SELECT now() - interval '5 days' - number * interval '5 seconds', 'bed-silent', 1, 9 - number, 'icu-1',
       CASE number WHEN 1 THEN 77 END, 'NORMAL', now() - interval '5 days'
FROM generate_series(0, 4) AS number;
"""


# A device that sends no status, and whose silence is an open alert.
WITHOUT_STATUS = """
WITH raised AS (
    INSERT INTO alert_event (alert_id, revision, rule, priority, kind, state, change, level, ward, device_id, text,
                             since, raised_at, changed_at, latched, received_at)
    VALUES (gen_random_uuid(), 1, 'no-data', 'medium', 'technical', 'active', 'raised', 1, 'icu-1', 'bed-silent', '',
            now(), now(), now(), false, now())
    RETURNING device_id, rule, alert_id, revision, state, changed_at)
INSERT INTO alert_latest (device_id, rule, alert_id, revision, state, changed_at) SELECT * FROM raised;
DELETE FROM device WHERE device_id = 'bed-silent'
"""


def _fill(db: Db) -> None:
    with connect(db.owner_url) as connection:
        fill_chunks(connection, datetime.now(UTC), CHUNKS, WEEK)


@pytest.fixture(scope="module", params=EDITIONS)
def history(request: pytest.FixtureRequest) -> Iterator[Db]:
    """Sixty days of readings; tests take back what they change."""
    with on_edition(request, "history", _fill) as db:
        yield db


def test_each_query_of_a_page_opens_the_chunks_of_its_range_only(history: Db) -> None:
    with as_reader(history) as connection:
        total = chunks_opened(connection, lambda: len(connection.execute("SELECT FROM patient_vitals").fetchall()))
        assert total >= CHUNKS
        opened = {name: chunks_opened(connection, ask) for name, ask in page_queries(connection, datetime.now(UTC))}
    assert len(opened) > 40
    assert {name: number for name, number in opened.items() if number > BOUND} == {}


def test_a_repeated_query_opens_no_more_chunks_than_the_first(history: Db) -> None:
    # From the sixth time PostgreSQL may use one plan for all parameters.
    with as_reader(history) as connection:
        for name, ask in page_queries(connection, datetime.now(UTC)):
            if name in ("vitals_by_day", "completeness_between", "station, history of a bed"):
                assert [chunks_opened(connection, ask) for _ in range(8)][-1] <= BOUND, name


def test_a_silent_bed_has_its_last_reading_and_values_and_is_searched_in_32_days(history: Db) -> None:
    with psycopg.connect(history.owner_url) as connection:
        connection.execute(SILENT)
        found = "SELECT heart_rate, extract(day FROM age)::int FROM ward_now WHERE device_id = 'bed-silent'"
        assert connection.execute(found).fetchall() == [(77.0, 5)]
        connection.execute(WITHOUT_STATUS)
        assert connection.execute(found).fetchall() == [(77.0, 5)]
        assert connection.execute("SELECT seq FROM last_reading_of('bed-silent')").fetchall() == [(9,)]
        assert connection.execute("SELECT time FROM ward_now WHERE device_id = 'bed-new'").fetchall() == [(None,)]
        opened = chunks_opened(connection, lambda: len(connection.execute("SELECT * FROM ward_now").fetchall()))
        connection.rollback()
    assert 32 <= opened <= 34


def test_repeated_readings_are_compared_in_the_chunks_of_their_days_only(history: Db) -> None:
    rows = history.rows("SELECT device_id, time, boot, seq FROM patient_vitals ORDER BY time DESC LIMIT 200")
    keys = [list(column) for column in zip(*rows, strict=True)]
    with psycopg.connect(history.owner_url, autocommit=True) as connection:
        found: list[int] = []

        def compare() -> int:
            found.append(connection.execute("SELECT FROM stored_content_numbers(%s, %s, %s, %s)", keys).rowcount)
            return found[-1]

        assert chunks_opened(connection, compare) <= 2
    assert found == [200]


def test_the_oldest_reading_is_that_of_the_first_chunk_with_one(history: Db) -> None:
    assert history.one("SELECT oldest_reading()") == history.one("SELECT min(time) FROM patient_vitals")
    with psycopg.connect(history.owner_url) as connection:
        connection.execute("DELETE FROM patient_vitals WHERE time < now() - interval '50 days'")
        oldest = connection.execute("SELECT oldest_reading(), (SELECT min(time) FROM patient_vitals)").fetchone()
        assert oldest is not None
        assert oldest[0] == oldest[1]
        connection.execute("DELETE FROM patient_vitals")
        assert connection.execute("SELECT oldest_reading()").fetchone() == (None,)
        connection.rollback()
