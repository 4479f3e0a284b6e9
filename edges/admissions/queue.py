"""The events of admissions in the inbox, until the broker has what they change, and their order after that.

The inbox keeps an event in the transaction of its message (`queue`), so a message is acknowledged only with it. An
event that was applied stays for KEPT: one that arrives late must not move its patient back, and one that is sent again
in another message must not be applied twice.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from edges.admissions.admissions import AdmissionEvent, Effect
from edges.inbox.entry import Queued
from vitals.sqlite_file import transaction

KIND = "admission"
KEPT = timedelta(days=30)
UPDATE_KEPT = timedelta(minutes=1)  # an update orders nothing; see `reopen`
BUSY_TIMEOUT_S = 5.0

_decode = msgspec.json.Decoder(AdmissionEvent).decode


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """An event that is to be applied, and the time of the newest one before that stated where its patient is."""

    number: int
    event: AdmissionEvent
    last: datetime | None


def queue(events: Iterable[AdmissionEvent]) -> list[Queued]:
    """Return what an entry of the inbox queues."""
    return [Queued(KIND, msgspec.json.encode(event)) for event in events]


class AdmissionQueue:
    """The events in the order of their receipt, through a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA synchronous = FULL")
        self._lock = threading.Lock()  # of one call, from any thread

    def close(self) -> None:
        """Close the file, after the call that runs in another thread."""
        with self._lock:
            self._database.close()

    def head(self) -> QueuedEvent | None:
        """Return the oldest event that is not finished."""
        with self._lock:
            self._take()
            statement = "SELECT number, event, patient FROM admission WHERE effect IS NULL ORDER BY number LIMIT 1"
            row = self._database.execute(statement).fetchone()
            if row is None:
                return None
            number, content, patient = row
            statement = "SELECT max(time) FROM admission WHERE patient = ? AND effect IS NOT NULL AND effect <> ?"
            last = self._database.execute(statement, (patient, Effect.OLDER.value)).fetchone()[0]
        return QueuedEvent(number, _decode(content), None if last is None else datetime.fromtimestamp(last, UTC))

    def finish(self, queued: QueuedEvent, effect: Effect, now: datetime) -> None:
        """State that an event is applied, or will never be; forget what finished long ago."""
        with self._lock, transaction(self._database):
            statement = "UPDATE admission SET effect = ?, finished = ? WHERE number = ?"
            self._database.execute(statement, (effect.value, now.timestamp(), queued.number))
            statement = "DELETE FROM admission WHERE finished < ? OR (finished < ? AND patient IS NULL)"
            self._database.execute(statement, ((now - KEPT).timestamp(), (now - UPDATE_KEPT).timestamp()))

    def reopen(self, since: datetime) -> None:
        """Queue again what finished since then: a broker that was killed has forgotten what it had not saved.

        An event that is applied a second time changes nothing that is still retained.
        """
        statement = "UPDATE admission SET effect = NULL, finished = NULL WHERE finished >= ?"
        with self._lock:
            self._database.execute(statement, (since.timestamp(),))

    def waiting(self) -> int:
        """Return the number of events that are not finished."""
        queued = "SELECT count(*) FROM queued WHERE kind = ?"
        taken = "SELECT count(*) FROM admission WHERE effect IS NULL"
        with self._lock:
            found = [*self._database.execute(queued, (KIND,)), *self._database.execute(taken)]
        return sum(int(number) for (number,) in found)

    def _take(self) -> None:
        """Take over what the inbox has queued; an event that is known is dropped."""
        rows = self._database.execute("SELECT number, payload FROM queued WHERE kind = ? ORDER BY number", (KIND,))
        taken = rows.fetchall()
        if not taken:
            return
        with transaction(self._database):
            for number, content in taken:
                event = _decode(content)
                self._database.execute(
                    "INSERT OR IGNORE INTO admission (digest, patient, time, event) VALUES (?, ?, ?, ?)",
                    (hashlib.sha256(content).digest(), _subject(event), event.time.timestamp(), content),
                )
                self._database.execute("DELETE FROM queued WHERE number = ?", (number,))


def _subject(event: AdmissionEvent) -> str | None:
    """Return the patient whose place the event states: of a merge, the number that is not valid any more."""
    subject = event.patient_id if event.moves else event.former_patient_id
    return None if subject is None else subject.casefold()
