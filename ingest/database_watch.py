"""The thread that asks every 10 s whether the database answers, and how far its standbys are behind, for /metrics.

The writer knows only while there is something to write. Each check opens a connection of its own, as a service that
starts now would.
"""

import threading
from collections.abc import Callable, Mapping

import psycopg

INTERVAL_S = 10.0
CONNECT_TIMEOUT_S = 3


class DatabaseWatch(threading.Thread):
    """Checks the database until `stop`; the log and /healthz state why it does not answer.

    report_connected   called after each check with whether the database answered
    report_lag         called after each answer with the bytes of WAL that each standby has not replayed
    """

    def __init__(
        self,
        url: str,
        report_connected: Callable[[bool], None],
        report_lag: Callable[[Mapping[str, int]], None],
    ) -> None:
        super().__init__(name="database-watch", daemon=True)
        self._url = url
        self._report_connected = report_connected
        self._report_lag = report_lag
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the thread without waiting for a running check."""
        self._stopping.set()

    def run(self) -> None:
        """Check at intervals until `stop`."""
        while not self._stopping.is_set():
            try:
                lags = self._ask()
            except psycopg.Error:
                self._report_connected(False)
            else:
                self._report_connected(True)
                self._report_lag(lags)
            self._stopping.wait(INTERVAL_S)

    def _ask(self) -> Mapping[str, int]:
        with psycopg.connect(
            self._url,
            autocommit=True,
            application_name="vitalflow-watch",
            connect_timeout=CONNECT_TIMEOUT_S,
            options="-c statement_timeout=2000",
        ) as connection:
            return dict(connection.execute("SELECT standby, lag_bytes FROM replication_lag()").fetchall())
