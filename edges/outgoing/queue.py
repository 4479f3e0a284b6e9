"""Keep messages until their receiver has acknowledged them: the queue of one process, one SQLite file.

A message is in the file before the MQTT message that caused it is acknowledged, and is deleted by its acknowledgement.
A rejected one is set aside. What the receivers know of each alert is committed with the messages.
"""

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from edges.outgoing.alert_reports import KEEP_ENDED, Reported
from vitals.alert import Alert, decode_alert, encode_alert
from vitals.sqlite_file import Emit, Kind, close_file, open_file, open_to_read, transaction

MAX_REJECTED = 10_000
_BUSY_MS = 5000  # for `resend` of another process

_SCHEMA = """
CREATE TABLE message (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    queued REAL NOT NULL,                 -- unix seconds, as all times here
    receiver TEXT NOT NULL,
    series TEXT NOT NULL,
    id TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX message_by_receiver ON message (receiver, number);
CREATE TABLE rejected (
    number INTEGER PRIMARY KEY,           -- that of the message
    rejected REAL NOT NULL,
    code TEXT NOT NULL,                   -- MSA-1, or the status of HTTP
    reason TEXT NOT NULL,
    receiver TEXT NOT NULL,
    series TEXT NOT NULL,
    id TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE TABLE alert (                      -- the last report of each
    alert_id TEXT PRIMARY KEY,
    ended REAL,                           -- NULL: open for the receivers
    payload BLOB NOT NULL
) STRICT;
"""

