"""One transaction a batch: the only module of ingest that speaks to PostgreSQL.

Third hop of a reading inside ingest. Errors leave here sorted by what to do next: `PermanentError` for a row that the database
will always refuse, `TransientError` for everything else, because for a record of patients a stall can be mended and a
silent loss cannot.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import cast

import psycopg
from msgspec import json
from msgspec.structs import asdict
from psycopg import sql
from psycopg.errors import UniqueViolation

from ingest.batch import AlertTold, Batch, DeviceStatus, DoneTold, Item, Name, Rejected, Row
from ingest.intake import COLUMNS
from sql.connection import describe_connect_error
from sql.files import named
from vitals.codec import Problem, Reason
from vitals.errors import PermanentError, TransientError
from vitals.urls import without_password

CopyRows = Callable[["psycopg.Cursor[tuple[object, ...]]", list[Row]], int]
"""Copies rows and says how many of them were new."""

log = logging.getLogger("ingest")

STATEMENTS = named("ingest.sql")
_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
COPY_STRAIGHT = sql.SQL("COPY patient_vitals ({}) FROM STDIN").format(_COLUMNS)
COPY_TO_STAGE = sql.SQL("COPY stage ({}) FROM STDIN").format(_COLUMNS)
COPY_REJECTED = (
    "COPY rejected_message (received_at, topic, payload, payload_size, reason, detail) FROM STDIN"  # in this order
)
# A link that went dead without a word is noticed after some 15 s instead of hours.
CONNECT_TIMEOUT = 5  # seconds
DEAD_AFTER_MS = 15_000


class Refused(PermanentError):
    """The database refuses something in the batch itself: SQLSTATE class 22 (data) or 23 (constraint)."""


class Away(TransientError):
    """The database cannot now: SQLSTATE class 08, 40, 53, 55, 57, or no answer at all."""


class Unexpected(TransientError):
    """The database says something that a person should see, such as a missing table. Tried again all the same."""


@dataclass(slots=True)
class Written:
    """What a transaction did."""

    stored: int = 0
    duplicates: int = 0
    late: int = 0  # readings whose rollups are refreshed by the job for late ones
    rejected: list[str] = field(default_factory=list)  # a reason for each rejected message
    refused: list[Name] = field(default_factory=list)  # readings among them

    def __add__(self, other: "Written") -> "Written":
        return Written(
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.late + other.late,
            self.rejected + other.rejected,
            self.refused + other.refused,
        )


class Store:
    """A connection that is opened when it is needed and dropped after every error but a refusal."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._duplicates_expected = False
        self._late_after: timedelta | None = None  # the database's own setting; None where it has no rollups to refresh

    @property
    def where(self) -> str:
        """The address, for people."""
        return without_password(self._url)

    def write(self, batch: Batch) -> Written:
        """Store a batch, whatever is in it.

        1. All of it is written in one transaction; nearly always that is all.
        2. If the database refuses something in it, each half is written by itself, and so on down to the one
           item that it refuses.
        3. That one is kept as a rejected message, with the database's own words.

        Raises Away or Unexpected; then nothing, or a part, is stored, and storing the whole batch again is harmless.
        """
        try:
            return self._transaction(batch)
        except Refused as refusal:
            items = batch.items()
            if len(items) == 1:
                written = self._transaction(Batch(rejected=[_poison(items[0], refusal)]))
                if isinstance(items[0], Row):
                    written.refused.append((items[0].topic, items[0].boot, items[0].seq))
                return written
            middle = len(items) // 2
            return self.write(Batch.of(items[:middle], batch.oldest)) + self.write(
                Batch.of(items[middle:], batch.oldest)
            )

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _transaction(self, batch: Batch) -> Written:
        """Write a batch in one transaction.

        Readings are nearly always new, and COPY straight into the hypertable is 1.4 to 1.7 times as fast as by way of
        the stage. Where one is there already, which happens after a crash or a device's resend, COPY fails as a
        whole; then the stage sorts the duplicates out, and goes on doing so until a batch has none. A batch with late
        readings takes that way too: they may belong into the columnstore, and their minutes are noted.
        """
        try:
            connection = self._connection or self._connect()
            late = self._has_late(batch)
            if not self._duplicates_expected and not late:
                with suppress(UniqueViolation), connection.transaction():
                    return self._fill(connection, batch, _copy_straight)
            with connection.transaction():
                written = self._fill(connection, batch, _copy_by_stage)
                if late:
                    written.late = self._note_late(connection)
            self._duplicates_expected = written.duplicates > 0
            return written
        except psycopg.Error as error:
            sorted_out = sort_out(error)
            if not isinstance(sorted_out, Refused):
                self.close()  # its state is anyone's guess, and a new one sees a changed schema
            raise sorted_out from error

    def _has_late(self, batch: Batch) -> bool:
        if self._late_after is None or batch.oldest is None:
            return False
        return batch.oldest < datetime.now(UTC) - self._late_after

    def _note_late(self, connection: "psycopg.Connection[tuple[object, ...]]") -> int:
        """Note the minutes that late readings touch; how many readings there were. In the readings' transaction.

        Readings come before their rollups: where noting fails, they are stored all the same, and a person is told.
        """
        try:
            with connection.transaction():
                noted = connection.execute(STATEMENTS["note_late"], [self._late_after]).fetchall()
        except psycopg.Error as error:
            if connection.broken:
                raise
            log.error("stored late readings, but could not note them for the rollups: %s", " ".join(str(error).split()))
            log.error("to take them in, run: python -m sql backfill --from DAY")
            return 0
        return sum(int(str(readings)) for (readings,) in noted)

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        try:
            connection = psycopg.connect(
                self._url,
                autocommit=True,
                application_name="vitalflow-ingest",
                connect_timeout=CONNECT_TIMEOUT,
                keepalives_idle=5,
                keepalives_interval=3,
                keepalives_count=3,
                tcp_user_timeout=DEAD_AFTER_MS,
            )
        except psycopg.OperationalError as error:
            raise Away(describe_connect_error(error, self._url)) from error
        try:
            connection.execute(STATEMENTS["stage"])
            row = connection.execute(STATEMENTS["late_after"]).fetchone()
            self._late_after = None if row is None else cast(timedelta, row[0])
        except psycopg.Error:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _fill(self, connection: "psycopg.Connection[tuple[object, ...]]", batch: Batch, copy_rows: CopyRows) -> Written:
        """Everything that is in a batch, each kind into its table."""
        written = Written(rejected=[item.reason for item in batch.rejected])
        with connection.cursor() as cursor:
            if batch.rows:
                written.stored = copy_rows(cursor, batch.rows)
                written.duplicates = len(batch.rows) - written.stored
            if batch.rejected:
                with cursor.copy(COPY_REJECTED) as copy:
                    for item in batch.rejected:
                        size = len(item.payload)
                        copy.write_row((item.received_at, item.topic, item.kept, size, item.reason, item.detail))
            if batch.statuses:
                cursor.executemany(STATEMENTS["device_status"], [_parameters(told) for told in batch.statuses])
            if batch.alerts:
                changes = [asdict(told.alert) | {"received_at": told.received_at} for told in batch.alerts]
                cursor.executemany(STATEMENTS["alert_event"], changes)
                cursor.executemany(STATEMENTS["alert_latest"], changes)
            if batch.done:
                cursor.executemany(STATEMENTS["audit_event"], [_record(told) for told in batch.done])
        return written


