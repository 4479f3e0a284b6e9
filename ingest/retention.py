"""The thread that drops readings older than the retention period if the database has no job of its own for it.

The Apache edition of TimescaleDB can drop old chunks but has no background jobs, so ingest requests it once an hour.
The database decides what is dropped (sql/editions/): on the Community edition that is nothing, because a job does it.
There the thread reads what another job found: days of which a rollup lacks readings. It has a connection of its own, so
a failure here does not delay the writer.
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
    """Calls `drop_old_readings` until `stop`.

    count_dropped      called with the number of dropped chunks
    report_different   called with the number of days of which a rollup does not have every reading
    """

    def __init__(
        self,
        url: str,
        count_dropped: Callable[[int], None],
        report_different: Callable[[int], None],
        *,
        first_after_s: float = FIRST_AFTER_S,
        interval_s: float = INTERVAL_S,
    ) -> None:
        super().__init__(name="retention", daemon=True)
        self._url = url
        self._count_dropped = count_dropped
        self._report_different = report_different
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
                dropped, different = self._ask()
            except psycopg.Error as error:
                reason = describe_connect_error(error, self._url)
                log.warning("could not drop old readings, next attempt in an hour: %s", reason)
                continue
            self._count_dropped(dropped)
            self._report_different(different)
            if different:
                log.warning("the rollups of %d days lack readings; `vitalflow db status` names them", different)
            if dropped:
                log.info("dropped %d chunks of readings older than the retention period", dropped)

    def _ask(self) -> tuple[int, int]:
        with psycopg.connect(
            self._url, autocommit=True, application_name="vitalflow-retention", connect_timeout=CONNECT_TIMEOUT_S
        ) as connection:
            row = connection.execute(
                "SELECT drop_old_readings(), (SELECT count(DISTINCT day) FROM rollup_difference)"
            ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])