QUEUE = Kind(
    name="a queue of messages",
    content="messages",
    application=0x56464851,  # "VFHQ"
    version=2,
    schema=_SCHEMA,
    copies=(
        ("SELECT * FROM message ORDER BY number {order}", "INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?, ?)"),
        (
            "SELECT * FROM rejected ORDER BY number {order}",
            "INSERT OR IGNORE INTO rejected VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ),
        ("SELECT * FROM alert ORDER BY alert_id {order}", "INSERT OR IGNORE INTO alert VALUES (?, ?, ?)"),
    ),
    count="SELECT count(*) FROM message",
    synchronous="FULL",
    readable=True,
)


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send.

    receiver   its name; empty in a queue with one receiver
    series     messages of one receiver and series are sent one after the other
    id         by which the receiver recognises a message that it receives twice; empty: the content states it
    """

    content: bytes
    receiver: str = ""
    series: str = ""
    id: str = ""


class Waiting(NamedTuple):
    """A message without an acknowledgement."""

    number: int
    queued: float
    message: Message


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that the receiver rejected."""

    number: int
    rejected: datetime
    code: str
    reason: str
    message: Message


class Queue:
    """The queue, for the threads of one process. Methods raise sqlite3.Error if the file cannot be used."""

    def __init__(self, path: Path, emit: Emit) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._database = open_file(QUEUE, path, emit)
        self._database.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        self._version = -1
        self._counts: Counter[str] = Counter()
        with self._lock:
            self._count_changed()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            close_file(self._database, self._path)

    def count(self, receiver: str = "") -> int:
        """Return how many messages wait for a receiver."""
        return self._counts[receiver]

    def counts(self) -> dict[str, int]:
        """Return how many messages wait, by receiver."""
        return {receiver: count for receiver, count in self._counts.copy().items() if count}

    def read_reported(self, now: datetime) -> list[Reported]:
        """Return the last report of each alert, without those that ended long ago, which are deleted."""
        with self._lock:
            limit = (now - KEEP_ENDED).timestamp()
            self._database.execute("DELETE FROM alert WHERE ended < ?", (limit,))
            rows = self._database.execute("SELECT payload, ended FROM alert").fetchall()
        return [
            Reported(decode_alert(payload), ended and datetime.fromtimestamp(ended, UTC)) for payload, ended in rows
        ]

    def read_open(self) -> list[Alert]:
        """Return the alerts that are open for the receivers."""
        with self._lock:
            rows = self._database.execute("SELECT payload FROM alert WHERE ended IS NULL").fetchall()
        return [decode_alert(payload) for (payload,) in rows]

    def put(self, messages: Sequence[Message], reported: Sequence[Reported], now: datetime) -> None:
        """Add messages in this order, and the reports of alerts, in one transaction."""
        with self._lock:
            execute = self._database.execute
            with transaction(self._database):
                for item in messages:
                    _insert(self._database, item, now)
                for report in reported:
                    ended = report.ended and report.ended.timestamp()
                    row = (str(report.alert.alert_id), ended, encode_alert(report.alert))
                    execute("INSERT OR REPLACE INTO alert VALUES (?, ?, ?)", row)
            self._counts.update(item.receiver for item in messages)

    def next(self, receiver: str = "", busy: Collection[str] = ()) -> Waiting | None:
        """Return the oldest message for a receiver that is of none of the series `busy`."""
        with self._lock:
            self._count_changed()
            query = (
                "SELECT number, queued, content, receiver, series, id FROM message WHERE receiver = ?"
                " AND series NOT IN (SELECT value FROM json_each(?)) ORDER BY number LIMIT 1"
            )
            row = self._database.execute(query, (receiver, json.dumps([*busy]))).fetchone()
        return row and Waiting(row[0], row[1], Message(*row[2:]))

    def delete(self, waiting: Waiting) -> None:
        """Delete a message that is acknowledged."""
        with self._lock:
            self._database.execute("DELETE FROM message WHERE number = ?", (waiting.number,))
            self._counts[waiting.message.receiver] -= 1

    def reject(self, waiting: Waiting, code: str, reason: str, now: datetime) -> None:
        """Set a rejected message aside; the newest MAX_REJECTED are kept."""
        with self._lock:
            execute = self._database.execute
            with transaction(self._database):
                execute(
                    "INSERT OR REPLACE INTO rejected SELECT number, ?, ?, ?, receiver, series, id, content"
                    " FROM message WHERE number = ?",
                    (now.timestamp(), code, reason, waiting.number),
                )
                execute("DELETE FROM message WHERE number = ?", (waiting.number,))
                execute(
                    "DELETE FROM rejected WHERE number IN (SELECT number FROM rejected ORDER BY number DESC"
                    " LIMIT -1 OFFSET ?)",
                    (MAX_REJECTED,),
                )
            self._counts[waiting.message.receiver] -= 1

    def _count_changed(self) -> None:
        """Count again what another process may have added."""
        version = self._database.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            rows = self._database.execute("SELECT receiver, count(*) FROM message GROUP BY receiver")
            self._version, self._counts = version, Counter(dict(rows.fetchall()))


def read_rejected(path: Path) -> list[Rejected]:
    """Return the rejected messages in a queue, oldest first, also while its process runs; raises PermanentError."""
    with closing(open_to_read(QUEUE, path)) as database:
        rows = database.execute(
            "SELECT number, rejected, code, reason, content, receiver, series, id FROM rejected ORDER BY number"
        ).fetchall()
    return [
        Rejected(number, datetime.fromtimestamp(at, UTC), code, reason, Message(*rest))
        for number, at, code, reason, *rest in rows
    ]


def resend(path: Path, numbers: Collection[int], now: datetime) -> int:
    """Queue rejected messages again, also while their process runs; return how many of the numbers there were.

    Raises PermanentError if the file is no queue, sqlite3.Error if it cannot be written.
    """
    open_to_read(QUEUE, path).close()
    found = 0
    with closing(sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = FULL")
        with transaction(database):
            for number in sorted(set(numbers)):
                query = "DELETE FROM rejected WHERE number = ? RETURNING content, receiver, series, id"
                row = database.execute(query, (number,)).fetchone()
                if row is not None:
                    _insert(database, Message(*row), now)
                    found += 1
    return found


def _insert(database: sqlite3.Connection, message: Message, now: datetime) -> None:
    row = (now.timestamp(), message.receiver, message.series, message.id, message.content)
    database.execute("INSERT INTO message (queued, receiver, series, id, content) VALUES (?, ?, ?, ?, ?)", row)
