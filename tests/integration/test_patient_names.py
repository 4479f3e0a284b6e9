"""Names of patients at a real station, broker, ingest and database: who sees them, and where they are not.

The people are users of the broker: ada of icu-1, grace of all wards, eve who may only look at icu-1.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from mqtt.one_shot import connect_once
from stack.servers import DatabaseServer
from tests.fixtures.alerts import AlertClient
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.fixtures.station import MakeStation, StationProcess
from tests.support.servers import Db, eventually

NAME, OTHER = "Ada Quillfeather-Żółć", "Bert Wintergarten"
BORN = "1987-05-17"


class Names:
    """A station that stores names, and the requests of its users."""

    def __init__(self, secured: Secured, make_station: MakeStation, **settings: object) -> None:
        given = {"mqtt_ca": secured.ca, "station_client_id": "station", **settings}
        self.station: StationProcess = make_station(secured.url_of("station"), **given)
        self.cookies = {name: self.station.sign_in(name, f"word-of-{name}") for name in ("ada", "grace", "eve")}
        for device, ward in (("bed-1", "icu-1"), ("bed-2", "icu-1"), ("bed-9", "icu-2")):
            with closing(AlertClient(0, secured.broker("grace"), secured.broker(device), device)) as monitor:
                monitor.measure(device, ward, None, patient=None, heart_rate=80)
        counts = {"ada": 2, "grace": 3, "eve": 2}
        eventually(lambda: {user: len(self.ask(user, "GET", "/ui/recent")[1]) for user in counts} == counts, 30, "beds")

    def ask(self, user: str, method: str, path: str, content: object = None) -> tuple[int, Any]:
        return self.station.ask(method, path, content, Cookie=self.cookies[user])[:2]

    def admit(
        self, user: str, device: str, patient: str, present: str | None = None, **known: object
    ) -> tuple[int, Any]:
        content = {"device": device, "patient_id": patient, "present": present, "profile": "adult"}
        status, answer = self.ask(user, "PUT", "/ui/assignment", {**content, "known": known or None})
        return status, answer and answer["detail"]

    def discharge(self, user: str, device: str, present: str) -> int:
        return self.ask(user, "POST", "/ui/discharge", {"device": device, "present": present})[0]

    def shown(self, user: str, query: str = "") -> dict[str, tuple[str, str | None]]:
        status, answer = self.ask(user, "GET", f"/ui/names{query}")
        assert status == 200, answer
        return {row["patient_id"]: (row["name"], row["birth_date"]) for row in answer}


MakeNames = Callable[..., Names]


@pytest.fixture
def make_names(own_secured: Secured, make_station: MakeStation, db: Db) -> MakeNames:
    def make(**settings: object) -> Names:
        urls = {"reader_url": db.reader_url, "names_url": db.names_url}
        return Names(own_secured, make_station, **{**urls, "patient_names": True, **settings})

    return make


def test_a_nurse_sees_the_names_of_her_wards_and_a_read_only_user_sees_none(make_names: MakeNames, db: Db) -> None:
    names = make_names()
    assert names.admit("ada", "bed-1", "p-1", name=f" {NAME} ", birth_date=BORN) == (200, None)
    assert names.admit("grace", "bed-9", "p-9", name=OTHER) == (200, None)
    assert names.shown("ada") == {"p-1": (NAME, BORN)}
    assert names.shown("grace") == {"p-1": (NAME, BORN), "p-9": (OTHER, None)}
    assert names.shown("eve") == {}
    assert names.station.ask("GET", "/ui/names")[0] == 401
    assert db.rows("SELECT patient_id, changed_by FROM names.patient_name ORDER BY 1") == [
        ("p-1", "ada"),
        ("p-9", "grace"),
    ]

    assert names.admit("eve", "bed-2", "p-2", name="X")[0] == 403
    assert names.admit("ada", "bed-1", "p-1", "p-1", name="Ada Q.", birth_date=None) == (200, None), "corrected"
    assert names.shown("ada") == {"p-1": ("Ada Q.", None)}
    assert names.admit("ada", "bed-1", "p-1", "p-1") == (200, None)
    assert names.shown("ada") == {"p-1": ("Ada Q.", None)}, "a correction without names leaves them"
    assert names.discharge("ada", "bed-1", "p-1") == 200
    assert names.shown("ada") == {}, "a discharged patient is in no bed"
    assert names.admit("ada", "bed-2", "P-1") == (200, None)
    assert names.shown("ada") == {"P-1": ("Ada Q.", None)}, "the number in another spelling is the same patient"
    assert names.admit("ada", "bed-2", "P-1", "P-1", name="", birth_date=None) == (200, None)
    assert names.shown("ada") == {}
    assert db.rows("SELECT name FROM names.patient_name") == [(OTHER,)], "an emptied name is deleted"


def test_a_name_that_contradicts_the_stored_one_shows_that_the_number_is_wrong(make_names: MakeNames) -> None:
    names = make_names()
    assert names.admit("ada", "bed-1", "p-1", name=NAME) == (200, None)
    assert names.discharge("ada", "bed-1", "p-1") == 200
    status, problem = names.admit("ada", "bed-2", "p-1", name=OTHER)
    assert (status, problem) == (
        409,
        "another name or date of birth is stored for patient p-1; check the number, or admit without name and date of "
        "birth and correct them then",
    )
    assert names.ask("ada", "GET", "/ui/assignment?device=bed-2")[1] is None, "nothing was changed"
    assert names.admit("ada", "bed-2", "p-1", name=NAME.upper(), birth_date=BORN) == (200, None)
    assert names.shown("ada")["p-1"][1] == BORN, "what was missing is added"


def test_of_two_people_who_admit_at_once_one_stores_a_name(make_names: MakeNames, db: Db) -> None:
    names = make_names()
    with ThreadPoolExecutor(2) as people:
        asked = [
            people.submit(names.admit, user, "bed-1", f"p-{user}", name=f"Patient of {user}")
            for user in ("ada", "grace")
        ]
        answers = [answer.result()[0] for answer in asked]
    assert sorted(answers) == [200, 409]
    assert db.rows("SELECT patient_id, name FROM names.patient_name") == [
        (patient, name) for patient, (name, _) in names.shown("grace").items()
    ]


def test_names_are_in_no_topic_log_metric_or_table_of_others(
    own_secured: Secured, make_names: MakeNames, make_ingest: MakeIngest, db: Db, database: DatabaseServer
) -> None:
    ingest = make_ingest(own_secured.url_of("ingest"), db, ingest_client_id="ingest", mqtt_ca=own_secured.ca)
    names = make_names()
    with closing(AlertClient(0, own_secured.broker("grace"), own_secured.broker("bed-1"), "bed-1")) as monitor:
        assert names.admit("ada", "bed-1", "p-1", name=NAME, birth_date=BORN) == (200, None)
        monitor.measure("bed-1", "icu-1", None, patient="p-1", heart_rate=80)
        assert names.admit("ada", "bed-1", "p-1", "p-1", name="\x00" + NAME)[0] == 409
        assert names.admit("ada", "bed-1", "p-1", "p-1", name=7)[0] == 422
    eventually(lambda: db.one("SELECT count(*) FROM assignment") == 1, 30, "the assignment is stored")
    assert names.shown("ada", "?device=bed-1") == {"p-1": (NAME, BORN)}, "for the report of the bed"
    assert names.shown("eve", "?device=bed-1") == {}
    with connect_once(own_secured.broker("ingest"), [("vitalflow/assignments/+/+", 1)]) as client:
        retained: list[str] = []
        while not any("p-1" in text for text in retained):
            message = client.next(30)
            assert message is not None, "the assignment is retained"
            retained.append(message.payload.decode())
    texts = [*retained, names.station.said(), ingest.said(), database.log.read_text()]
    texts += [names.station.ask("GET", path)[1] for path in ("/metrics", "/openapi.json")]
    for user in names.cookies:
        paths = ("/api/ward", "/api/alerts", "/ui/recent", "/ui/assignment?device=bed-1", "/api/beds/bed-1")
        texts += [json.dumps(names.ask(user, "GET", path)[1], ensure_ascii=False) for path in paths]
    with psycopg.connect(db.reader_url) as reader:
        for (table,) in reader.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
        ).fetchall():
            rows = reader.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()
            texts.append(str(rows))
    assert [text for text in map(str, texts) if "Quillfeather" in text or BORN in text] == []


def test_a_site_without_the_setting_stores_no_name(make_names: MakeNames, db: Db) -> None:
    names = make_names(patient_names=False)
    assert names.admit("ada", "bed-1", "p-1", name=NAME) == (
        409,
        "this site stores no names and dates of birth; leave both out",
    )
    assert names.admit("ada", "bed-1", "p-1", name="", birth_date=None) == (200, None)
    assert names.shown("ada") == names.shown("ada", "?device=bed-1") == {}
    assert db.one("SELECT count(*) FROM names.patient_name") == 0


def test_without_a_database_a_patient_is_admitted_without_a_name(make_names: MakeNames, db: Db) -> None:
    names = make_names(names_url=db.names_url.replace("names-in-a-test", "wrong"))
    sentence = "names can be neither stored nor read now; the patient can be admitted without a name"
    assert names.admit("ada", "bed-1", "p-1", name=NAME) == (503, sentence)
    assert names.admit("ada", "bed-1", "p-1") == (200, None)
    assert names.ask("ada", "GET", "/ui/names") == (503, {"detail": sentence})


def test_the_number_that_another_one_is_merged_into_keeps_its_name_or_gets_that_of_the_other(db: Db) -> None:
    merges = [("77", "Old-1"), ("78", "old-2"), ("79", "old-3"), ("Old-4", "old-4")]
    stored = [("old-1", "Ada", BORN), ("78", "Bert", None), ("old-2", "B.", BORN), ("old-4", "Cleo", None)]
    with psycopg.connect(db.names_url) as names:
        insert = "INSERT INTO names.patient_name (patient_id, name, birth_date, changed_by) VALUES (%s, %s, %s, 'x')"
        names.cursor().executemany(insert, stored)
    with psycopg.connect(db.owner_url) as owner:
        for patient, former in merges:
            owner.execute(
                "INSERT INTO audit_event (time, received_at, actor, action, device_id, detail, topic, payload_sha256)"
                " VALUES (now(), now(), 'edges', 'merge', 'bed-1', %s, 't', '')",
                [Jsonb({"patient_id": patient, "former_patient_id": former})],
            )
    found = db.rows("SELECT patient_id, name, birth_date::text FROM names.patient_name ORDER BY patient_id")
    kept = [row for row in stored if row[0] != "78"]
    assert found == [("77", "Ada", BORN), ("78", "Bert", BORN), *kept]


def test_names_are_deleted_when_the_patient_was_on_no_bed_within_the_retention(db: Db) -> None:
    with psycopg.connect(db.owner_url) as owner:
        for patient, changed in (("old", 31), ("new", 29), ("Stays", 90), ("left-lately", 90), ("left-long-ago", 90)):
            owner.execute(
                "INSERT INTO names.patient_name (patient_id, name, changed_by, changed_at)"
                " VALUES (%s, 'Ada', 'x', now() - make_interval(days => %s))",
                [patient, changed],
            )
        for patient, ended in (("stays", None), ("left-lately", 29), ("left-long-ago", 31)):
            owner.execute(
                "INSERT INTO assignment (device_id, ward, patient_id, from_time, to_time, patient_since)"
                " VALUES (%s, 'icu-1', %s, now() - interval '80 days', now() - make_interval(days => %s),"
                " now() - interval '80 days')",
                [patient, patient, ended],
            )
    with psycopg.connect(db.ingest_url) as ingest:
        assert ingest.execute("SELECT drop_old_names()").fetchone() == (2,)
    kept = {patient for (patient,) in db.rows("SELECT patient_id FROM names.patient_name")}
    assert kept == {"new", "Stays", "left-lately"}
