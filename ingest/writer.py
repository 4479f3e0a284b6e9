"""The thread that carries batches to the database and does not let go of one until it is stored.

Between `pipeline`, which hands over full batches, and `store`. It is a thread of its own so that the next batch is
received while this one is committed; psycopg waits for the server without holding the interpreter lock.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from ingest.batch import Batch
from ingest.store import Away, Store, Unexpected, Written
from vitals.backoff import Backoff
from vitals.log import Throttle

log = logging.getLogger("ingest")

RETRY_S = (0.1, 2.0)  # first and longest pause before a batch is tried again; also the delay after the database is back


@dataclass(frozen=True, slots=True)
class Committed:
    """A batch that is in the database, and what the transactions did."""

    batch: Batch
    written: Written


class Writer(threading.Thread):
    """Writes batches in order. `wake` is called from this thread whenever `done` has something new."""

    def __init__(self, store: Store, wake: Callable[[], None], count_retry: Callable[[], None]) -> None:
        super().__init__(name="writer", daemon=True)
        self._store = store
        self._wake = wake
        self._count_retry = count_retry
        self._todo: SimpleQueue[Batch | None] = SimpleQueue()
        self._giving_up = threading.Event()
        self.done: SimpleQueue[Committed] = SimpleQueue()
        self.failure: BaseException | None = None
        self.waiting = False  # whether a batch is being tried again

    def put(self, batch: Batch) -> None:
        """Hand over a batch."""
        self._todo.put(batch)

    def finish(self) -> None:
        """Let the thread end once it has written what it was given."""
        self._todo.put(None)

    def give_up(self) -> None:
        """Let the thread end now; the batch it is trying stays unacknowledged, and so the broker's."""
        self._giving_up.set()
        self._todo.put(None)

    def run(self) -> None:
        """Until `finish` or `give_up`."""
        try:
            while (batch := self._todo.get()) is not None and not self._giving_up.is_set():
                written = self._until_stored(batch)
                if written is None:
                    return
                self.done.put(Committed(batch, written))
                self._wake()
        except BaseException as failure:
            # A bug. The pipeline must hear of it and end: a process that lives without its writer stores nothing.
            self.failure = failure
            self._wake()
        finally:
            self._store.close()

    def _until_stored(self, batch: Batch) -> Written | None:
        """Try until the batch is stored; None when giving up."""
        backoff, throttle = Backoff(*RETRY_S), Throttle()
        while True:
            try:
                written = self._store.write(batch)
            except (Away, Unexpected) as trouble:
                if throttle.due(time.monotonic()):
                    self._tell(trouble, batch)
                self._count_retry()
                self.waiting = True
                if self._giving_up.wait(backoff.next()):
                    return None
            else:
                self.waiting = False
                if throttle.reset():
                    log.info("the database is back; stored the batch that waited")
                return written

    def _tell(self, trouble: Away | Unexpected, batch: Batch) -> None:
        held = f"holding {batch.messages} messages, the broker keeps the rest"
        if isinstance(trouble, Away):
            log.warning("waiting for the database at %s: %s; %s", self._store.where, trouble, held)
            if "authentication failed" in str(trouble):  # a server does not tell a wrong password from no such login
                log.warning("if this database is new, its logins are made by: python -m sql migrate")
        else:
            log.error("the database at %s refuses to work: %s; trying again, %s", self._store.where, trouble, held)
            log.error("if its tables are missing, run: python -m sql migrate")
