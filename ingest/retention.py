"""The thread that lets go of readings older than the retention, where the database has no policy of its own.

The Apache edition of TimescaleDB can drop old chunks but not by itself, so ingest, which is always there, asks it once
an hour. What is dropped is decided by the database (sql/editions/): on the Community edition that is nothing here,
because a policy does it. Apart from the writer, on a connection of its own: whatever fails here stores nothing later.
"""

import logging
import threading
from collections.abc import Callable

import psycopg

from sql.connection import describe_connect_error

log = logging.getLogger("ingest")

FIRST_AFTER = 10.0  # seconds; a start is busy enough
EVERY = 3600.0  # seconds
CONNECT_TIMEOUT = 5  # seconds


class Retention(threading.Thread):
    """Calls `drop_old_readings` now and then until `stop`; `count` hears how many chunks went."""

    def __init__(
        self, url: str, count: Callable[[int], None], *, first_after: float = FIRST_AFTER, every: float = EVERY
    ) -> None:
        super().__init__(name="retention", daemon=True)
        self._url = url
        self._count = count
        self._first_after = first_after
        self._every = every
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End it; one that is busy is not waited for, and the database finishes or undoes what it asked."""
        self._stopping.set()

    def run(self) -> None:
        """Until `stop`."""
        pause = self._first_after
        while not self._stopping.wait(pause):
            pause = self._every
            try:
                dropped = self._drop()
            except psycopg.Error as error:
                log.warning("old readings stay for another hour: %s", describe_connect_error(error, self._url))
                continue
            self._count(dropped)
            if dropped:
                log.info("dropped %d chunks of readings older than the retention", dropped)

    def _drop(self) -> int:
        with psycopg.connect(
            self._url, autocommit=True, application_name="vitalflow-retention", connect_timeout=CONNECT_TIMEOUT
        ) as connection:
            row = connection.execute("SELECT drop_old_readings()").fetchone()
        assert row is not None
        return int(row[0])
