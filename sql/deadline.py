"""Bound the wait for an answer of the database.

A frozen server keeps its TCP connections: its kernel acknowledges what is sent, so neither keepalives nor
`tcp_user_timeout` notice it, and `statement_timeout` is the server's own. libpq waits without a limit. Here one thread
shuts the socket of a connection whose answer is overdue; libpq then reports a lost connection.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg


class NoAnswer(psycopg.OperationalError):
    """The database did not answer in time; the connection is lost, and what became of its transaction is unknown."""


@dataclass(eq=False, slots=True)
class _Wait:
    connection: "psycopg.Connection[tuple[object, ...]]"
    ends: float  # monotonic
    expired: bool = False


@contextmanager
def deadline(connection: "psycopg.Connection[tuple[object, ...]]", seconds: float) -> Iterator[None]:
    """Allow the statements of the block this time in all; raises NoAnswer if an answer is not there by then."""
    wait = _Wait(connection, time.monotonic() + seconds)
    _WATCHER.add(wait)
    try:
        yield
    except psycopg.Error as error:
        if wait.expired:
            raise NoAnswer(f"the database did not answer within {seconds:g} s") from error
        raise
    finally:
        _WATCHER.discard(wait)


class _Watcher:
    """Shuts the socket of each wait that is overdue, from a thread that lives while there is a wait to watch."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waits: set[_Wait] = set()
        self._thread: threading.Thread | None = None
        self._looks_at = 0.0  # monotonic time at which the thread looks next

    def add(self, wait: _Wait) -> None:
        with self._changed:
            self._waits.add(wait)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="database-deadline", daemon=True)
                self._thread.start()
            elif wait.ends < self._looks_at:
                self._changed.notify()

    def discard(self, wait: _Wait) -> None:
        with self._changed:
            self._waits.discard(wait)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for wait in self._waits:
                    if wait.ends <= now and not wait.expired:
                        wait.expired = True
                        _shut(wait.connection)
                ends = [wait.ends for wait in self._waits if not wait.expired]
                # Without a wait it sleeps long: a wait costs no wake-up of this thread unless it is overdue.
                pause_s = min(ends) - now if ends else _IDLE_S
                self._looks_at = now + pause_s
                self._changed.wait(pause_s)


_IDLE_S = 3600.0
_WATCHER = _Watcher()


def _shut(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    """Shut a connection's socket. Closing it would release its number, which libpq still uses."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as copy:
        copy.shutdown(socket.SHUT_RDWR)
