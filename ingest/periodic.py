"""A thread that asks the database to do something at intervals, on a connection of its own."""

import logging
import threading

import psycopg

from sql.connection import describe_connect_error
from sql.deadline import deadline

log = logging.getLogger("ingest")

CONNECT_TIMEOUT_S = 5
WORK_TIMEOUT_S = 600.0  # a chunk that is in use may hold up retention; a frozen server must not end it for ever
Connection = psycopg.Connection[tuple[object, ...]]


class PeriodicWork(threading.Thread):
    """Calls `work` at intervals until `stop`; a failure is logged, and the next call follows after the interval.

    name      of the thread and, after `vitalflow-`, of the connection
    purpose   what it does, for the log: "drop old readings"
    """

    def __init__(self, name: str, url: str, purpose: str, *, first_after_s: float, interval_s: float) -> None:
        super().__init__(name=name, daemon=True)
        self._url = url
        self._purpose = purpose
        self._first_after_s = first_after_s
        self._interval_s = interval_s
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the thread without waiting for a running call, which the database completes or rolls back."""
        self._stopping.set()

    def run(self) -> None:
        """Work at intervals until `stop`."""
        pause_s = self._first_after_s
        while not self._stopping.wait(pause_s):
            pause_s = self._interval_s
            try:
                with (
                    psycopg.connect(
                        self._url,
                        autocommit=True,
                        application_name=f"vitalflow-{self.name}",
                        connect_timeout=CONNECT_TIMEOUT_S,
                    ) as connection,
                    deadline(connection, WORK_TIMEOUT_S),
                ):
                    self.work(connection)
            except psycopg.Error as error:
                reason = describe_connect_error(error, self._url)
                log.warning("could not %s, next attempt in %.0f s: %s", self._purpose, self._interval_s, reason)

    def work(self, connection: Connection) -> None:
        """Do it once; raises psycopg.Error."""
        raise NotImplementedError
