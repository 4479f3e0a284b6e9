"""Store batches of imported rows in the database, by functions that have the rights of its owner.

A batch is one transaction, with its averages; storing it again changes nothing. The statements of an import wait at
most LOCK_TIMEOUT_MS for a lock, so that they do not stop ingest behind them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import psycopg
from msgspec import json
from psycopg import sql

from ingest.batch_builder import COLUMNS
from ingest.store import LOCK_TIMEOUT_MS, STATEMENTS, DatabaseUnavailable, classify_error
from sql.connection import Connection
from sql.migrate import connect
from vitals.backoff import Backoff
from vitals.errors import PermanentError, TransientError
from vitals.topics import DeviceAddress

COPY = sql.SQL("COPY import_stage ({}) FROM STDIN").format(sql.SQL(", ").join(map(sql.Identifier, COLUMNS)))
STATEMENT_TIMEOUT_MS = 300_000  # a batch takes seconds
LOCKED = "55P03"
ATTEMPTS = 10  # at a batch, while another session holds a lock
RETRY_S = (0.5, 8.0)
MINUTES_PER_REFRESH = 10_000


@dataclass(slots=True)
class Stored:
    """Result of one or more batches; see store_import() in sql/editions/08_imported_vitals.sql."""

    stored: int = 0
    duplicates: int = 0
    refused: int = 0
    refused_from: datetime | None = None
    refused_to: datetime | None = None

    def add(self, other: "Stored") -> None:
        """Add the result of a later batch."""
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.refused += other.refused
        times = (self.refused_from, self.refused_to, other.refused_from, other.refused_to)
        known = [found for found in times if found is not None]
        self.refused_from, self.refused_to = min(known, default=None), max(known, default=None)


class ImportStore:
    """A connection for one import."""

    def __init__(self, url: str) -> None:
        self._connection: Connection = connect(url)
        try:
            for setting, value in (
                ("application_name", "vitalflow-import"),
                ("statement_timeout", str(STATEMENT_TIMEOUT_MS)),
                ("lock_timeout", str(LOCK_TIMEOUT_MS)),
                # A batch may look into any number of compressed rows, as those of ingest may.
                ("timescaledb.max_tuples_decompressed_per_dml_transaction", "0"),
            ):
                self._connection.execute("SELECT set_config(%s, %s, false)", [setting, value])
            self._connection.execute(STATEMENTS["begin_import"])
        except psycopg.errors.UndefinedFunction:
            self._connection.close()
            raise PermanentError("the database has no function begin_import; run vitalflow db migrate") from None
        except psycopg.errors.InsufficientPrivilege:
            self._connection.close()
            raise PermanentError("only the owner of the database and vitalflow_import may import") from None
        except psycopg.Error as error:
            self._connection.close()
            raise _classified(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def write(self, lines: list[str]) -> Stored:
        """Store a batch. Raises TransientError if that may succeed later, and PermanentError for a rejected value."""
        backoff = Backoff(*RETRY_S)
        for attempts_left in reversed(range(ATTEMPTS)):
            try:
                return self._write(lines)
            except psycopg.Error as error:
                if error.sqlstate != LOCKED or not attempts_left:
                    raise _classified(error) from error
                time.sleep(backoff.next())
        raise AssertionError("unreachable")

    def _write(self, lines: list[str]) -> Stored:
        connection = self._connection
        with connection.transaction():
            with connection.cursor() as cursor, cursor.copy(COPY) as copy:
                copy.write("".join(lines))
            row = connection.execute(STATEMENTS["store_import"]).fetchone()
        return Stored(*cast("tuple[int, int, int, datetime | None, datetime | None]", row))

    def record(self, actor: str, bed: DeviceAddress, detail: dict[str, object], *, is_complete: bool) -> None:
        """Add a record of the begin or the end of the import to the audit log."""
        try:
            self._connection.execute(
                STATEMENTS["record_import"], [actor, is_complete, bed.ward, bed.device, json.encode(detail).decode()]
            )
        except psycopg.Error as error:
            raise _classified(error) from error

    def refresh(self, progress: Callable[[int], None]) -> None:
        """Show the averages on the Community edition, and refresh those of recent readings, as the owner.

        `progress` gets the minutes left. The jobs of the database do the same, 600 minutes at a time.
        """
        try:
            match self._connection.execute(STATEMENTS["may_refresh_rollups"]).fetchone():
                case (False,):
                    progress(self._minutes_to_refresh())
                    return
                case (None,):
                    return
            self._connection.execute("SELECT set_config('statement_timeout', '0', false)")
            self._connection.execute("CALL show_imported_averages()")
            while minutes := self._minutes_to_refresh():
                progress(minutes)
                self._connection.execute("CALL refresh_invalidated_buckets(%s)", [MINUTES_PER_REFRESH])
        except psycopg.Error as error:
            raise _classified(error) from error

    def _minutes_to_refresh(self) -> int:
        row = self._connection.execute(STATEMENTS["minutes_to_refresh"]).fetchone()
        assert row is not None
        return cast(int, row[0])


def _classified(error: psycopg.Error) -> PermanentError | TransientError:
    """Return an error whose sentence says what an operator can do."""
    found = classify_error(error)
    if isinstance(found, DatabaseUnavailable) and found.advice:
        return TransientError(f"{found}: {found.advice}")
    return found
