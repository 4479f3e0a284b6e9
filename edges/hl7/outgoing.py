"""Keep messages until the receiver has acknowledged them: the queue of one receiver, one SQLite file.

A message is in the file before the MQTT message that caused it is acknowledged, and is deleted by its acknowledgement.
A rejected one is set aside. What the receiver knows of each alert is committed with the messages.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from edges.hl7.alert_reports import KEEP_ENDED, Reported
from vitals.alert import decode_alert, encode_alert
from vitals.sqlite_file import Emit, Kind, close_file, open_file, open_to_read, transaction

MAX_REJECTED = 10_000

_SCHEMA = """
CREATE TABLE message (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    queued REAL NOT NULL,                 -- unix seconds, as all times here
    content BLOB NOT NULL
) STRICT;
CREATE TABLE rejected (
    number INTEGER PRIMARY KEY,           -- that of the message
    rejected REAL NOT NULL,
    code TEXT NOT NULL,                   -- MSA-1
    reason TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE TABLE alert (                      -- the last report of each
    alert_id TEXT PRIMARY KEY,
    ended REAL,                           -- NULL: open for the receiver
    payload BLOB NOT NULL
) STRICT;
"""

QUEUE = Kind(
    name="a queue of HL7 messages",
    content="messages",
    application=0x56464851,  # "VFHQ"
    version=1,
    schema=_SCHEMA,
    copies=(
        ("SELECT * FROM message ORDER BY number {order}", "INSERT OR IGNORE INTO message VALUES (?, ?, ?)"),
        ("SELECT * FROM rejected ORDER BY number {order}", "INSERT OR IGNORE INTO rejected VALUES (?, ?, ?, ?, ?)"),
        ("SELECT * FROM alert ORDER BY alert_id {order}", "INSERT OR IGNORE INTO alert VALUES (?, ?, ?)"),
    ),
    count="SELECT count(*) FROM message",
    synchronous="FULL",
    readable=True,
)


class Waiting(NamedTuple):
    """A message without an acknowledgement."""

    number: int
    queued: float
    content: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that the receiver rejected."""

    rejected: datetime
    code: str
    reason: str
    content: bytes


class Outgoing:
    """The queue, for the threads of one process. Methods raise sqlite3.Error if the file cannot be written."""

    def __init__(self, path: Path, emit: Emit) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._database = open_file(QUEUE, path, emit)
        self.count = int(self._database.execute("SELECT count(*) FROM message").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            close_file(self._database, self._path)

    def read_reported(self, now: datetime) -> list[Reported]:
        """Return the last report of each alert, without those that ended long ago, which are deleted."""
        with self._lock:
            limit = (now - KEEP_ENDED).timestamp()
            self._database.execute("DELETE FROM alert WHERE ended < ?", (limit,))
            rows = self._database.execute("SELECT payload, ended FROM alert").fetchall()
        return [
            Reported(decode_alert(payload), ended and datetime.fromtimestamp(ended, UTC)) for payload, ended in rows
        ]

    def put(self, messages: Sequence[bytes], reported: Sequence[Reported], now: datetime) -> None:
        """Add messages in this order, and the reports of alerts, in one transaction."""
        with self._lock:
            execute = self._database.execute
            with transaction(self._database):
                for content in messages:
                    execute("INSERT INTO message (queued, content) VALUES (?, ?)", (now.timestamp(), content))
                for item in reported:
                    ended = item.ended and item.ended.timestamp()
                    row = (str(item.alert.alert_id), ended, encode_alert(item.alert))
                    execute("INSERT OR REPLACE INTO alert VALUES (?, ?, ?)", row)
            self.count += len(messages)

    def first(self) -> Waiting | None:
        """Return the oldest message."""
        with self._lock:
            query = "SELECT number, queued, content FROM message ORDER BY number LIMIT 1"
            row = self._database.execute(query).fetchone()
        return row and Waiting(*row)

    def delete(self, number: int) -> None:
        """Delete a message that is acknowledged."""
        with self._lock:
            self._database.execute("DELETE FROM message WHERE number = ?", (number,))
            self.count -= 1

    def reject(self, number: int, code: str, reason: str, now: datetime) -> None:
        """Set a rejected message aside; the newest MAX_REJECTED are kept."""
        with self._lock:
            execute = self._database.execute
            with transaction(self._database):
                execute(
                    "INSERT OR REPLACE INTO rejected SELECT number, ?, ?, ?, content FROM message WHERE number = ?",
                    (now.timestamp(), code, reason, number),
                )
                execute("DELETE FROM message WHERE number = ?", (number,))
                execute(
                    "DELETE FROM rejected WHERE number IN (SELECT number FROM rejected ORDER BY number DESC"
                    " LIMIT -1 OFFSET ?)",
                    (MAX_REJECTED,),
                )
            self.count -= 1


def read_rejected(path: Path) -> list[Rejected]:
    """Return the rejected messages in a queue, oldest first, also while its process runs; raises PermanentError."""
    database = open_to_read(QUEUE, path)
    try:
        rows = database.execute("SELECT rejected, code, reason, content FROM rejected ORDER BY number").fetchall()
    finally:
        database.close()
    return [Rejected(datetime.fromtimestamp(at, UTC), *rest) for at, *rest in rows]
