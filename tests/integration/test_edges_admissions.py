"""Admissions of a hospital's system at a real broker, station, ingest and database.

The broker permits the edges what `identity.policy` states, and nothing else.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiomqtt import MqttError

from edges.admissions.publisher import AdmissionPublisher
from edges.admissions.queue import AdmissionQueue, queue
from edges.config.site import Site
from edges.hl7.adt import read_admission
from edges.hl7.er7 import parse_message
from edges.inbox.file import INBOX
from edges.inbox.inbox import read_unused
from edges.service_connection import Publish, ServiceConnection
from identity.dynsec import connect_dynsec
from tests.fixtures.alerts import AlertClient
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.fixtures.station import MakeStation, StationProcess
from tests.support.edge import EdgeProcess, site_text
from tests.support.servers import Db, eventually
from vitals.assignment import Assignment, encode_assignment
from vitals.limits import Limits
from vitals.sqlite_file import close_file, open_file
from vitals.topics import DeviceAddress, Topics

TOPICS = Topics()
SECOND = timedelta(seconds=1)
BEDS = ("bed-1", "bed-2")
SITE = Site.model_validate(
    {
        "zone": "UTC",
        "patients": {"authority": ["MR"]},
        "place": [{"unit": "ICU", "bed": bed[-1], "ward": "icu-1", "device": bed} for bed in BEDS],
        "source": [{"name": "his", "application": "HIS", "admissions": True}],
    }
)


class EdgesProcess:
    """The queue in a file, and its publisher in a thread, which can end at any publish as after a kill."""

    def __init__(self, secured: Secured, path: Path) -> None:
        self.path = path
        self.fails_at = 0  # number of the retained message whose publish kills the publisher; 0: none
        self.user = "edges"  # that the audit record names
        self._broker = secured.broker("edges")
        self._thread: threading.Thread | None = None
        self._published = 0
        close_file(open_file(INBOX, path, print), path)

    def receive(self, event: str, time: datetime, *lines: str) -> None:
        """Keep a message as the inbox does, before its acknowledgement."""
        message = parse_message(adt(event, time, *lines))
        events = queue(read_admission(message, SITE, datetime.now(UTC)).events)
        assert len(events) == 1
        with closing(sqlite3.connect(self.path, timeout=5)) as database, database:
            rows = [(queued.kind, queued.payload) for queued in events]
            database.executemany("INSERT INTO queued (kind, payload) VALUES (?, ?)", rows)
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._publisher.notify)

    def start(self) -> None:
        self._published = 0
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)))
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._connection.stop)
            self.join()

    def join(self) -> None:
        assert self._thread is not None
        self._thread.join(30)
        assert not self._thread.is_alive()

    def is_idle(self) -> bool:
        with closing(AdmissionQueue(self.path)) as opened:
            return opened.waiting() == 0

    def rename(self, user: str) -> None:
        """Record the next admission under another name."""
        self._publisher._user = user

    def denied(self) -> str:
        return self._connection.denied

    def limits(self) -> dict[DeviceAddress, Limits]:
        """What the broker retains, as the publisher has received it."""
        return dict(self._publisher.beds.limits)

    async def _run(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        with closing(AdmissionQueue(self.path)) as opened:
            self._publisher = AdmissionPublisher(opened, TOPICS, self.user)
            self._connection = ServiceConnection(
                self._broker,
                TOPICS,
                "edges",
                self._publisher.filters,
                lambda topic, payload, _: self._publisher.take(topic, payload),
            )
            ready.set()
            await self._connection.run(self._publisher.begin, self._work)

    async def _work(self, publish: Publish) -> None:
        async def publish_or_end(topic: str, payload: bytes, retain: bool) -> None:
            self._published += retain
            if retain and self._published == self.fails_at:
                self._connection.stop()
                raise MqttError("the publisher is killed here")
            await publish(topic, payload, retain)

        await self._publisher.work(publish_or_end)


class Hospital:
    """The beds as the station shows them, with the edges."""

    def __init__(self, secured: Secured, make_station: MakeStation, path: Path) -> None:
        self.secured = secured
        settings = {"mqtt_ca": secured.ca, "station_client_id": "station"}
        self.station: StationProcess = make_station(secured.url_of("station"), **settings)
        self.cookie = self.station.sign_in("grace", "word-of-grace")
        self.edges = EdgesProcess(secured, path)
        for device in BEDS:
            monitor = AlertClient(0, secured.broker("grace"), secured.broker(device), device)
            monitor.measure(device, "icu-1", None, patient=None, spo2=97)
            monitor.close()
        eventually(lambda: len(self.ask("/ui/recent")) == len(BEDS), 30, "the beds")

    def ask(self, path: str) -> Any:
        return self.station.ask("GET", path, None, Cookie=self.cookie)[1]

    def patients(self) -> list[str | None]:
        found = [self.ask(f"/ui/assignment?device={device}") for device in BEDS]
        return [answer["patient_id"] if isinstance(answer, dict) else None for answer in found]

    def wait_for(self, *patients: str | None) -> None:
        eventually(lambda: self.edges.is_idle() and self.patients() == list(patients), 30, f"{patients}")

    def retain(self, topic: str, payload: bytes) -> None:
        """Publish as another service would."""
        with connect_dynsec(self.secured.broker("admin")) as dynsec:
            dynsec.publish([(topic, payload, True)])


MakeHospital = Callable[[], Hospital]


@pytest.fixture
def make_hospital(own_secured: Secured, make_station: MakeStation, tmp_path: Path) -> Iterator[MakeHospital]:
    made: list[Hospital] = []

    def make() -> Hospital:
        made.append(Hospital(own_secured, make_station, tmp_path / "inbox"))
        return made[-1]

    yield make
    for hospital in made:
        hospital.edges.stop()


def test_a_stay_by_mllp_is_on_the_station_in_the_history_and_in_the_audit_record(
    own_secured: Secured, make_hospital: MakeHospital, make_ingest: MakeIngest, db: Db, tmp_path: Path
) -> None:
    make_ingest(own_secured.url_of("ingest"), db, ingest_client_id="ingest", mqtt_ca=own_secured.ca)
    hospital = make_hospital()
    began = datetime.now(UTC) - timedelta(minutes=5)
    child = f"PID|||77^^^H^MR||Muster^Max||{began.year - 8}0101|M"
    with edge_process(own_secured, tmp_path) as edge:
        sender = edge.connect()
        assert sender.send(adt("A01", began, child, "PV1||I|ICU^^1")) == "AA"
        hospital.wait_for("77", None)
        assert sender.send(adt("A05", began, child, "PV1||O|CLINIC")) == "AA"
        assert sender.send(adt("A02", began + SECOND, child, "PV1||I|ICU^^2|||ICU^^1")) == "AA"
        assert sender.send(adt("A40", began + 2 * SECOND, "PID|||78^^^H^MR", "MRG|77^^^H^MR")) == "AA"
        edge.kill()
    with edge_process(own_secured, tmp_path) as edge:
        hospital.wait_for(None, "78")
        assert edge.connect().send(adt("A03", began + 3 * SECOND, "PID|||78^^^H^MR", "PV1||I|ICU^^2")) == "AA"
        hospital.wait_for(None, None)
        eventually(lambda: edge.metric("admissions_waiting") == 0, 30, "all events are applied")
        log = edge.said()
    assert [(row["code"], row["reason"]) for row in read_unused(tmp_path / "edge-inbox")] == [("ADT^A05", "not_read")]

    history = "SELECT device_id, patient_id, profile, actor FROM assignment ORDER BY id"
    eventually(lambda: len(db.rows(history)) == 5, 30, "the history is stored")
    assert db.rows(history) == [
        ("bed-1", "77", "child-5-11", "hl7:his"),
        ("bed-2", "77", "child-5-11", "hl7:his"),
        ("bed-1", None, None, "hl7:his"),
        ("bed-2", "78", "child-5-11", "hl7:his"),
        ("bed-2", None, None, "hl7:his"),
    ]
    record = "SELECT actor, action, device_id, detail FROM audit_event WHERE topic LIKE '%admissions%' ORDER BY id"
    assert db.rows(record) == [
        ("edges", "admit", "bed-1", {"patient_id": "77", "profile": "child-5-11"}),
        ("edges", "transfer", "bed-1", {"patient_id": "77", "bed": "icu-1/bed-2"}),
        ("edges", "merge", "bed-2", {"patient_id": "78", "profile": "child-5-11", "former_patient_id": "77"}),
        ("edges", "discharge", "bed-2", {"patient_id": "78"}),
    ]
    everything = str(db.rows("SELECT string_agg(audit_event::text, ' ') FROM audit_event"))
    for text in (everything, log):
        assert "Muster" not in text
        assert f"{began.year - 8}0101" not in text


def adt(event: str, time: datetime, *lines: str) -> bytes:
    stamp = f"{time:%Y%m%d%H%M%S}+0000"
    header = f"MSH|^~\\&|HIS||||{stamp}||ADT^{event}|M-1|P|2.5"
    return "".join(f"{line}\r" for line in (header, f"EVN||{stamp}", *lines)).encode()


@contextmanager
def edge_process(secured: Secured, folder: Path) -> Iterator[EdgeProcess]:
    """Run `vitalflow edges hl7 listen` with the inbox of the test."""
    site = folder / "site.toml"
    more = '[[source]]\nname = "his"\napplication = "HIS"\nadmissions = true\n'
    site.write_text(site_text(["1", "2"], more).replace('device = "', 'device = "bed-').replace("HOSP", "MR"))
    with EdgeProcess(secured.settings("edges"), site, folder / "edge-inbox", folder / "edge.log") as edge:
        yield edge.start()
        edge.stop()


def in_bed(number: int) -> list[str | None]:
    return ["77", None] if number == 1 else [None, "77"]


def test_a_transfer_that_ends_before_any_of_its_messages_is_continued(make_hospital: MakeHospital) -> None:
    hospital = make_hospital()
    edges, began = hospital.edges, datetime.now(UTC) - timedelta(minutes=5)
    limits = msgspec.json.encode(Limits(by="ada", limits={"spo2-low": 88.0}, patient_id="77"))
    for number in (1, 2, 3, 4):
        here, there = (1, 2) if number % 2 else (2, 1)
        time = began + timedelta(seconds=10 * number)
        edges.fails_at = 0
        edges.start()
        edges.receive("A01", time, "PID|||77^^^H^MR", f"PV1||I|ICU^^{here}")
        hospital.wait_for(*in_bed(here))
        edges.stop()
        hospital.retain(TOPICS.limits("icu-1", f"bed-{here}"), limits)
        edges.receive("A02", time + timedelta(seconds=5), "PID|||77^^^H^MR", f"PV1||I|ICU^^{there}|||ICU^^{here}")
        edges.fails_at = number
        edges.start()
        edges.join()
        assert not edges.is_idle()
        edges.fails_at = 0
        edges.start()
        hospital.wait_for(*in_bed(there))
        left = [(place.device, found.patient_id) for place, found in edges.limits().items()]
        assert left == [(f"bed-{there}", "77")]
        edges.stop()


def test_a_later_admission_at_the_station_stays_when_an_older_event_was_waiting(make_hospital: MakeHospital) -> None:
    hospital = make_hospital()
    edges, began = hospital.edges, datetime.now(UTC) - timedelta(minutes=5)
    edges.receive("A01", began, "PID|||77^^^H^MR", "PV1||I|ICU^^1")
    edges.receive("A01", began, "PID|||78^^^H^MR", "PV1||I|ICU^^2")
    person = Assignment(patient_id="p-1", by="ada", time=began + timedelta(minutes=1))
    hospital.retain(TOPICS.assignments("icu-1", "bed-1"), encode_assignment(person))
    edges.start()
    hospital.wait_for("p-1", "78")


def test_what_a_killed_broker_has_not_saved_is_published_again(make_hospital: MakeHospital) -> None:
    hospital = make_hospital()
    edges, began = hospital.edges, datetime.now(UTC) - timedelta(minutes=5)
    edges.start()
    edges.receive("A01", began, "PID|||77^^^H^MR", "PV1||I|ICU^^1")
    edges.receive("A02", began + timedelta(seconds=1), "PID|||77^^^H^MR", "PV1||I|ICU^^2|||ICU^^1")
    hospital.wait_for(None, "77")
    hospital.secured.server.kill()
    edges.receive("A01", began + timedelta(seconds=2), "PID|||78^^^H^MR", "PV1||I|ICU^^1")
    hospital.secured.server.start()
    eventually(lambda: hospital.patients() == ["78", "77"], 30, "all events are retained")


def test_what_the_broker_does_not_permit_is_stated_and_applied_once_it_permits_it(make_hospital: MakeHospital) -> None:
    hospital = make_hospital()
    edges = hospital.edges
    edges.user = "another"
    edges.start()
    edges.receive("A01", datetime.now(UTC) - timedelta(minutes=5), "PID|||77^^^H^MR", "PV1||I|ICU^^1")
    eventually(lambda: "does not permit" in edges.denied(), 30, "the problem of the service")
    assert not edges.is_idle()
    assert hospital.patients() == [None, None]
    edges.rename("edges")
    hospital.wait_for("77", None)
    assert edges.denied() == ""
