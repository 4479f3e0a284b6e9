"""Write batches to PostgreSQL, one transaction each. The only module of ingest that executes SQL for them.

Errors are classified by what to do next: PermanentError for a row that the database will always reject, and
TransientError for everything else: a retry only delays a reading, an omission would lose it.
"""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import cast

import psycopg
from msgspec import json
from msgspec.structs import asdict
from psycopg import sql
from psycopg.errors import UniqueViolation

from ingest.batch import AnyRow, AuditEventRow, Batch, ReadingKey, ReadingRow, RejectedRow, StatusRow
from ingest.batch_builder import COLUMNS
from sql.address import without_password
from sql.connection import describe_connect_error
from sql.deadline import deadline
from sql.files import named
from vitals.alert import Alert, max_epoch
from vitals.clock import ZERO
from vitals.codec import Problem, Reason
from vitals.errors import PermanentError, TransientError

CopyRows = Callable[["psycopg.Cursor[tuple[object, ...]]", list[ReadingRow]], tuple[int, int]]
"""Copies rows and returns how many of them were new, and how many late ones were set aside."""

log = logging.getLogger("ingest")

STATEMENTS = named("ingest.sql")
_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
COPY_DIRECT = sql.SQL("COPY patient_vitals ({}) FROM STDIN").format(_COLUMNS)
COPY_TO_STAGE = sql.SQL("COPY stage ({}) FROM STDIN").format(_COLUMNS)
COPY_REJECTED = (
    "COPY rejected_message (received_at, topic, payload, payload_size, reason, detail) FROM STDIN"  # in this order
)
CONNECT_TIMEOUT_S = 5
SETTINGS_READ_S = 10.0  # interval between two reads of settings that `vitalflow db migrate` or an operator may change
STATEMENT_TIMEOUT_MS = 10_000
LOCK_TIMEOUT_MS = 5_000
IDLE_TIMEOUT_MS = 5_000
WHEN_CUT_OFF = (
    f"-c idle_in_transaction_session_timeout={IDLE_TIMEOUT_MS} "
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3"
)
"""The server ends the session of an ingest that stood still or was cut off in the middle of a batch.

The ingest that takes over waits for the locks of that batch, and the server does not notice a cut by itself.
"""
OFFSET_TOLERANCE = timedelta(seconds=1)  # an estimate that changes by less is not stored again
ANSWER_TIMEOUT_S = 12.0  # for a transaction: longer than the server's own limit, which says what it waits for
TCP_USER_TIMEOUT_MS = 15_000  # with the keepalives: notice a dead connection after some 15 s instead of hours


class BatchRejected(PermanentError):
    """The database rejects a value in the batch: SQLSTATE class 22 (data) or 23 (constraint)."""


class DatabaseUnavailable(TransientError):
    """The database is temporarily unable to work, or does not respond. No change to it is needed."""

    advice = ""
    """The operator's action, if one is known."""


class UnexpectedDatabaseError(TransientError):
    """An error that an operator has to correct, such as a missing table. The batch is retried all the same."""

    sqlstate = ""


@dataclass(slots=True)
class WriteResult:
    """Result of a transaction.

    late                late readings that were set aside; neither in `stored` nor in `duplicates`
    rejection_reasons   one reason for each rejected message
    rejected_readings   those readings that the database rejected
    """

    stored: int = 0
    duplicates: int = 0
    late: int = 0
    rejection_reasons: list[str] = field(default_factory=list)
    rejected_readings: list[ReadingKey] = field(default_factory=list)

    def __add__(self, other: "WriteResult") -> "WriteResult":
        return WriteResult(
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.late + other.late,
            self.rejection_reasons + other.rejection_reasons,
            self.rejected_readings + other.rejected_readings,
        )


