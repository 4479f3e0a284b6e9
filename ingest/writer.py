"""The thread that writes batches to the database and retries each one until it is stored.

A thread of its own, so that the next batch is received while this one is committed: psycopg waits for the server
without holding the interpreter lock.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue

from ingest.batch import Batch
from ingest.store import DatabaseUnavailable, Store, UnexpectedDatabaseError, WriteResult
from vitals.backoff import Backoff
from vitals.log import Throttle

log = logging.getLogger("ingest")

NO_ANSWER_AFTER = timedelta(seconds=5)  # a batch takes milliseconds, and on a slow disk a second
RETRY_S = (0.1, 2.0)  # first and maximum pause before a retry; also the delay once the database is reachable


@dataclass(frozen=True, slots=True)
class Committed:
    """A committed batch, and the result of its transactions."""

    batch: Batch
    result: WriteResult


class Writer(threading.Thread):
    """Writes batches in order.

    wake          called from this thread after each batch that was put into `committed`
    count_retry   called after each failed attempt
    """

    def __init__(self, store: Store, wake: Callable[[], None], count_retry: Callable[[], None]) -> None:
        super().__init__(name="writer", daemon=True)
        self._store = store
        self._wake = wake
        self._count_retry = count_retry
        self._queue: SimpleQueue[Batch | None] = SimpleQueue()
        self._aborting = threading.Event()
        self.committed: SimpleQueue[Committed] = SimpleQueue()
        self.failure: BaseException | None = None
        self.blocked = False  # whether a batch is being retried
        self._failure_text = ""
        self._writing_since: datetime | None = None

    def problem(self, now: datetime) -> tuple[str, datetime] | None:
        """Return why nothing is stored, and since when; None if batches are stored, or none is waiting."""
        since = self._writing_since
        if since is None:
            return None
        if self.blocked:
            return self._failure_text, since
        return ("the database does not answer", since) if now - since > NO_ANSWER_AFTER else None

    def put(self, batch: Batch) -> None:
        """Queue a batch."""
        self._queue.put(batch)

    def finish(self) -> None:
        """End the thread after it has written all queued batches."""
        self._queue.put(None)

    def abort(self) -> None:
        """End the thread now. The batch that is being retried stays unacknowledged, so the broker keeps it."""
        self._aborting.set()
        self._queue.put(None)

    def run(self) -> None:
        """Write batches until `finish` or `abort`."""
        try:
            while (batch := self._queue.get()) is not None and not self._aborting.is_set():
                result = self._store_with_retry(batch)
                if result is None:
                    return
                self.committed.put(Committed(batch, result))
                self._wake()
        except BaseException as failure:
            # A defect. The pipeline raises it and ends: a process without its writer stores nothing.
            self.failure = failure
            self._wake()
        finally:
            self._store.close()

    def _store_with_retry(self, batch: Batch) -> WriteResult | None:
        """Retry until the batch is stored; return None if aborted."""
        backoff, throttle = Backoff(*RETRY_S), Throttle()
        self._writing_since = datetime.now(UTC)
        while True:
            try:
                result = self._store.write(batch)
            except (DatabaseUnavailable, UnexpectedDatabaseError) as error:
                if throttle.due(time.monotonic()):
                    self._log_failure(error, batch)
                self._count_retry()
                self._failure_text = str(error).partition(";")[0][:200]  # for a page that nurses read
                self.blocked = True
                if self._aborting.wait(backoff.next()):
                    return None
            else:
                self.blocked, self._writing_since = False, None
                if throttle.reset():
                    log.info("the database is back; the waiting batch is stored")
                return result

    def _log_failure(self, error: DatabaseUnavailable | UnexpectedDatabaseError, batch: Batch) -> None:
        held = f"{batch.messages} messages are held here, the broker queues the rest"
        if isinstance(error, DatabaseUnavailable):
            log.warning("waiting for the database at %s: %s; %s", self._store.address, error, held)
            if error.advice:
                log.warning("to store again: %s", error.advice)
            if "authentication failed" in str(error):  # PostgreSQL reports a missing login as a wrong password
                log.warning("if this database is new, create its logins with: vitalflow db migrate")
        else:
            log.error("the database at %s reports an error: %s; retrying, %s", self._store.address, error, held)
            if error.sqlstate[:2] == "42":  # a table, a column or a privilege is missing
                log.error("this is not the schema of this version; run: vitalflow db migrate")
