"""One bed's reading and alerts straight into the database, at a stated age, for tests of what screens show of a bed."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[object, ...]]

NORMAL = {
    "heart_rate": 70,
    "spo2": 97,
    "resp_rate": 14,
    "temperature": 36.7,
    "systolic_bp": 121,
    "diastolic_bp": 74,
    "on_oxygen": False,
    "consciousness": "A",
}


def now_of(connection: Connection) -> datetime:
    """Return the start of the connection's transaction, which is `now()` in it."""
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None
    assert isinstance(row[0], datetime)
    return row[0]


def store_bed(
    connection: Connection,
    device: str,
    age_s: float = 0.7,
    *,
    ward: str = "icu-1",
    patient: str = "p-0001",
    sensor_off: tuple[str, ...] = (),
    **signs: object,
) -> None:
    """Store an online device with one reading: normal values, except for `signs`."""
    at = now_of(connection) - timedelta(seconds=age_s)
    place = {"device_id": device, "ward": ward, "boot": 1}
    _insert(connection, "device", {**place, "state": "online", "interval_s": 1, "changed_at": at})
    measured = {"time": at, "received_at": at, "seq": 1, "patient_id": patient, "status": "NORMAL"}
    _insert(connection, "patient_vitals", {**place, **measured, "sensor_off": list(sensor_off), **NORMAL, **signs})


def store_alert(
    connection: Connection,
    device: str,
    rule: str,
    text: str,
    age_s: float = 60,
    *,
    ward: str = "icu-1",
    **columns: object,
) -> None:
    """Store an open alert of high priority, unless `columns` say otherwise."""
    at = now_of(connection) - timedelta(seconds=age_s)
    key = {"alert_id": uuid.uuid4(), "revision": 1, "device_id": device, "rule": rule, "state": "active"}
    what = {"priority": "high", "kind": "physiological", "change": "raised", "level": 1, "latched": False}
    times = dict.fromkeys(("since", "raised_at", "changed_at", "received_at"), at)
    row = {**key, **what, **times, "ward": ward, "patient_id": "p-0001", "text": text, **columns}
    _insert(connection, "alert_event", row)
    _insert(connection, "alert_latest", {"changed_at": at, **{name: row[name] for name in key}})


def _insert(connection: Connection, relation: str, row: Mapping[str, object]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, row))
    marks = sql.SQL(", ").join(sql.Placeholder() * len(row))
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(relation), names, marks)
    connection.execute(statement, list(row.values()))
