"""The thread that moves late readings from the table `late_reading` into `patient_vitals`.

A late reading belongs to an old chunk, which may be locked for as long as its conversion to the columnstore takes, or
have to be decompressed. So `Store` sets late readings aside in the transaction that stores the others, and this thread
moves them on a connection of its own. They are committed before it sees them: it holds no reading, acknowledges no
message, and continues after a crash of ingest with what the table holds.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import psycopg

from ingest.store import (
    ANSWER_TIMEOUT_S,
    STATEMENTS,
    BatchRejected,
    classify_error,
    insert_staged,
    open_connection,
    record_late_readings,
)
from sql.deadline import deadline
from vitals.backoff import Backoff
from vitals.codec import Reason
from vitals.log import Throttle
from vitals.topics import Topics

log = logging.getLogger("ingest")

MAX_ROWS = 5_000  # of one transaction
MOVE_TIMEOUT_S = 60.0  # for it: some statements, each with the server's own limit
POLL_S = 5.0  # interval between two looks at the table, for rows that another process left there
RETRY_S = (0.1, 2.0)  # first and maximum pause before a retry
MOVING = "they are being moved"
REPORTED_AFTER = timedelta(seconds=10)  # readings that wait longer are logged and named by /healthz


class LateReadings(threading.Thread):
    """Moves late readings until `stop`.

    count_moved   called with the numbers of new readings and of duplicates of each transaction
    count_reject  called for each reading that the database rejects
    """

    def __init__(
        self,
        url: str,
        topics: Topics,
        count_moved: Callable[[int, int], None],
        count_reject: Callable[[], None],
    ) -> None:
        super().__init__(name="late", daemon=True)
        self._url = url
        self._topics = topics
        self._count_moved = count_moved
        self._count_reject = count_reject
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._max_rows = MAX_ROWS
        self._reason = MOVING
        self._waiting_since: datetime | None = None
        self.waiting = 0

    def notify(self, set_aside: int, now: datetime) -> None:
        """Move this number of readings, which were set aside now."""
        self.waiting += set_aside
        self._waiting_since = self._waiting_since or now
        self._due.set()

    def stop(self) -> None:
        """End the thread without waiting for a running transaction, which the database completes or rolls back."""
        self._stopping.set()
        self._due.set()

    def problem(self, now: datetime) -> str | None:
        """Return why late readings wait if one waits longer than REPORTED_AFTER. May be called from any thread."""
        since = self._waiting_since
        if since is None or now - since <= REPORTED_AFTER:
            return None
        return f"{self.waiting} late readings wait since {since:%Y-%m-%d %H:%M:%S}Z: {self._reason}"

    def run(self) -> None:
        """Move late readings as they are set aside, until `stop`."""
        backoff, throttle = Backoff(*RETRY_S), Throttle()
        while not self._stopping.is_set():
            self._due.clear()
            try:
                self._count_waiting()
                if self.waiting:
                    self._move()
                    self._reason = MOVING
                    backoff.reset()
            except BatchRejected as error:
                self._reason = str(error)  # at once again, with fewer rows
            except Exception as error:  # whatever it is: the rows are safe, and readings in time need this process
                self._reason = " ".join(str(error).split()) or type(error).__name__
                self._close()
                self._stopping.wait(backoff.next())
            problem = self.problem(datetime.now(UTC))
            if problem is not None and throttle.due(time.monotonic()):
                log.warning("%s; readings in time are stored", problem)
            elif not self.waiting:
                if throttle.reset():
                    log.info("the late readings are stored")
                self._due.wait(POLL_S)
        self._close()

    def _count_waiting(self) -> None:
        if self._connection is None:
            self._connection = open_connection(self._url, "vitalflow-late")
        with deadline(self._connection, ANSWER_TIMEOUT_S):
            row = self._connection.execute(STATEMENTS["late_readings_waiting"]).fetchone()
        assert row is not None
        self.waiting, self._waiting_since = cast("tuple[int, datetime | None]", row)

    def _move(self) -> None:
        """Move the oldest rows in one transaction. A row that the database rejects becomes a rejected message.

        After a failure the next transaction has half as many rows, so a bad one or a slow one is found by itself.
        """
        connection = self._connection
        assert connection is not None
        try:
            with deadline(connection, MOVE_TIMEOUT_S), connection.transaction():
                moved = connection.execute(STATEMENTS["take_late_readings"], [self._max_rows]).rowcount
                stored, _ = insert_staged(connection.cursor(), moved)
                row = connection.execute(STATEMENTS["late_after"]).fetchone()
                if row is not None:
                    record_late_readings(connection, cast(timedelta, row[0]))
        except psycopg.Error as error:
            classified = classify_error(error)
            rows = min(self._max_rows, self.waiting)
            if rows > 1:
                self._max_rows = rows // 2
            elif isinstance(classified, BatchRejected):
                self._reject_oldest(connection, str(classified))
                return
            raise classified from error
        self._max_rows = min(2 * self._max_rows, MAX_ROWS)
        self._count_moved(stored, moved - stored)

    def _reject_oldest(self, connection: "psycopg.Connection[tuple[object, ...]]", detail: str) -> None:
        with deadline(connection, MOVE_TIMEOUT_S), connection.transaction():
            row = connection.execute(STATEMENTS["take_oldest_late_reading"]).fetchone()
            if row is None:
                return
            ward, device, received_at, payload = cast("tuple[str, str, str, str]", row)
            topic = self._topics.vitals(ward, device)
            content = payload.encode()
            connection.execute(
                STATEMENTS["reject_late_reading"],
                [received_at, topic, content, len(content), Reason.DATABASE, detail],
            )
        self._count_reject()

    def _close(self) -> None:
        """Close the connection: after an error its state is unknown, and a new one sees a changed schema."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
