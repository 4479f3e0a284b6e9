"""Searches of the FHIR interface on both editions: from the daily rollup, and where the rollups are views."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg

from station.fhir.search import OBSERVATION_PARAMETERS, read_search
from station.fhir.store import FhirStore
from station.history import History
from station.services import Services
from station.ward import Ward
from tests.fixtures.trends import NOW
from tests.support.servers import Db
from vitals.topics import Topics


def found_times(db: Db, **query: str) -> list[datetime]:
    """Return the times of all pages of a search by patient, which agree with its total and with the patient's id."""

    async def all_pages() -> list[datetime]:
        now = datetime.now(UTC)
        history = History(db.reader_url)
        store = FhirStore(history, Ward(Topics("test"), Services((), has_database=True, now=now), now))
        search = read_search(query.items(), OBSERVATION_PARAMETERS, is_strict=True)
        try:
            page = await store.page(search, None)
            found = page.found
            while page.next is not None:
                page = await store.page(search, None, page.next)
                found += page.found
            assert await store.total(search, None) == len(found)
            assert await store.total(search, ["another ward"]) == 0
            assert set(await store.patients([query["patient"]], None)) == {query["patient"]}
            return [reading.time for reading, _ in found]
        finally:
            await history.close()

    return asyncio.run(all_pages())


def test_a_search_by_patient_has_every_reading_of_the_patient_once(weeks: Db) -> None:
    since = NOW - timedelta(days=3)
    expected = [
        row[0]
        for row in weeks.rows(
            "SELECT time FROM patient_vitals WHERE patient_id = 'p-0002' AND time >= %s AND heart_rate IS NOT NULL"
            " ORDER BY time DESC",
            since,
        )
    ]
    assert len(expected) > 2000
    query = {"patient": "p-0002", "code": "8867-4", "date": f"ge{since:%Y-%m-%dT%H:%M:%SZ}", "_count": "700"}
    assert found_times(weeks, **query) == expected
    assert found_times(weeks, **query, _sort="date") == expected[::-1]


IMPORTED = """
INSERT INTO {} (time, device_id, boot, seq, patient_id, ward, heart_rate, status, arrival_lag_ms)
SELECT time, 'imported', 0, -1, 'p-imported', 'icu-1', 60, 'NORMAL', 0 FROM unnest(%s::timestamptz[]) AS time
"""


def test_imported_readings_of_any_age_are_found_once(weeks: Db) -> None:
    # The first one has a copy in patient_vitals, and is in the rollups without a refresh.
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=2)
    times = [soon, *(NOW - timedelta(days=days) for days in (400, 401, 4000))]
    with psycopg.connect(weeks.owner_url, autocommit=True) as connection:
        connection.execute(IMPORTED.format("imported_vitals").encode(), [times])
        connection.execute(IMPORTED.format("patient_vitals").encode(), [times[:1]])
    try:
        assert found_times(weeks, patient="p-imported", _count="2") == times
        assert found_times(weeks, patient="p-imported", date=f"{times[1]:%Y-%m-%d}") == times[1:2]
    finally:
        with psycopg.connect(weeks.owner_url, autocommit=True) as connection:
            for table in ("imported_vitals", "patient_vitals"):
                connection.execute(f"DELETE FROM {table} WHERE device_id = 'imported'".encode())  # noqa: S608
            connection.execute("SELECT drop_chunks('imported_vitals', older_than => now() + interval '10 years')")
