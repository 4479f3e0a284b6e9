"""`vitalflow bench fhir`: what a page of the FHIR interface costs, and whether a deep page costs more.

On the Apache edition, whose rollups are views: there the days of a patient are the most expensive to find.
"""

import base64
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

import msgspec
import psycopg

from bench.environment import PASSWORD, Environment
from bench.generated_readings import insert_readings
from bench.report import Figures, Log
from bench.services import running
from sql.migrate import READER_ROLE, connect
from stack.servers import OWNER
from vitals.fhir import KINDS, Measured, observation
from vitals.signs import SIGN_KEYS

DEVICES = 50
DAYS = 20
REQUESTS = 200
PAGES = 1000
COUNT = 100  # Observations of a page
HEADERS = {"Authorization": "Basic " + base64.b64encode(b"bench:any word").decode()}


def fhir(environment: Environment, rows: int, log: Log) -> Figures:
    """Fill the database, and search by patient, code and date as a clinical system does."""
    now = datetime.now(UTC)
    step = timedelta(days=DAYS) * DEVICES / rows
    numbers = range(1, rows // DEVICES + 1)
    with connect(environment.database.url()) as connection:
        stored = insert_readings(
            connection, now - numbers[-1] * step, numbers, DEVICES, step, lambda done: log(f"{done:,} readings")
        )
    with psycopg.connect(environment.database.url(), autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE patient_vitals")
    reader = environment.database.url(OWNER, READER_ROLE, PASSWORD)
    settings = {"VITALFLOW_STATION_SERVICES": "", "VITALFLOW_READER_URL": reader}
    with running(environment, "station", settings=settings) as program:
        assert program.port is not None
        client = _Client(program.port)
        since = f"ge{now - timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}"
        log("reading the days for the first time")
        first = client.took({"patient": "p-0001", "date": since})
        log(f"{REQUESTS} searches by patient, code and date")
        searches = [
            client.took({"patient": f"p-{number % DEVICES + 1:04}", "code": code, "date": since})
            for number in range(REQUESTS)
            for code in ("8867-4",)
        ]
        sparse = [
            client.took({"patient": f"p-{number % DEVICES + 1:04}", "code": "85354-9", "date": since})
            for number in range(REQUESTS // 4)
        ]
        log(f"{PAGES} pages of one search")
        pages = client.pages({"patient": "p-0007", "_count": str(COUNT)}, PAGES)
        usage = {"page 1 to 20, median ms": pages[:20], f"last 20 of {len(pages)} pages, median ms": pages[-20:]}
        medians = {name: statistics.median(times) for name, times in usage.items()}
        early, late = medians.values()
        return {
            "readings": stored,
            "first search, ms": round(first, 1),
            "page of 100, p50 ms": round(statistics.median(searches), 1),
            "page of 100, p95 ms": round(statistics.quantiles(searches, n=20)[-1], 1),
            "page of 100, slowest ms": round(max(searches), 1),
            "page of 100 pressures, p95 ms": round(statistics.quantiles(sparse, n=20)[-1], 1),
            **{name: round(took, 1) for name, took in medians.items()},
            "deep page over first": round(late / early, 2),
            **writing(),
        } | environment.machine


def writing() -> Figures:
    """Return what the resources of a page cost the station to write, and fhir.resources (R4B) to read."""
    from fhir.resources.R4B.bundle import Bundle

    at = datetime(2026, 11, 29, tzinfo=UTC)
    readings = [
        Measured(
            device="bed-1",
            time=at + timedelta(seconds=number),
            boot=1,
            seq=number,
            ward="icu-1",
            patient="p-0001",
            values=dict.fromkeys(SIGN_KEYS, 70.0 + number % 20),
            sensor_off=(),
            received_at=at + timedelta(seconds=number),
        )
        for number in range(COUNT)
    ]

    def write() -> bytes:
        entries = [{"resource": observation(reading, KINDS[0])} for reading in readings]
        return msgspec.json.encode({"resourceType": "Bundle", "type": "searchset", "entry": entries})

    page = write()
    ours, theirs = (_best(work) for work in (write, lambda: Bundle.model_validate_json(page)))
    return {
        "writing a page, ms": round(ours, 2),
        "fhir.resources reads it, ms": round(theirs, 1),
        "times as fast": round(theirs / ours, 1),
    }


def _best(work: Callable[[], object]) -> float:
    """Return the least milliseconds of processor time of ten calls."""
    times = []
    for _ in range(10):
        begun = time.process_time()
        work()
        times.append((time.process_time() - begun) * 1000)
    return min(times)


class _Client:
    """Searches of one user on one connection."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def took(self, query: dict[str, str]) -> float:
        """Return the milliseconds of a search that finds something."""
        begun = time.perf_counter()
        bundle = self._get(f"/fhir/R4/Observation?{urlencode({'_count': str(COUNT)} | query)}")
        took = (time.perf_counter() - begun) * 1000
        assert bundle.get("entry"), bundle
        return took

    def pages(self, query: dict[str, str], number: int) -> list[float]:
        """Return the milliseconds of each page, until there is no next one."""
        path = f"/fhir/R4/Observation?{urlencode(query)}"
        times: list[float] = []
        while len(times) < number:
            begun = time.perf_counter()
            bundle = self._get(path)
            times.append((time.perf_counter() - begun) * 1000)
            following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            if not following:
                break
            path = "/fhir/R4/" + following[0].partition("/fhir/R4/")[2]
        return times

    def _get(self, path: str) -> Any:
        self._connection.request("GET", path, headers=HEADERS)
        with self._connection.getresponse() as response:
            body = response.read()
            assert response.status == 200, body[:500]
        return json.loads(body)