def _copy_straight(cursor: "psycopg.Cursor[tuple[object, ...]]", rows: list[Row]) -> int:
    with cursor.copy(COPY_STRAIGHT) as copy:
        copy.write("".join([row.line for row in rows]))
    return len(rows)


def _copy_by_stage(cursor: "psycopg.Cursor[tuple[object, ...]]", rows: list[Row]) -> int:
    with cursor.copy(COPY_TO_STAGE) as copy:
        copy.write("".join([row.line for row in rows]))
    return cursor.execute(STATEMENTS["keep_new_readings"]).rowcount


def sort_out(error: psycopg.Error) -> Refused | Away | Unexpected:
    """What to do about an error, by its SQLSTATE class (PostgreSQL manual, appendix A).

    22 and 23 are the data's fault. 08 connection, 40 rollback (deadlock), 53 resources (disk full), 55 not in this
    state,
    57 intervention (shutdown, timeout) pass by themselves, and so does a connection that breaks without a word. What is
    left may need a person, but is tried again too: unknown must not mean lost.
    """
    words = " ".join(str(error).split()) or type(error).__name__
    state = error.sqlstate
    if state is None and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return Away(words)
    if state is not None and state[:2] in ("22", "23"):
        return Refused(words)
    if state is not None and state[:2] in ("08", "40", "53", "55", "57"):
        return Away(f"{words} (SQLSTATE {state})")
    if isinstance(error, psycopg.DataError) and state is None:
        return Refused(words)  # psycopg itself cannot express a value, which will not change
    return Unexpected(f"{words} (SQLSTATE {state})")


def _poison(item: Item, refusal: Refused) -> Rejected:
    """The rejected message for an item that the database refuses."""
    match item:
        case Row() | DeviceStatus() | AlertTold() | DoneTold():
            return Rejected.of(item.received_at, item.topic, item.payload, Problem(Reason.DATABASE, str(refusal)))
        case Rejected():
            # It was cleaned before; if even that is refused, a person has to look, and nothing may be dropped.
            raise Unexpected(f"a rejected message is refused by its own table: {refusal}") from refusal


def _parameters(told: DeviceStatus) -> dict[str, object]:
    return {
        "device_id": told.device,
        "ward": told.ward,
        "state": told.status.state,
        "boot": told.status.boot,
        "interval_s": told.status.interval_s,
        "model": told.status.model,
        "dropped": told.status.dropped,
        "changed_at": told.received_at,
        "retained": told.retained,
    }


def _record(told: DoneTold) -> dict[str, object]:
    done = told.done
    return {
        "time": done.time,
        "received_at": told.received_at,
        "actor": done.actor,
        "action": done.action,
        "ward": done.ward,
        "device_id": done.device,
        "rule": done.rule,
        "detail": json.encode(done.detail).decode(),
        "topic": told.topic,
        "payload_sha256": sha256(told.payload).digest(),
        "delivery_id": told.delivery,
        "retained": told.retained,
        "again": told.again,
    }
