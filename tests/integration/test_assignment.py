"""The patient assigned to a bed: from MQTT into the audit log and the history, and in the views of the present."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import paho.mqtt.client as mqtt
import psycopg
import pytest
from msgspec.structs import replace
from paho.mqtt.enums import CallbackAPIVersion

from stack.servers import BrokerServer
from tests.fixtures.ingest import MakeIngest
from tests.support.servers import Db, eventually
from vitals.assignment import Assignment, encode_assignment

TOPIC = "vitalflow/assignments/icu-1/bed-1"
NOW = datetime.now(UTC)
BEGAN = NOW - timedelta(hours=3)
HISTORY = "SELECT patient_id, profile, spo2_scale, actor, to_time IS NULL FROM assignment ORDER BY id"


@contextmanager
def person(broker: BrokerServer) -> Iterator[Callable[[object], None]]:
    """A function that publishes an assignment, retained; None for an empty message, bytes as they are."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()

    def assign(content: object) -> None:
        payload = b"" if content is None else content if isinstance(content, bytes) else json.dumps(content).encode()
        client.publish(TOPIC, payload, qos=1, retain=True).wait_for_publish(10)

    yield assign
    client.disconnect()
    client.loop_stop()


def test_each_assignment_is_stored_once_with_its_audit_record(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, db)
    stated = NOW - timedelta(minutes=5)
    with person(broker) as assign:
        assign({"patient_id": "p-1", "by": "ada", "time": stated.isoformat()})
        assign({"patient_id": "p-1", "spo2_scale": 2, "by": "Dr. Adams"})
        assign(None)
        assign(None)
        assign({"patient_id": "p-2", "profile": "infant", "by": "ada", "name": "Ada Lovelace"})
        assign({"patient_id": "p-2", "profile": "infant", "by": "ada"})
    eventually(lambda: db.count("assignment") == 4, 20, "four rows")
    assert db.rows(HISTORY) == [
        ("p-1", "adult", None, "ada", False),
        ("p-1", "adult", 2, "Dr. Adams", False),
        (None, None, None, None, False),
        ("p-2", "infant", None, "ada", True),
    ]
    assert db.rows("SELECT from_time FROM assignment ORDER BY id LIMIT 1") == [(stated,)]
    assert db.one("SELECT bool_and(to_time = next) FROM (SELECT to_time, lead(from_time) OVER (ORDER BY id) AS next"
                  " FROM assignment) WHERE next IS NOT NULL") is True  # fmt: skip
    assert db.rows("SELECT actor, action, ward, device_id, detail FROM audit_event ORDER BY id") == [
        ("ada", "assign_patient", "icu-1", "bed-1", {"patient_id": "p-1", "profile": "adult"}),
        ("Dr. Adams", "assign_patient", "icu-1", "bed-1", {"patient_id": "p-1", "profile": "adult", "spo2_scale": 2}),
        (None, "discharge_patient", "icu-1", "bed-1", {}),  # the second one discharged no patient
        ("ada", "assign_patient", "icu-1", "bed-1", {"patient_id": "p-2", "profile": "infant"}),
    ]
    assert db.rows("SELECT reason FROM rejected_message WHERE detail LIKE '%unknown field name%'") == [("bad_command",)]
    other = make_ingest(broker.url, db)  # a new session receives what is retained
    ingest.stop()
    ingest.start()
    received = "messages_received_total"
    eventually(lambda: other.metric(received) >= 1 <= ingest.metric(received), 20, "both receive the retained message")
    assert db.count("assignment") == 4
    assert ingest.stop() == 0


