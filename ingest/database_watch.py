"""The thread that asks every 10 s whether the database answers and how its standbys are, for /metrics and the log.

The writer knows only while there is something to write. Each check opens a connection of its own, as a service that
starts now would.
"""

import logging
import threading
from collections.abc import Callable, Mapping

import psycopg

from ingest.store import commit_waits_for_standby
from sql.deadline import deadline

log = logging.getLogger("ingest")

INTERVAL_S = 10.0
CONNECT_TIMEOUT_S = 3
ANSWER_TIMEOUT_S = 3.0


class DatabaseWatch(threading.Thread):
    """Checks the database until `stop`; the log and /healthz state why it does not answer.

    report_connected   called after each check with whether the database answered
    report_lag         called after each answer with the bytes of WAL that each standby has not replayed
    report_waits       called after each answer with whether a commit waits for a synchronous standby
    """

    def __init__(
        self,
        url: str,
        report_connected: Callable[[bool], None],
        report_lag: Callable[[Mapping[str, int]], None],
        report_waits: Callable[[bool], None],
    ) -> None:
        super().__init__(name="database-watch", daemon=True)
        self._url = url
        self._report_connected = report_connected
        self._report_lag = report_lag
        self._report_waits = report_waits
        self._warned = False
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the thread without waiting for a running check."""
        self._stopping.set()

    def run(self) -> None:
        """Check at intervals until `stop`."""
        while not self._stopping.is_set():
            try:
                lags, waits = self._ask()
            except psycopg.Error:
                self._report_connected(False)
            else:
                self._report_connected(True)
                self._report_lag(lags)
                self._report_waits(waits)
                self._warn(lags, waits)
            self._stopping.wait(INTERVAL_S)

    def _warn(self, lags: Mapping[str, int], waits: bool) -> None:
        """Log once that a standby is no copy of what has a receipt."""
        if lags and not waits and not self._warned:
            log.warning(
                "the database has the standby %s, and a commit does not wait for it: if the primary fails, readings "
                "that have a receipt can be lost; set synchronous_standby_names, and VITALFLOW_DURABILITY=synchronous",
                ", ".join(sorted(lags)),
            )
        self._warned = bool(lags) and not waits

    def _ask(self) -> tuple[Mapping[str, int], bool]:
        with (
            psycopg.connect(
                self._url,
                autocommit=True,
                application_name="vitalflow-watch",
                connect_timeout=CONNECT_TIMEOUT_S,
                options="-c statement_timeout=2000",
            ) as connection,
            deadline(connection, ANSWER_TIMEOUT_S),
        ):
            lags: dict[str, int] = dict(
                connection.execute("SELECT standby, lag_bytes FROM replication_lag()").fetchall()
            )
            return lags, commit_waits_for_standby(connection)
