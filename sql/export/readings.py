"""Queries of an export: the beds, the stays of a bed, and the rows of a stay as CSV; of readings or of a rollup.

Rows leave the database by COPY, a week at a time and in the order of an index, so neither side holds them all, no
statement is long, and all of them see the same state of the database (REPEATABLE READ).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from psycopg import sql

from sql.connection import Connection
from sql.dictionary import Entry, reading_entries, rollup_entries
from sql.export.deidentify import Pseudonyms
from vitals.signs import SIGN_KEYS

WINDOW = timedelta(days=7)  # of one COPY
_READING_COLUMNS = (
    "time", "ward", "device_id", "patient_id", *SIGN_KEYS, "on_oxygen", "consciousness", "sensor_off", "status",
    "received_at", "boot", "seq",
)  # fmt: skip
# Columns that have one value for many patients at one moment: by them shifted times could be aligned.
_REVEALING = frozenset(("received_at", "boot", "seq"))

_EXPRESSIONS = {
    "patient_id": sql.SQL("patient"),
    "sensor_off": sql.SQL("array_to_string(v.sensor_off, ' ')"),
    "received_at": sql.SQL("arrived_at"),
}
_WITHOUT_IDENTITY = {
    "ward": sql.SQL("(%(shown_wards)s::text[])[array_position(%(stay_wards)s::text[], v.ward)]"),
    "device_id": sql.SQL("%(shown_device)s::text"),
    "patient_id": sql.SQL("%(shown_patient)s::text"),
}
# The patient as patient_of_reading() finds it, which costs 8 µs a row: `assigned` has what it returns from each of the
# moments on at which it changes.
_FROM_READINGS = sql.SQL("""
FROM all_vitals v
CROSS JOIN LATERAL (SELECT arrival_time(v.received_at, v.time, v.arrival_lag_ms) AS arrived_at) AS arrival
CROSS JOIN LATERAL (SELECT coalesce(v.patient_id, (%(assigned)s::text[])[
    width_bucket(least(v.time + %(clock_offset)s::interval, arrived_at), %(assigned_from)s::timestamptz[])]) AS patient
) AS of_patient
""")
# A bucket in which another patient is assigned is of no known one, unless its readings name one.
_FROM_ROLLUP = sql.SQL("""
FROM {relation} v
CROSS JOIN LATERAL (SELECT v.bucket + %(clock_offset)s::interval AS begin) AS clock
CROSS JOIN LATERAL (
    SELECT width_bucket(begin, %(assigned_from)s::timestamptz[]) AS at_begin,
           width_bucket(begin + {width} - interval '1 us', %(assigned_from)s::timestamptz[]) AS at_end) AS stay
CROSS JOIN LATERAL (SELECT coalesce(
    v.patient_id, CASE WHEN at_begin = at_end THEN (%(assigned)s::text[])[at_begin] END) AS patient) AS of_patient
""")
_ASSIGNED = """
WITH clock AS (SELECT coalesce((SELECT clock_offset FROM device_clock WHERE device_id = %(device)s), '0') AS ahead),
moment AS (
    SELECT patient_since AS since FROM assignment WHERE device_id = %(device)s
    UNION SELECT to_time FROM assignment WHERE device_id = %(device)s AND to_time IS NOT NULL)
SELECT ahead, since, patient_of_reading(NULL, %(device)s, since - ahead, since)
FROM clock LEFT JOIN moment ON true ORDER BY since
"""
_WHERE = sql.SQL("""
WHERE v.device_id = %(device)s AND {time} >= %(start)s AND {time} < %(end)s
  AND (%(wards)s::text[] IS NULL OR v.ward = ANY (%(wards)s::text[]))
  AND (%(patients)s::text[] IS NULL OR lower(patient) = ANY (
       (SELECT array_agg(lower(name)) FROM unnest(%(patients)s::text[]) AS given(name))::text[]))
""")
_DEVICES_OF_ROLLUP = sql.SQL(
    "SELECT DISTINCT v.device_id FROM {relation} v WHERE {time} >= %(start)s AND {time} < %(end)s"
)
# Each device once, by a search in the index for the next greater name.
_DEVICES = sql.SQL("""
WITH RECURSIVE device AS (
    (SELECT device_id FROM all_vitals WHERE time >= %(start)s AND time < %(end)s ORDER BY device_id LIMIT 1)
    UNION ALL
    SELECT (SELECT v.device_id FROM all_vitals v WHERE v.device_id > device.device_id
            AND v.time >= %(start)s AND v.time < %(end)s ORDER BY v.device_id LIMIT 1)
    FROM device WHERE device.device_id IS NOT NULL)