class Store:
    """A connection that is opened on demand and closed after every error except BatchRejected.

    require_standby   store nothing while a commit does not wait for a synchronous standby
    writer, epoch     client id and start of this ingest, which one that has taken over has a higher one of
    """

    def __init__(self, url: str, writer: str = "ingest", epoch: int = 0, *, require_standby: bool = False) -> None:
        self._url = url
        self._writer, self._epoch = writer, epoch
        self._require_standby = require_standby
        self._confirmed = True  # False: a commit has ended without the confirmation of a synchronous standby
        self._first = True  # whether the next transaction is the first one of its connection
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._duplicates_expected = False
        self._renamed = 0  # readings of the last batch via the stage that had the number of another one
        self._offsets: dict[str, timedelta] = {}  # of the devices' clocks, as stored
        self._late_after: timedelta | None = None  # set in the database; None if its rollups need no refresh
        self._settings_read_at = 0.0

    @property
    def address(self) -> str:
        """The database's address for log lines, without the password."""
        return without_password(self._url)

    def write(self, batch: Batch) -> WriteResult:
        """Store a batch, whatever it contains.

        1. Write all of it in one transaction. This nearly always succeeds.
        2. If the database rejects a value in it, write each half by itself, and so on down to the one bad row.
        3. Store that row as a rejected message, with the database's error message.

        Raises DatabaseUnavailable or UnexpectedDatabaseError. Then nothing or a part is stored, and storing the whole
        batch again does no harm.
        """
        try:
            return self._transaction(batch)
        except BatchRejected as error:
            rows = batch.all_rows()
            if len(rows) == 1:
                result = self._transaction(Batch(rejected=[_bad_row(rows[0], error)]))
                if isinstance(rows[0], ReadingRow):
                    result.rejected_readings.append((rows[0].topic, rows[0].boot, rows[0].seq))
                return result
            middle = len(rows) // 2
            first, second = rows[:middle], rows[middle:]
            return self.write(Batch.from_rows(first, batch.oldest_time)) + self.write(
                Batch.from_rows(second, batch.oldest_time)
            )

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _transaction(self, batch: Batch) -> WriteResult:
        """Write a batch in one transaction.

        Readings are nearly always new, and COPY directly into the hypertable is 1.4 to 1.7 times as fast as COPY via
        the stage table. As the only statement it is a transaction by itself: BEGIN and COMMIT are two more answers to
        wait for. If a reading is stored already, which happens after a crash or a device's resend, COPY fails as a
        whole. Then the batch goes via the stage, which skips duplicates, and so do the following ones until a batch has
        no duplicates. A batch with late readings goes via the stage too, where they are set aside.
        """
        try:
            connection = self._connection or self._connect()
            with deadline(connection, ANSWER_TIMEOUT_S):
                result = self._write_rows(connection, batch)
            self._first = False
        except psycopg.Error as error:
            classified = classify_error(error)
            if not isinstance(classified, BatchRejected):
                self.close()  # its state is unknown, and a new connection sees a changed schema
            raise classified from error
        if not self._confirmed:
            self.close()
            raise _unconfirmed("the synchronous standby did not confirm a commit")
        return result

    def _write_rows(self, connection: "psycopg.Connection[tuple[object, ...]]", batch: Batch) -> WriteResult:
        if time.monotonic() - self._settings_read_at > SETTINGS_READ_S:
            self._read_settings(connection)
        late = self._has_late_readings(batch)
        if not self._duplicates_expected and not late:
            is_one_statement = not (self._first or batch.has_other_rows or self._changed_offsets(batch))
            with suppress(UniqueViolation), nullcontext() if is_one_statement else connection.transaction():
                return self._insert(connection, batch, _copy_direct)
        with connection.transaction():
            result = self._insert(connection, batch, self._copy_via_stage)
        self._duplicates_expected = result.duplicates + self._renamed > 0
        return result

    def _has_late_readings(self, batch: Batch) -> bool:
        if self._late_after is None or batch.oldest_time is None:
            return False
        return batch.oldest_time < datetime.now(UTC) - self._late_after

    def _read_settings(self, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        row = connection.execute(STATEMENTS["late_after"]).fetchone()
        self._late_after = None if row is None else cast(timedelta, row[0])
        if self._require_standby and not commit_waits_for_standby(connection):
            raise _unconfirmed("a commit does not wait for a synchronous standby, and VITALFLOW_DURABILITY requires it")
        self._settings_read_at = time.monotonic()

    def _copy_via_stage(self, cursor: "psycopg.Cursor[tuple[object, ...]]", rows: list[ReadingRow]) -> tuple[int, int]:
        with cursor.copy(COPY_TO_STAGE) as copy:
            copy.write("".join([row.line for row in rows]))
        late = 0
        if self._late_after is not None:
            late = cursor.execute(STATEMENTS["set_aside_late_readings"], [self._late_after]).rowcount
        stored, self._renamed = insert_staged(cursor, len(rows) - late)
        return stored, late

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        connection = open_connection(self._url, "vitalflow-ingest")
        try:
            with deadline(connection, ANSWER_TIMEOUT_S):
                self._read_settings(connection)
                rows = connection.execute(STATEMENTS["device_clocks"]).fetchall()
            self._offsets = {str(device): cast(timedelta, offset) for device, offset in rows}
        except (psycopg.Error, DatabaseUnavailable):
            connection.close()
            raise
        self._confirmed = self._first = True
        connection.add_notice_handler(self._on_notice)
        self._connection = connection
        return connection

    def _on_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        """Notice a commit whose wait was cancelled, by the server's function name: its text is translated."""
        if notice.source_function == "SyncRepWaitForLSN":
            self._confirmed = False

    def _changed_offsets(self, batch: Batch) -> dict[str, timedelta]:
        """Return the clock offsets that differ from what is stored."""
        known = self._offsets
        return {
            device: offset
            for device, offset in batch.clock_offsets.items()
            if offset is not known.get(device, ZERO) and abs(offset - known.get(device, ZERO)) > OFFSET_TOLERANCE
        }

    def _insert(
        self, connection: "psycopg.Connection[tuple[object, ...]]", batch: Batch, copy_rows: CopyRows
    ) -> WriteResult:
        """Insert everything in a batch, each kind into its table."""
        result = WriteResult(rejection_reasons=[row.reason for row in batch.rejected])
        with connection.cursor() as cursor:
            if batch.readings:
                result.stored, result.late = copy_rows(cursor, batch.readings)
                result.duplicates = len(batch.readings) - result.stored - result.late
            if batch.rejected:
                with cursor.copy(COPY_REJECTED) as copy:
                    for row in batch.rejected:
                        size = len(row.payload)
                        copy.write_row((row.received_at, row.topic, row.stored_payload, size, row.reason, row.detail))
            changed = self._changed_offsets(batch)
            if changed:
                clocks = {"devices": [*changed], "offsets": [*changed.values()], **self._fence(datetime.now(UTC))}
                cursor.execute(STATEMENTS["device_clock"], clocks)
            if batch.statuses:
                cursor.executemany(STATEMENTS["device_status"], map(self._status_parameters, batch.statuses))
            if batch.alert_events:
                # Change by change: which one is the latest decides whether the next one is kept.
                with connection.pipeline():
                    for change in batch.alert_events:
                        parameters = alert_parameters(change.alert, change.received_at)
                        cursor.execute(STATEMENTS["alert_event"], parameters)
                        cursor.execute(STATEMENTS["alert_latest"], parameters)
            for known in batch.republished:  # after the alerts
                wards, limit = list(known.republished.wards), max_epoch(known.received_at)
                worker = {"writer": known.writer, "epoch": known.republished.epoch, "wards": wards, "max_epoch": limit}
                cursor.execute(STATEMENTS["alert_worker"], worker)
            if batch.audit_events:
                cursor.executemany(STATEMENTS["audit_event"], [_audit_parameters(row) for row in batch.audit_events])
            if self._first or result.duplicates:
                cursor.execute(STATEMENTS["wait_for_standby"])
        self._offsets |= changed  # last: if a row above is rejected, none of the transaction is stored
        return result

    def _status_parameters(self, row: StatusRow) -> dict[str, object]:
        return {
            "device_id": row.device,
            "ward": row.ward,
            "state": row.status.state,
            "boot": row.status.boot,
            "interval_s": row.status.interval_s,
            "model": row.status.model,
            "dropped": row.status.dropped,
            "changed_at": row.received_at,
            "retained": row.retained,
            **self._fence(row.received_at),
        }

    def _fence(self, now: datetime) -> dict[str, object]:
        """Return what the statements compare with an ingest that has taken over."""
        return {"writer": self._writer, "epoch": self._epoch, "max_epoch": max_epoch(now)}


def alert_parameters(alert: Alert, received_at: datetime) -> dict[str, object]:
    """Return the parameters of the statements `alert_event` and `alert_latest`."""
    return asdict(alert) | {"received_at": received_at, "max_epoch": max_epoch(received_at)}


def open_connection(url: str, application_name: str) -> "psycopg.Connection[tuple[object, ...]]":
    """Open a connection with a stage table, or raise DatabaseUnavailable."""
    try:
        connection = psycopg.connect(
            url,
            autocommit=True,
            application_name=application_name,
            # An answer that never comes must not stop ingest in silence: it is an error, and the batch is retried.
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} {WHEN_CUT_OFF}",
            connect_timeout=CONNECT_TIMEOUT_S,
            keepalives_idle=5,
            keepalives_interval=3,
            keepalives_count=3,
            tcp_user_timeout=TCP_USER_TIMEOUT_MS,
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(describe_connect_error(error, url)) from error
    try:
        with deadline(connection, ANSWER_TIMEOUT_S):
            # Before the table is created: dropping it at the end of the session is a commit that would wait too.
            _refuse_while_a_commit_waits(connection)
            with connection.transaction():
                connection.execute("SET LOCAL synchronous_commit = local")  # a temporary table is at no standby
                connection.execute(STATEMENTS["stage"])
    except (psycopg.Error, DatabaseUnavailable):
        connection.close()
        raise
    return connection


def commit_waits_for_standby(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    """Return whether a commit returns only when a synchronous standby has it (PostgreSQL manual, section 26.2.8)."""
    row = connection.execute(STATEMENTS["commit_waits_for_standby"]).fetchone()
    return row is not None and bool(row[0])


def _refuse_while_a_commit_waits(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    """Raise DatabaseUnavailable while a commit of an earlier connection waits for a standby.

    It waits on after its client has gone. Each retry would add a session to the server until it has none left.
    """
    row = connection.execute(STATEMENTS["commit_waiting_for_standby"]).fetchone()
    if row is not None:
        raise _unconfirmed(f"the synchronous standby does not confirm a commit of {row[0]:%H:%M:%S}Z")


def _unconfirmed(text: str) -> DatabaseUnavailable:
    error = DatabaseUnavailable(text)
    error.advice = (
        "start the synchronous standby; or set synchronous_standby_names and synchronous_commit on the primary to what "
        "the site wants"
    )
    return error


def insert_staged(cursor: "psycopg.Cursor[tuple[object, ...]]", staged: int) -> tuple[int, int]:
    """Insert the stage's `staged` readings; return how many are new, and how many had the number of another reading.

    The latter are inserted under another name.
    """
    stored, renamed = cursor.execute(STATEMENTS["insert_new_readings"]).rowcount, 0
    if stored < staged:
        renamed = cursor.execute(STATEMENTS["rename_different_readings"]).rowcount
    if renamed:
        stored += cursor.execute(STATEMENTS["insert_new_readings"]).rowcount
    return stored, renamed


def record_late_readings(connection: "psycopg.Connection[tuple[object, ...]]", late_after: timedelta) -> None:
    """Record the minutes of the stage's late readings for the rollups.

    Runs in the transaction that moves the readings. If recording fails, they are stored all the same, and the log says
    how to refresh the rollups.
    """
    try:
        with connection.transaction():
            connection.execute(STATEMENTS["record_late_readings"], [late_after])
    except psycopg.Error as error:
        if connection.broken:
            raise
        log.error("late readings are stored, but not recorded for the rollups: %s", " ".join(str(error).split()))
        log.error("to include them in the rollups, run: vitalflow db backfill --from DAY")


def _copy_direct(cursor: "psycopg.Cursor[tuple[object, ...]]", rows: list[ReadingRow]) -> tuple[int, int]:
    with cursor.copy(COPY_DIRECT) as copy:
        copy.write("".join([row.line for row in rows]))
    return len(rows), 0


PASSING_CONDITIONS = {
    "25006": (
        "the database is read-only: it is a standby, or default_transaction_read_only is on",
        "make it writable, or let VITALFLOW_INGEST_URL name the primary",
    ),
    "25P03": (
        f"this process stood still in the middle of a batch for more than {IDLE_TIMEOUT_MS / 1000:g} s",
        "none: the batch is stored again; if it returns, look for a host that pauses",
    ),
    "53100": (
        "the disk of the database is full",
        "free space on it or enlarge it; VITALFLOW_RAW_RETENTION_DAYS says how many days of readings are kept",
    ),
    "53200": ("the database is out of memory", "give the server more memory, or lower work_mem or max_connections"),
    "53300": ("the database has no connection left", "end other sessions, or raise max_connections"),
    "55P03": (
        f"another session holds a lock on a table for more than {LOCK_TIMEOUT_MS / 1000:g} s",
        "find the session in pg_locks and pg_stat_activity, and end it with pg_terminate_backend",
    ),
    "57014": (
        f"the database did not finish within {STATEMENT_TIMEOUT_MS / 1000:g} s",
        "look for a slow disk or a long query in pg_stat_activity",
    ),
}
"""The condition, and what an operator can do about it, by SQLSTATE (PostgreSQL manual, appendix A)."""


def classify_error(error: psycopg.Error) -> BatchRejected | DatabaseUnavailable | UnexpectedDatabaseError:
    """Return what to raise for an error, by psycopg's exception classes, which follow SQLSTATE (psycopg.errors).

    Everything but a rejected value is retried: an unknown error must not lose readings.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, (psycopg.DataError, psycopg.IntegrityError)):
        return BatchRejected(text)
    if error.sqlstate is not None:
        text = f"{text} (SQLSTATE {error.sqlstate})"
    known = PASSING_CONDITIONS.get(error.sqlstate or "")
    if known is not None:
        condition, advice = known
        unavailable = DatabaseUnavailable(f"{condition} ({error.sqlstate})")
        unavailable.advice = advice
        return unavailable
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return DatabaseUnavailable(text)
    unexpected = UnexpectedDatabaseError(text)
    unexpected.sqlstate = error.sqlstate or ""
    return unexpected


def _bad_row(row: AnyRow, error: BatchRejected) -> RejectedRow:
    """Make the rejected message for a row that the database rejects."""
    if isinstance(row, RejectedRow):
        # Its text was cleaned before, so this is a defect, and the message must not be dropped.
        raise UnexpectedDatabaseError(f"the table rejected_message rejects a row: {error}") from error
    return RejectedRow.from_problem(row.received_at, row.topic, row.payload, Problem(Reason.DATABASE, str(error)))


def _audit_parameters(row: AuditEventRow) -> dict[str, object]:
    record = row.record
    return {
        "time": record.time,
        "received_at": row.received_at,
        "actor": record.actor,
        "action": record.action,
        "ward": record.ward,
        "device_id": record.device,
        "rule": record.rule,
        "detail": json.encode(record.detail).decode(),
        "topic": row.topic,
        "payload_sha256": sha256(row.payload).digest(),
        "delivery_id": row.delivery_id,
        "retained": row.retained,
        "dup": row.dup,
    }
