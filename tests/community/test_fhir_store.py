"""Searches of the FHIR interface on both editions: from the daily rollup, and where the rollups are views."""

import asyncio
from datetime import UTC, datetime, timedelta

from station.fhir.search import OBSERVATION_PARAMETERS, read_search
from station.fhir.store import FhirStore
from station.history import History
from station.services import Services
from station.ward import Ward
from tests.fixtures.trends import NOW
from tests.support.servers import Db
from vitals.topics import Topics


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

    async def all_pages(**query: str) -> list[datetime]:
        now = datetime.now(UTC)
        history = History(weeks.reader_url)
        store = FhirStore(history, Ward(Topics("test"), Services((), has_database=True, now=now), now))
        search = read_search(query.items(), OBSERVATION_PARAMETERS, is_strict=True)
        try:
            assert await store.total(search, None) == len(expected)
            assert await store.total(search, ["another ward"]) == 0
            page = await store.page(search, None)
            found = page.found
            while page.next is not None:
                page = await store.page(search, None, page.next)
                found += page.found
            assert set(await store.patients(["p-0002"], None)) == {"p-0002"}
            return [reading.time for reading, _ in found]
        finally:
            await history.close()

    query = {"patient": "p-0002", "code": "8867-4", "date": f"ge{since:%Y-%m-%dT%H:%M:%SZ}", "_count": "700"}
    assert asyncio.run(all_pages(**query)) == expected
    assert asyncio.run(all_pages(**query, _sort="date")) == expected[::-1]
