"""The thread that drops readings older than the retention period if the database has no policy of its own.

The Apache edition of TimescaleDB can drop old chunks but has no background job for it, so ingest requests it once an
hour. The database decides what is dropped (sql/editions/): on the Community edition that is nothing, because a policy
does it. The thread has a connection of its own, so a failure here does not delay the writer.
"""

import logging
import threading
from collections.abc import Callable

import psycopg

from sql.connection import describe_connect_error

log = logging.getLogger("ingest")

FIRST_AFTER_S = 10.0  # not at once: much else happens at the start
INTERVAL_S = 3600.0
CONNECT_TIMEOUT_S = 5


class Retention(threading.Thread):
    """Calls `drop_old_readings` until `stop`. `count_dropped` is called with the number of dropped chunks."""

    def __init__(
        self,
        url: str,
        count_dropped: Callable[[int], None],
        *,
        first_after_s: float = FIRST_AFTER_S,
        interval_s: float = INTERVAL_S,
    ) -> None:
        super().__init__(name="retention", daemon=True)
        self._url = url
        self._count_dropped = count_dropped
        self._first_after_s = first_after_s
        self._interval_s = interval_s
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the thread without waiting for a running call, which the database completes or rolls back."""
        self._stopping.set()

    def run(self) -> None:
        """Drop old readings at intervals until `stop`."""
        pause_s = self._first_after_s
        while not self._stopping.wait(pause_s):
            pause_s = self._interval_s
            try:
                dropped = self._drop()
            except psycopg.Error as error:
                reason = describe_connect_error(error, self._url)
                log.warning("could not drop old readings, next attempt in an hour: %s", reason)
                continue
            self._count_dropped(dropped)
            if dropped:
                log.info("dropped %d chunks of readings older than the retention period", dropped)

    def _drop(self) -> int:
        with psycopg.connect(
            self._url, autocommit=True, application_name="vitalflow-retention", connect_timeout=CONNECT_TIMEOUT_S
        ) as connection:
            row = connection.execute("SELECT drop_old_readings()").fetchone()
        assert row is not None
        return int(row[0])