SELECT device_id FROM device WHERE device_id IS NOT NULL
""")


class Rollup(StrEnum):
    """Averages that are stored: of a minute, or of an hour."""

    MINUTE = "1m"
    HOUR = "1h"


@dataclass(frozen=True, slots=True)
class Content:
    """What is exported, from which view.

    columns     with and without identities
    source      FROM, with the patient of a row as `patient`
    order       of the rows of a bed
    """

    relation: str
    time: str
    columns: tuple[str, ...]
    columns_deidentified: tuple[str, ...]
    source: sql.Composed
    devices: sql.Composed
    order: tuple[str, ...]

    def names(self, *, deidentified: bool) -> tuple[str, ...]:
        """Return the names of the exported columns."""
        return self.columns_deidentified if deidentified else self.columns

    @property
    def time_column(self) -> sql.Identifier:
        """The column of the time of a row."""
        return sql.Identifier("v", self.time)

    @property
    def where(self) -> sql.Composed:
        """The condition on the rows of one bed."""
        return _WHERE.format(time=self.time_column)


READINGS = Content(
    "all_vitals",
    "time",
    _READING_COLUMNS,
    tuple(name for name in _READING_COLUMNS if name not in _REVEALING),
    _FROM_READINGS.format(),
    _DEVICES.format(),
    ("time", "boot", "seq"),
)


def of_rollup(rollup: Rollup) -> Content:
    """Return the content of a rollup: a row for each bucket, device and patient whom the readings name."""
    relation, time = sql.Identifier(f"vitals_{rollup}"), sql.Identifier("v", "bucket")
    width = sql.Literal(timedelta(minutes=1) if rollup is Rollup.MINUTE else timedelta(hours=1))
    names = tuple(rollup_entries())
    return Content(
        f"vitals_{rollup}",
        "bucket",
        names,
        names,
        _FROM_ROLLUP.format(relation=relation, width=width),
        _DEVICES_OF_ROLLUP.format(relation=relation, time=time),
        ("bucket", "ward", "patient_id"),
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """What is exported; an empty sequence does not restrict."""

    start: datetime
    end: datetime
    wards: Sequence[str] = ()
    devices: Sequence[str] = ()
    patients: Sequence[str] = ()

    def __str__(self) -> str:
        named = (("ward", self.wards), ("bed", self.devices), ("patient", self.patients))
        return "".join(f" of {kind} {', '.join(names)}" for kind, names in named if names)


@dataclass(frozen=True, slots=True)
class Identity:
    """Replaces the identity of the readings of one patient, or of no known patient, on one bed."""

    patient: str | None
    wards: tuple[str, ...]
    shown_patient: str | None
    shown_device: str
    shown_wards: tuple[str, ...]
    shift: timedelta


@dataclass(frozen=True, slots=True)
class Span:
    """Readings of one bed, from the first to the last one; with `identity` those of one patient."""

    device: str
    first: datetime
    last: datetime
    identity: Identity | None = None


def entries(content: Content, *, deidentified: bool) -> list[Entry]:
    """Return the data dictionary of an export."""
    known = reading_entries() if content is READINGS else rollup_entries()
    known["patient_id"] = Entry("patient_id", "the patient whom the reading names, else the one assigned to the bed")
    known["sensor_off"] = Entry("sensor_off", "keys of the signs whose sensor was off the patient, separated by blanks")
    known["received_at"] = Entry("received_at", "when ingest received it")
    if deidentified:
        for name in ("patient_id", "device_id", "ward"):
            known[name] = replace(known[name], description=f"{known[name].description}; a keyed hash of the name")
        time = known[content.time]
        known[content.time] = replace(time, description=f"{time.description}; shifted by whole days")
    return [known[name] for name in content.names(deidentified=deidentified)]


def notes(database: Connection, selection: Selection, content: Content) -> list[str]:
    """Return what the export does not have: readings that retention dropped, and those still to be moved."""
    found = []
    if content is READINGS:
        row: Any = database.execute(
            "SELECT now() - period FROM retention_setting WHERE name = 'raw_retention' AND now() - period > %s",
            [selection.start],
        ).fetchone()
        if row is not None:
            found.append(f"readings from before {row[0]:%Y-%m-%d} are dropped by retention, except imported ones")
    readable: Any = database.execute("SELECT has_table_privilege('public.late_reading', 'SELECT')").fetchone()
    if readable[0]:
        late: Any = database.execute(
            "SELECT count(*) FROM public.late_reading"
            " WHERE (reading ->> 'time')::timestamptz >= %s AND (reading ->> 'time')::timestamptz < %s",
            [selection.start, selection.end],
        ).fetchone()
        if late[0]:
            found.append(f"{late[0]:,} late readings are not exported, because ingest has still to move them")
    return found


def devices(database: Connection, selection: Selection, content: Content) -> list[str]:
    """Return the devices that have rows."""
    rows = database.execute(content.devices, {"start": selection.start, "end": selection.end})
    found = sorted(str(name) for (name,) in rows)
    return [name for name in found if not selection.devices or name in selection.devices]


def span(database: Connection, selection: Selection, content: Content, device: str) -> Span | None:
    """Return the span of a bed's readings, of whatever patient and ward."""
    query = sql.SQL(
        "SELECT min({time}), max({time}) FROM {relation} v WHERE v.device_id = %s AND {time} >= %s AND {time} < %s"
    ).format(time=content.time_column, relation=sql.Identifier(content.relation))
    row: Any = database.execute(query, [device, selection.start, selection.end]).fetchone()
    return None if row[0] is None else Span(device, *row)