def test_the_use_of_a_discharged_bed_is_no_second_discharge(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    make_ingest(broker.url, db)
    discharge = Assignment(patient_id=None, by="ada", time=NOW - timedelta(seconds=60))
    stated = replace(discharge, in_use_since=NOW - timedelta(seconds=30))
    other = Assignment(patient_id="p-2", by="Dr. Adams", time=NOW - timedelta(seconds=31))
    with person(broker) as assign:
        for assignment in (discharge, stated, other, stated, other):
            assign(encode_assignment(assignment))
        assign({"patient_id": "p-3", "by": "ada"})
    eventually(lambda: ("p-3",) in db.rows("SELECT patient_id FROM assignment"), 30, "the last one is stored")
    assert db.rows("SELECT patient_id FROM assignment ORDER BY id") == [(None,), ("p-2",), ("p-3",)]
    actions = db.rows("SELECT action, actor FROM audit_event ORDER BY id")
    assert actions == [("discharge_patient", "ada"), ("assign_patient", "Dr. Adams"), ("assign_patient", "ada")]


class Bed:
    """A bed in the database: its audit records and readings, at minutes after BEGAN."""

    def __init__(self, db: Db) -> None:
        self.db = db
        self._seq = 0

    def record(self, action: str, minute: float, **detail: object) -> None:
        at = BEGAN + timedelta(minutes=minute)
        self.db.rows(
            "INSERT INTO audit_event (time, received_at, actor, action, ward, device_id, detail, topic, payload_sha256)"
            " VALUES (%s, %s, 'ada', %s, 'icu-1', 'bed-1', %s, 't', '') RETURNING 1",
            at, at, action, json.dumps(detail),
        )  # fmt: skip

    def assign(self, patient: str, minute: float, **detail: object) -> None:
        self.record("assign_patient", minute, **{"patient_id": patient, "profile": "adult"} | detail)

    def reading(
        self, minute: float, patient: str | None = None, received: float | None = None, **values: object
    ) -> None:
        self._seq += 1
        row = {
            "time": BEGAN + timedelta(minutes=minute),
            "received_at": BEGAN + timedelta(minutes=minute if received is None else received),
            "device_id": "bed-1", "ward": "icu-1", "boot": 1, "seq": self._seq, "status": "NORMAL",
            "patient_id": patient, **values,
        }  # fmt: skip
        columns, slots = ", ".join(row), ", ".join(["%s"] * len(row))
        self.db.rows(f"INSERT INTO patient_vitals ({columns}) VALUES ({slots}) RETURNING 1", *row.values())  # noqa: S608

    def score(self) -> tuple[object, ...]:
        (row,) = self.db.rows("SELECT patient_id, total, spo2_part, spo2_scale, profile FROM news2_latest")
        (board,) = self.db.rows("SELECT patient_id, condition <> 'WAITING' FROM ward_board")
        assert board == (row[0], True)
        return row


@pytest.fixture
def bed(db: Db) -> Bed:
    return Bed(db)


def test_a_reading_without_patient_id_belongs_to_the_assigned_patient(bed: Bed) -> None:
    bed.reading(170, heart_rate=80)
    assert bed.score()[0] is None
    bed.assign("p-1", 171)
    assert bed.score()[0] == "p-1", "what was measured while no patient was assigned is this patient's"
    assert bed.db.rows("SELECT patient_id, heart_rate, status FROM ward_now") == [("p-1", 80.0, "NORMAL")]
    assert bed.db.rows("SELECT DISTINCT patient_id FROM patient_vitals") == [(None,)], "no row is rewritten"
    assert len(bed.db.rows("SELECT * FROM assignment JOIN assignment_now USING (device_id)")) == 1


def test_an_assigned_patient_inherits_no_value_of_the_former(bed: Bed) -> None:
    bed.assign("p-1", 100)
    bed.reading(169, heart_rate=140, spo2=80, temperature=34, systolic_bp=85, consciousness="U", on_oxygen=True)
    assert bed.score()[:2] == ("p-1", 3 + 3 + 3 + 3 + 3 + 2)
    bed.assign("p-2", 170)
    board = "SELECT patient_id, condition, heart_rate, spo2, systolic_bp, news2 FROM ward_board"
    assert bed.db.rows(board) == [("p-2", "WAITING", None, None, None, None)], "nothing is known of p-2 yet"
    assert bed.db.rows("SELECT status, time FROM ward_now") == [(None, None)]
    assert bed.db.rows("SELECT * FROM news2_latest") == []
    bed.reading(171, heart_rate=70, spo2=98)
    assert bed.score()[:2] == ("p-2", 0)
    bed.reading(171.01, received=171.01, heart_rate=70)
    bed.reading(165, received=172, temperature=34)  # a backlog from before the assignment
    assert bed.score()[:2] == ("p-2", 0)
    bed.record("discharge_patient", 173)
    assert bed.db.rows("SELECT * FROM ward_board") == [], "a bed without patient, readings and status"
    bed.reading(174, heart_rate=60)
    assert bed.score()[:2] == (None, 0)
    bed.assign("p-3", 175)
    assert bed.score()[:2] == ("p-3", 0), "measured after the discharge"


def test_another_scale_for_the_same_patient_keeps_the_values(bed: Bed) -> None:
    bed.assign("p-1", 100)
    bed.reading(110, temperature=36.5)
    bed.assign("p-1", 120, spo2_scale=2)
    bed.reading(170, spo2=90, on_oxygen=True)
    assert bed.score() == ("p-1", 2, 0, 2, "adult")
    assert bed.db.one("SELECT temperature FROM last_valid_vitals") == 36.5


def test_a_patient_id_in_the_readings_comes_before_the_assignment(bed: Bed) -> None:
    bed.assign("p-1", 100, spo2_scale=2, profile="adult")
    bed.reading(168, temperature=34)
    bed.reading(169, patient="p-1", spo2=90)
    assert bed.score() == ("p-1", 3, 0, 2, "adult")
    bed.reading(170, patient="p-2", spo2=90)
    assert bed.score() == ("p-2", 3, 3, 1, None)


@pytest.mark.parametrize("assigned", [True, False])
def test_a_discharged_patient_whom_the_device_names_is_not_shown_until_it_measures(bed: Bed, assigned: bool) -> None:
    present = "SELECT patient_id, heart_rate FROM ward_now"
    if assigned:
        bed.assign("p-1", 100)
    bed.reading(169, patient="p-1", heart_rate=140)
    assert bed.score()[:2] == ("p-1", 3)
    bed.record("discharge_patient", 170)
    for view in ("ward_now", "ward_board", "last_valid_vitals", "news2_latest"):
        assert bed.db.rows(f"SELECT * FROM {view}") == [], view  # noqa: S608
    bed.reading(169.5, patient="p-1", received=170.5, heart_rate=140)
    assert bed.db.rows(present) == [], "a backlog from before the discharge"
    bed.reading(171, patient="p-1", spo2=98)
    assert bed.score()[:2] == ("p-1", 0)
    assert bed.db.rows(present) == [("p-1", None)]
    bed.record("discharge_patient", 172)
    assert bed.db.rows(present) == [], "discharged again"
    bed.assign("p-2", 173)
    assert bed.db.rows(present) == [("p-2", None)]
    bed.reading(174, heart_rate=80)
    assert bed.db.rows(present) == [("p-2", 80.0)]


def test_news2_does_not_apply_below_sixteen_years(bed: Bed) -> None:
    bed.assign("p-1", 100, profile="child-12-15")
    bed.reading(179, heart_rate=140, spo2=80)
    assert bed.score() == ("p-1", None, None, 1, "child-12-15")
    assert bed.db.rows("SELECT heart_rate, spo2, news2, news2_missing, profile FROM ward_board") == [
        (None, None, None, None, "child-12-15")
    ]


def test_the_scale_of_the_limits_holds_for_their_patient(bed: Bed) -> None:
    bed.reading(170, patient="p-1", spo2=90, on_oxygen=True)
    assert bed.score()[1:4] == (5, 3, 1)
    bed.record("set_limits", 171, spo2_scale=2, patient_id="p-1")
    assert bed.score()[1:4] == (2, 0, 2)
    bed.assign("p-1", 171, spo2_scale=1)
    assert bed.score()[1:4] == (2, 0, 2), "the limits come before the assignment"
    bed.record("set_limits", 172, spo2_scale=1)
    bed.assign("p-1", 172, spo2_scale=2)
    assert bed.score()[1:4] == (5, 3, 1)
    bed.record("set_limits", 173, patient_id="p-2", spo2_scale=1)
    assert bed.score()[1:4] == (2, 0, 2), "the limits of another patient do not count"
    bed.assign("p-1", 173)
    bed.record("set_limits", 173, spo2_scale=3)
    assert bed.score()[1:4] == (5, 3, 1), "no such scale"
    bed.record("set_limits", 174, spo2_scale=2, patient_id="p-2")
    assert bed.score()[1:4] == (5, 3, 1), "for another patient"
    bed.record("set_limits", 175, spo2_scale=2)
    bed.record("remove_limits", 176)
    assert bed.score()[1:4] == (5, 3, 1)


def test_the_report_has_unnamed_readings_under_the_patient_of_the_whole_hour(bed: Bed) -> None:
    hour = BEGAN.replace(minute=0, second=0, microsecond=0)
    start = (hour - BEGAN).total_seconds() / 60  # as minutes after BEGAN
    for number in range(6):
        bed.reading(start + 60 * number + 30, heart_rate=60 + number)
    bed.reading(start + 60 * 5 + 31, patient="p-9", heart_rate=90)
    bed.assign("p-1", start + 70)  # the first one: what came before is this patient's
    bed.assign("p-1", start + 80)  # corrected
    bed.record("discharge_patient", start + 190)
    bed.assign("p-2", start + 240)
    rows = bed.db.rows(
        "SELECT patient_id, round(heart_rate_avg) FROM bed_report('bed-1', %s, %s, NULL)",
        hour,
        hour + timedelta(hours=6),
    )
    assert rows == [(None, 60), ("p-1", 61), ("p-1", 62), (None, 63), ("p-2", 64), ("p-2", 65), ("p-9", 90)]


def test_a_silent_bed_with_a_patient_and_no_reading_at_all_is_shown(bed: Bed) -> None:
    bed.assign("p-1", 100)
    assert bed.db.rows("SELECT ward, device_id, patient_id, condition FROM ward_board") == [
        ("icu-1", "bed-1", "p-1", "WAITING")
    ]


def test_a_discharged_bed_is_vacant_until_a_reading_is_measured_after_it(bed: Bed) -> None:
    board = "SELECT patient_id, condition, heart_rate FROM ward_board"
    bed.db.rows(
        "INSERT INTO device (device_id, ward, state, boot, changed_at)"
        " VALUES ('bed-1', 'icu-1', 'offline', 1, %s) RETURNING 1",
        BEGAN + timedelta(minutes=171),
    )
    bed.assign("p-1", 100)
    bed.reading(169, heart_rate=80)
    bed.record("discharge_patient", 170)
    assert bed.db.rows(board) == [(None, "VACANT", None)]
    bed.reading(169.9, received=171, patient="p-1", heart_rate=70)
    assert bed.db.rows(board) == [(None, "VACANT", None)], "a backlog of the former patient"
    bed.reading(171.5, heart_rate=75)
    ((patient, condition, _),) = bed.db.rows(board)
    assert (patient, condition) == (None, "SILENT"), "it is in use, and silent"
    bed.assign("p-2", 172)
    bed.record("discharge_patient", 173)
    assert bed.db.rows(board) == [(None, "VACANT", None)]
    bed.assign("p-3", 174)
    assert bed.db.rows(board) == [("p-3", "OFFLINE", None)], "a patient of whom nothing is measured"


@pytest.mark.parametrize(
    ("days", "retention", "condition"), [(30, 60, "VACANT"), (32, 60, "WAITING"), (5, 4, "WAITING")]
)
def test_a_bed_discharged_so_long_ago_that_its_readings_may_be_dropped_is_not_called_vacant(
    db: Db, days: int, retention: int, condition: str
) -> None:
    with psycopg.connect(db.owner_url) as owner:
        owner.execute(
            "UPDATE retention_setting SET period = make_interval(days => %s) WHERE name = 'raw_retention'", [retention]
        )
        owner.execute(
            "INSERT INTO device (device_id, ward, state, boot, changed_at)"
            " VALUES ('bed-1', 'icu-1', 'online', 1, now())"
        )
        owner.execute(
            "INSERT INTO assignment (device_id, ward, from_time, patient_since)"
            " SELECT 'bed-1', 'icu-1', since, since FROM (SELECT now() - make_interval(days => %s)) AS at (since)",
            [days],
        )
    assert db.rows("SELECT condition FROM ward_board") == [(condition,)]


def test_a_removed_device_is_no_bed_until_it_sends(bed: Bed) -> None:
    views = ("ward_board", "ward_now", "last_valid_vitals", "news2_latest")
    board = " UNION ALL ".join(f"SELECT device_id FROM {view}" for view in views)  # noqa: S608
    bed.reading(170, heart_rate=80)
    assert bed.db.rows(board) == [("bed-1",)] * 4
    bed.db.rows(
        "INSERT INTO device (device_id, ward, state, boot, changed_at)"
        " VALUES ('bed-1', 'icu-1', 'forgotten', 1, %s) RETURNING 1",
        BEGAN + timedelta(minutes=171),
    )
    assert bed.db.rows(board) == []
    bed.reading(172, heart_rate=80)
    assert bed.db.rows(board) == [("bed-1",)] * 4, "it is in use without a birth"


def test_the_time_of_an_assignment_is_compared_on_the_clock_of_the_device(bed: Bed) -> None:
    """The device's clock is an hour behind."""
    bed.db.rows("INSERT INTO device_clock VALUES ('bed-1', interval '1 hour', now()) RETURNING 1")
    bed.assign("p-0", 10)
    bed.assign("p-1", 120)
    bed.reading(59, received=119, temperature=34)
    bed.reading(70, received=130, systolic_bp=100)
    bed.reading(119, received=179, heart_rate=80)
    assert bed.score()[:2] == ("p-1", 2)
