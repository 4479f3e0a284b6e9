"""The FHIR interface of a running station: searches, pages and reads, each for the wards that the user may see."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import fhirkit
import psycopg
import pytest

from stack.servers import BrokerServer, DatabaseServer
from tests.fixtures.alerts import AlertClient
from tests.fixtures.secured import Secured
from tests.fixtures.station import MakeStation, StationProcess, basic
from tests.support.servers import Db, copy_of_template, eventually
from vitals.fhir_ids import device_id

START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
ROW = """
INSERT INTO patient_vitals (time, device_id, boot, seq, patient_id, ward, heart_rate, spo2, systolic_bp, sensor_off,
                            status, arrival_lag_ms)
SELECT %(start)s::timestamptz + number * interval '1 s', %(device)s, 1, number, %(patient)s, %(ward)s, 60 + number,
       CASE WHEN number %% 5 > 0 THEN 97 END, CASE WHEN number %% 10 = 0 THEN 120 END,
       CASE WHEN number %% 5 = 0 THEN '{spo2}'::text[] ELSE '{}' END, 'NORMAL', 1500
FROM generate_series(1, %(rows)s) AS number
"""


def store_readings(db: Db) -> None:
    """Two wards; bed-1 measured another patient a day before; bed-2 names no patient, and one was assigned to it."""
    with psycopg.connect(db.owner_url) as owner:
        for device, patient, ward, start in (
            ("bed-1", "p-1", "icu-1", START),
            ("bed-1", "p-0", "icu-1", START - timedelta(days=1)),
            ("bed-2", None, "icu-1", START),
            ("bed-9", "p 9", "icu-2", START),
        ):
            row = {"device": device, "patient": patient, "ward": ward, "start": start, "rows": 20}
            owner.execute(ROW, row)
        for patient, since, until in (
            ("p-2", START - timedelta(days=1), START + timedelta(seconds=10.5)),
            ("p-3", START + timedelta(seconds=10.5), None),
        ):
            owner.execute(
                "INSERT INTO assignment (device_id, ward, patient_id, from_time, to_time, patient_since)"
                " VALUES ('bed-2', 'icu-1', %s, %s, %s, %s)",
                [patient, since, until, since],
            )


class FhirClient:
    """Requests of one user to the FHIR interface."""

    def __init__(self, station: StationProcess, user: str = "a script", password: str = "any word") -> None:
        self.station = station
        self.authorization = basic(user, password)

    def ask(
        self, path: str, status: int = 200, method: str = "GET", content: bytes | None = None, **headers: str
    ) -> Any:
        """Return the resource of a response, which is valid FHIR."""
        found, text, sent = self.station.ask(
            method, f"/fhir/R4/{path}", content, Authorization=self.authorization, **headers
        )
        assert found == status, (path, text)
        assert sent["Content-Type"] == "application/fhir+json; charset=utf-8"
        assert [str(issue) for issue in fhirkit.validate(json.dumps(text))] == []
        if status != 200:
            assert text["resourceType"] == "OperationOutcome"
        return text

    def search(self, path: str, /, *query: tuple[str, str], **named: str) -> list[Any]:
        """Return the matches of every page, each page fetched by the link of the page before."""
        bundle = self.ask(f"{path}?{urlencode([*query, *named.items()])}")
        found = []
        while True:
            found += [entry["resource"] for entry in bundle.get("entry", []) if entry["search"]["mode"] == "match"]
            links = {link["relation"]: link["url"] for link in bundle["link"]}
            if "next" not in links:
                return found
            bundle = self.ask(links["next"].partition("/fhir/R4/")[2])


def times(found: list[Any]) -> list[str]:
    return [one["effectiveDateTime"] for one in found]


@pytest.fixture(scope="module")
def fhir(
    shared_broker: BrokerServer, database: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FhirClient]:
    """One station for all tests that only read."""
    db = copy_of_template(database, "fhir")
    store_readings(db)
    with StationProcess(shared_broker.url, tmp_path_factory.mktemp("fhir"), reader_url=db.reader_url) as station:
        yield FhirClient(station.start())
    with psycopg.connect(database.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE fhir WITH (FORCE)")


def test_a_search_has_every_observation_once_in_order_over_all_pages(fhir: FhirClient) -> None:
    for count in ("1", "7", "1000"):
        newest = fhir.search("Observation", patient="p-1", _count=count)
        # Heart rate 20, SpO2 20 of which 4 without the sensor, and both pressures 2.
        assert len({one["id"] for one in newest}) == len(newest) == 42
        assert times(newest) == sorted(times(newest), reverse=True)
        oldest = fhir.search("Observation", patient="p-1", _count=count, _sort="date")
        assert times(oldest) == sorted(times(oldest))
        assert {one["id"] for one in oldest} == {one["id"] for one in newest}
    every = fhir.search("Observation", _count="13")
    assert len({one["id"] for one in every}) == len(every) == 4 * 42
    assert times(every) == sorted(times(every), reverse=True)
    off = [one for one in newest if "dataAbsentReason" in one]
    assert {one["dataAbsentReason"]["coding"][0]["code"] for one in off} == {"not-performed"}
    assert len(off) == 4
    one = newest[0]
    assert fhir.ask(f"Observation/{one['id']}") == one
    assert fhir.search("Observation", _id=f"{one['id']},{newest[5]['id']},unknown") == [one, newest[5]]
    fhir.ask("Observation/" + one["id"][:-2] + "te", 404)
    fhir.ask("Observation/unknown", 404)


def test_the_filters_of_a_search_restrict_it(fhir: FhirClient) -> None:
    def count(*query: tuple[str, str], **named: str) -> int:
        total = fhir.ask("Observation?" + urlencode([*query, *named.items(), ("_summary", "count")]))["total"]
        assert total == len(fhir.search("Observation", *query, **named))
        return int(total)

    second = (START + timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    later = (START + timedelta(seconds=16)).isoformat()
    assert count(patient="Patient/p-1", code="http://loinc.org|8867-4") == 20
    assert count(patient="p-1", code="http://loinc.org|8867-4,59408-5") == 40
    assert count(("code", "8867-4"), ("code", "59408-5"), patient="p-1") == 0
    assert count(patient="p-1", code="8480-6") == 0
    assert count(("combo-code", "8480-6"), patient="p-1") == 2
    assert count(patient="p-1", category="vital-signs") == 42
    assert count(patient="p-1", category="laboratory") == 0
    assert count(patient="p-1", status="final,amended") == 42
    assert count(patient="p-1", status="amended") == 0
    assert count(patient="p-1", date=second) == 2
    assert count(patient="p-1", date=f"lt{second}", code="8867-4") == 4
    assert count(("date", f"ge{second}"), ("date", f"lt{later}"), patient="p-1", code="8867-4") == 11
    assert count(patient="p-1", _lastUpdated=f"ge{second}", code="8867-4") == 17
    assert count(patient="p-0", code="8867-4") == 20
    assert count(patient="p-0,p-1", code="8867-4") == 40
    assert count(device=device_id("bed-1"), code="8867-4") == 40
    assert count(device=device_id("bed-1"), patient="p-0", code="8867-4") == 20
    assert count(device="d" + "a" * 16) == count(patient="unknown") == 0


def test_readings_that_name_no_patient_are_those_of_the_patient_assigned_at_that_time(fhir: FhirClient) -> None:
    former = fhir.search("Observation", patient="p-2", code="8867-4")
    present = fhir.search("Observation", patient="p-3", code="8867-4")
    assert [one["valueQuantity"]["value"] for one in reversed(former)] == list(range(61, 71))
    assert [one["valueQuantity"]["value"] for one in reversed(present)] == list(range(71, 81))
    assert {one["subject"]["reference"] for one in former} == {"Patient/p-2"}
    assert fhir.ask(f"Observation/{former[0]['id']}")["subject"] == {"reference": "Patient/p-2"}


def test_the_last_observations_of_each_kind(fhir: FhirClient) -> None:
    for query, expected in (("", 3), ("&max=2", 6), ("&max=3", 8)):
        found = fhir.search("Observation/$lastn", *parse_qsl("patient=p-1&category=vital-signs" + query))
        assert len(found) == expected
    (last,) = fhir.search("Observation/$lastn", subject="Patient/p-1", code="8867-4")
    assert last["valueQuantity"]["value"] == 80
    fhir.ask("Observation/$lastn?patient=p-1", 400)
    fhir.ask("Observation/$lastn?patient=p-1&code=8867-4&max=0", 400)


def test_patients_and_devices_are_found_read_and_included(fhir: FhirClient) -> None:
    patients = {one["identifier"][0]["value"]: one["id"] for one in fhir.search("Patient", _count="2")}
    assert patients.keys() == {"p-0", "p-1", "p-2", "p-3", "p 9"}
    spaced = patients["p 9"]
    assert spaced.startswith("x-")
    assert fhir.ask(f"Patient/{spaced}")["identifier"] == [{"system": "urn:vitalflow:patient", "value": "p 9"}]
    assert [one["id"] for one in fhir.search("Patient", identifier="urn:vitalflow:patient|p 9")] == [spaced]
    assert fhir.search("Patient", identifier="http://example.org|p 9") == []
    assert len(fhir.search("Observation", patient=spaced, code="8867-4")) == 20
    devices = {one["identifier"][0]["value"]: one for one in fhir.search("Device", _count="2")}
    assert devices.keys() == {"bed-1", "bed-2", "bed-9"}
    assert fhir.search("Device", patient="p-3") == [devices["bed-2"]]
    assert fhir.ask(f"Device/{device_id('bed-9')}")["location"] == {"display": "icu-2"}
    bundle = fhir.ask("Observation?patient=p-1&_count=5&_include=Observation:device&_include=Observation:patient")
    included = [entry["resource"] for entry in bundle["entry"] if entry["search"]["mode"] == "include"]
    assert [(one["resourceType"], one["id"]) for one in included] == [
        ("Device", device_id("bed-1")),
        ("Patient", "p-1"),
    ]


def test_rejected_requests_state_why(fhir: FhirClient) -> None:
    statement = fhir.ask("metadata")
    assert statement["fhirVersion"] == "4.0.1"
    assert fhir.station.ask("GET", "/fhir/R4/metadata")[0] == 200
    status, outcome, headers = fhir.station.ask("GET", "/fhir/R4/Observation")
    assert (status, outcome["resourceType"]) == (401, "OperationOutcome")
    assert headers["WWW-Authenticate"].startswith("Basic ")
    for query in ("date=yesterday", "date=2026-13", "_count=-1", "_sort=code", "date=ap2026", "code:text=heart",
                  "patient.identifier=1", "_cursor=AAAA", "patient=a/", "_include=*", "code=%00"):  # fmt: skip
        fhir.ask(f"Observation?{query}", 400)
    assert fhir.ask("Observation?colour=red&patient=p-1")["link"][0]["url"].endswith("Observation?patient=p-1")
    fhir.ask("Observation?colour=red", 400, Prefer="handling=strict")
    fhir.ask("Observation?_format=xml", 406)
    fhir.ask("Observation", 406, Accept="application/fhir+xml")
    fhir.ask("Observation", Accept="application/fhir+xml, application/fhir+json;q=0.9")
    fhir.ask("Medication", 404)
    fhir.ask("Observation/a", 404, "DELETE", b"{}")
    form, kind = b"patient=p-1&code=8867-4&_count=3", "application/x-www-form-urlencoded"
    found = fhir.ask("Observation/_search", 200, "POST", form, Content_Type=kind)
    assert len(found["entry"]) == 3
    following = found["link"][1]["url"].partition("/fhir/R4/")[2]
    fhir.ask(following)
    place = dict(parse_qsl(urlsplit(following).query))["_cursor"]
    for forged in (place[:-1], place + "A", place[:20] + ("A" if place[20] != "A" else "B") + place[21:], ""):
        fhir.ask(f"Observation?patient=p-1&code=8867-4&_count=3&_cursor={quote(forged or 'x')}", 400)
    fhir.ask(f"Observation?patient=p-0&code=8867-4&_count=3&_cursor={place}", 400)


def test_no_request_of_two_hundred_shows_what_was_measured_in_another_ward(
    shared_secured: Secured, db: Db, make_station: MakeStation
) -> None:
    store_readings(db)
    with psycopg.connect(db.owner_url) as owner:  # a device that was moved, and is assigned in its old ward
        owner.execute(
            "INSERT INTO device (device_id, ward, state, boot, changed_at) VALUES ('bed-3', 'icu-1', 'online', 1, %s)",
            [START],
        )
        owner.execute(
            "INSERT INTO assignment (device_id, ward, patient_id, from_time, patient_since)"
            " VALUES ('bed-3', 'icu-2', 'p 9', %(at)s, %(at)s)",
            {"at": START},
        )
    station = make_station(
        shared_secured.url_of("station"),
        mqtt_ca=shared_secured.ca,
        station_client_id="station",
        reader_url=db.reader_url,
    )
    client = AlertClient(0, shared_secured.broker("grace"), shared_secured.broker("bed-1"), "bed-1")
    client.measure("bed-1", heart_rate=80)  # a station knows the wards that it has received
    ada, grace = FhirClient(station, "ada", "word-of-ada"), FhirClient(station, "grace", "word-of-grace")
    eventually(lambda: ada.ask("Device").get("entry"), 30, "ada sees her ward")
    client.close()
    foreign = grace.search("Observation", device=device_id("bed-9"))
    assert len(foreign) == 42
    patient = foreign[0]["subject"]["reference"]
    device = foreign[0]["device"]["reference"]
    following = grace.ask(f"Observation?patient={patient}&_count=1")["link"][1]["url"].partition("/fhir/R4/")[2]
    for one in foreign:
        ada.ask(f"Observation/{one['id']}", 404)
    ada.ask(patient, 404)
    ada.ask(device, 404)
    fine = [
        f"{who}={value}{rest}"
        for who, value in (("patient", patient), ("subject", patient), ("device", device), ("_id", foreign[0]["id"]))
        for rest in (
            "", "&_sort=date", "&_count=1", "&_total=accurate", "&_summary=count", "&code=8867-4", "&date=gt2000",
            "&category=vital-signs", "&_include=Observation:device", "&_include=Observation:patient",
            f"&device={device_id('bed-1')},{device_id('bed-9')}", "&_lastUpdated=gt2000", "&status=final",
        )
    ]  # fmt: skip
    queries = [f"Observation?{query}" for query in fine]
    queries += [
        f"Observation/$lastn?{query}&category=vital-signs" for query in fine if not query.startswith(("_id", "dev"))
    ]
    queries += [
        f"Patient?{query}" for query in (f"_id={patient.partition('/')[2]}", "identifier=p%209", "", "_count=1")
    ]
    queries += [
        f"Device?{query}" for query in (f"_id={device_id('bed-9')}", "identifier=bed-9", f"patient={patient}", "")
    ]
    queries += ["Observation", "Observation?_include=Observation:device&_include=Observation:patient", following]
    queries += [f"Observation?date={prefix}{START.year}" for prefix in ("eq", "ne", "gt", "ge", "lt", "le", "sa", "eb")]
    queries += [f"Observation?{query}&_count=2&_sort=-date" for query in fine]
    queries += [f"Observation?{query}&_lastUpdated=ge2000&combo-code=8480-6,8867-4" for query in fine[:20]]
    hidden = ("p 9", patient, "bed-9", device_id("bed-9"), "icu-2")
    for query in queries:
        answer = ada.ask(query)
        answer["link"] = []  # which repeats what was asked
        assert not any(secret in json.dumps(answer) for secret in hidden), query
        if any(asked in query for asked in ("=" + patient, "=" + device, foreign[0]["id"])):
            assert not answer.get("entry"), query
            assert answer.get("total", 0) == 0, query
    assert len(foreign) + len(queries) >= 200
    assert ada.search("Observation", device=device_id("bed-1"))