def spans_without_identity(
    database: Connection, selection: Selection, content: Content, device: str, pseudonyms: Pseudonyms
) -> list[Span]:
    """Return the span of each patient on a bed, and of no known patient, in the order of their new names."""
    query = sql.SQL(
        "SELECT patient, array_agg(DISTINCT v.ward), min({time}), max({time}) {source} {where} GROUP BY patient"
    ).format(time=content.time_column, source=content.source, where=content.where)
    rows: list[Any] = database.execute(query, _parameters(database, selection, device)).fetchall()
    spans = []
    for patient, wards, first, last in rows:
        shown_patient = None if patient is None else pseudonyms.patient(patient)
        shown_wards = tuple(pseudonyms.ward(ward) for ward in wards)
        shift = pseudonyms.shift(device, patient)
        identity = Identity(patient, tuple(wards), shown_patient, pseudonyms.device(device), shown_wards, shift)
        spans.append((shown_patient or "", first, Span(device, first, last, identity)))
    return [found for _, _, found in sorted(spans, key=lambda item: item[:2])]


def rows(database: Connection, selection: Selection, content: Content, of: Span) -> Iterator[bytes]:
    """Yield the rows of a span as lines of CSV, sorted by time."""
    identity = of.identity
    expressions: dict[str, sql.Composable] = {**_EXPRESSIONS}
    if identity is not None:
        shifted = sql.SQL("{} + %(shift)s::interval").format(content.time_column)
        expressions |= {**_WITHOUT_IDENTITY, content.time: shifted}
    query = sql.SQL(
        "COPY (SELECT {columns} {source} {where} {of_patient} ORDER BY {order}) TO STDOUT (FORMAT csv)"
    ).format(
        columns=sql.SQL(", ").join(
            expressions.get(name, sql.Identifier("v", name))
            for name in content.names(deidentified=identity is not None)
        ),
        source=content.source,
        where=content.where,
        order=sql.SQL(", ").join(sql.Identifier("v", name) for name in content.order),
        of_patient=sql.SQL("" if identity is None else "AND patient IS NOT DISTINCT FROM %(patient)s::text"),
    )
    parameters = _parameters(database, selection, of.device)
    if identity is not None:
        parameters |= {
            "patient": identity.patient,
            "shown_patient": identity.shown_patient,
            "shown_device": identity.shown_device,
            "stay_wards": list(identity.wards),
            "shown_wards": list(identity.shown_wards),
            "shift": identity.shift,
        }
    start, end = of.first, of.last + timedelta(microseconds=1)
    while start < end:
        window = {"start": start, "end": min(start + WINDOW, end)}
        with database.cursor() as cursor, cursor.copy(query, parameters | window) as copy:
            for row in copy:
                yield bytes(row)
        start += WINDOW


def _parameters(database: Connection, selection: Selection, device: str) -> dict[str, object]:
    assigned: list[Any] = database.execute(_ASSIGNED, {"device": device}).fetchall()
    return {
        "device": device,
        "start": selection.start,
        "end": selection.end,
        "wards": list(selection.wards) or None,
        "patients": list(selection.patients) or None,
        "clock_offset": assigned[0][0],
        "assigned_from": [since for _, since, _ in assigned if since is not None],
        "assigned": [patient for _, since, patient in assigned if since is not None],
    }
