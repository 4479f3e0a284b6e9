"""Keep what was received until it is in the database: the inbox of a process, one SQLite file.

A message is acknowledged after the transaction that holds its key, its answers, its readings with boot and seq, and
what was not used. One transaction serves all messages that wait, of all connections: a commit is synced to the disk,
which takes about a millisecond. A message with a known key gets the answers of the first and stores nothing.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import msgspec

from edges.config.places import Location, UnknownPlace, find_place
from edges.config.site import Site
from edges.inbox.entry import Entry, Unused
from edges.inbox.file import INBOX
from edges.observations.episodic import CONTINUOUS, KEPT, Episode, History, Measured
from vitals.codec import encode
from vitals.errors import PermanentError, TransientError
from vitals.reading import FullReading, Reading
from vitals.receipt import ranges
from vitals.signs import SIGN_KEYS
from vitals.sqlite_file import Emit, close_file, open_file, open_to_read, transaction

KEEP = timedelta(days=30)  # keys, and readings of unknown places: ingest takes no older readings by default
MAX_GROUP = 500  # messages in a transaction
MAX_UNUSED = 100_000  # kinds of observations
MAX_UNPLACED = 1_000_000  # readings, about 300 MB
FORGET_DELAY_S = 1.0  # readings that have their receipt are deleted with the next message, at the latest after this
RETRY_S = 1.0  # between two attempts to write after a failure, if no message comes
HOUSEKEEPING_S = 60.0
_CHUNK = 500  # rows of a housekeeping transaction

_decode_reading = msgspec.json.Decoder(FullReading).decode
_encode_answers = msgspec.msgpack.Encoder().encode
_decode_answers = msgspec.msgpack.Decoder(list[bytes]).decode
_encode_location = msgspec.msgpack.Encoder().encode
_decode_location = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Bed(NamedTuple):
    """A device in the inbox; `boot` is that of this start."""

    number: int
    ward: str
    device: str
    boot: int
    interval_s: float | None


class Taken(NamedTuple):
    """What the sender of a message gets; `repeated` if it was received before.

    again   number of its values that are stored already, of a message with `once`
    """

    answers: Sequence[bytes]
    repeated: bool
    again: int = 0


OnKept = Callable[[Bed, Reading], None]


@dataclass(slots=True)
class Counts:
    """Since the start of the process, but for `readings` and `unplaced`, which the file holds now."""

    readings: int = 0
    unplaced: int = 0
    unplaced_dropped: int = 0
    commits: int = 0
    failed_commits: int = 0


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    unplaced: list[tuple[float, bytes, bytes]]
    future: "asyncio.Future[Taken]"


@dataclass(slots=True)
class _Forget:
    number: int
    keys: list[tuple[int, int]]


@dataclass(slots=True)
class _Group:
    """What one transaction has done; applied to the state of the inbox after its commit."""

    beds: dict[tuple[str, str], Bed] = field(default_factory=dict)
    seqs: dict[int, int] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    readings: list[tuple[Bed, Reading]] = field(default_factory=list)
    unplaced: int = 0


class Inbox:
    """The inbox of one process. Raises PermanentError if its file cannot be used.

    boot        of the devices, unless an earlier start had a greater one
    on_kept     called in the event loop for each reading after its commit, in the order of seq
    on_commit   called in the writer's thread with the seconds that a commit took
    """

    def __init__(
        self, path: Path, boot: int, emit: Emit, on_commit: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self.path = path
        self.counts = Counts()
        self.problem = ""
        self.on_kept: OnKept = lambda bed, reading: None
        self._boot = boot
        self._emit = emit
        self._on_commit = on_commit
        self._queue: SimpleQueue[_Waiting | _Forget | None] = SimpleQueue()
        self._forgotten: list[_Forget] = []
        self._beds: dict[tuple[str, str], Bed] = {}
        self._seqs: dict[int, int] = {}
        self._database = open_file(INBOX, path, emit)
        self._database.execute("PRAGMA busy_timeout = 5000")  # admission_queue writes too, for milliseconds
        self._reader = open_to_read(INBOX, path)
        self._reader_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.counts.readings = self._count("reading")
        self.counts.unplaced = self._count("unplaced")

    # --- before the start ---

    def begin(self, site: Site, now: float) -> list[Bed]:
        """Give readings of unknown places the devices that the site names now; return the beds that have readings."""
        try:
            self._place(site, now)
            left = self._database.execute(
                "SELECT ward, device, interval_s FROM device"
                " WHERE EXISTS (SELECT 1 FROM reading WHERE reading.device = number) ORDER BY number"
            ).fetchall()
            group = _Group()
            with transaction(self._database):
                beds = [self._bed(group, *row) for row in left]
            self._apply(group)
        except sqlite3.Error as error:
            raise PermanentError(f"{self.path} cannot be used as an inbox: {error}") from None
        return beds

    def _place(self, site: Site, now: float) -> None:
        """Number the readings whose place the site names now, in the order of receipt."""
        execute = self._database.execute
        execute("DELETE FROM unplaced WHERE received < ?", [now - KEEP.total_seconds()])
        placed, last = 0, 0
        once = {webhook.name for webhook in site.webhook} | {source.name for source in site.mqtt}
        known: dict[bytes, Any] = {}
        history = self.history()
        while rows := execute(
            "SELECT number, received, location, interval_s, payload FROM unplaced WHERE number > ?"
            " ORDER BY number LIMIT ?",
            [last, _CHUNK],
        ).fetchall():
            group = _Group()
            with transaction(self._database):
                for number, received, location, interval_s, payload in rows:
                    if location not in known:
                        known[location] = _place_of(site, location)
                    place = known[location]
                    if place is not None:
                        reading: Reading | None = _decode_reading(payload)
                        if reading is not None and _decode_location(location)["source"] in once:
                            reading, _ = self._without_stored(place.device, reading, received)
                        elif reading is not None:
                            reading = self._without_repeats(history, place, reading)
                        if reading is not None:
                            bed = self._bed(group, place.ward, place.device, interval_s)
                            self._keep(group, bed, reading, received)
                        execute("DELETE FROM unplaced WHERE number = ?", [number])
                        placed += 1
                last = rows[-1][0]
            self._apply(group)
        if placed:
            self._emit(f"{placed} readings of places that were unknown before will be published")
        self.counts.unplaced = self._count("unplaced")

    # --- in the event loop ---

    def start(self) -> None:
        """Start the writer; call it in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="inbox")
        self._thread.start()

    async def close(self) -> None:
        """Write what waits, and close the file."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
        with self._reader_lock:
            self._reader.close()
        close_file(self._database, self.path)

    async def take(self, entry: Entry) -> Taken:
        """Keep a message; return after the commit. Messages are kept in the order of the calls.

        Raises TransientError if it cannot be kept: then nothing of it is kept.
        """
        unplaced = []
        for item in entry.readings:
            if item.device is None and item.location is not None:
                with suppress(UnicodeEncodeError):  # no site can name such a place
                    row = entry.received.timestamp(), _encode_location(item.location), encode(item.reading)
                    unplaced.append(row)
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._queue.put(_Waiting(entry, unplaced, future))
        return await future

    def forget(self, number: int, keys: Iterable[tuple[int, int]]) -> None:
        """Delete readings of a device that have their receipt, soon."""
        self._queue.put(_Forget(number, list(keys)))

    def readings_after(self, number: int, boot: int, seq: int, limit: int) -> list[Reading]:
        """Return the next readings of a device after a boot and seq; raises TransientError."""
        rows = self._read(
            "SELECT payload FROM reading WHERE device = ? AND (boot, seq) > (?, ?) ORDER BY boot, seq LIMIT ?",
            number,
            boot,
            seq,
            limit,
        )
        return [_decode_reading(payload) for (payload,) in rows]

    def oldest(self) -> float | None:
        """Return when the oldest reading was received that has no receipt, in unix seconds; None without one."""
        rows = self._read(
            "SELECT (SELECT received FROM reading WHERE reading.device = number ORDER BY boot, seq LIMIT 1) FROM device"
        )
        return min((received for (received,) in rows if received is not None), default=None)

    def history(self) -> History:
        """Return what the devices measured before; raises TransientError."""
        episodes = (
            Episode(ward, device, sign, datetime.fromisoformat(at) if at else None, value)
            for ward, device, sign, at, value in self._read(
                "SELECT ward, device, sign, time, value FROM episode ORDER BY number"
            )
        )
        measured = self._read("SELECT ward, device, sign, patient FROM measured")
        return History(episodes, (Measured(*row) for row in measured))

    def newest_answers(self, number: int, parts: int) -> list[list[bytes]]:
        """Return the answers of the newest messages that have so many parts, the newest first."""
        rows = self._read("SELECT answers FROM message ORDER BY number DESC LIMIT ?", number)
        found = [_decode_answers(answers) for (answers,) in rows]
        return [answers for answers in found if len(answers) == parts]

    def _read(self, statement: str, *parameters: object) -> list[Any]:
        try:
            with self._reader_lock:
                return self._reader.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise TransientError(f"{self.path} cannot be read: {error}") from None

    # --- in the thread of the writer ---

    def _run(self) -> None:
        housekeeping_at = time.monotonic()
        while True:
            waiting, stop = self._next_group()
            self._write(waiting)
            if time.monotonic() >= housekeeping_at and not stop:
                housekeeping_at = time.monotonic() + HOUSEKEEPING_S
                with suppress(sqlite3.Error):
                    self._keep_house(time.time())
            if stop:
                return

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        """Wait for messages; return all that wait, or none when something else is to be written."""
        waiting: list[_Waiting] = []
        timeout = RETRY_S if self.problem else FORGET_DELAY_S if self._forgotten else HOUSEKEEPING_S
        deadline = time.monotonic() + timeout
        while len(waiting) < MAX_GROUP:
            try:
                item = self._queue.get(timeout=max(0.0, deadline - time.monotonic()) if not waiting else 0.0)
            except Empty:
                return waiting, False
            if item is None:
                return waiting, True
            if isinstance(item, _Waiting):
                waiting.append(item)
            else:
                self._forgotten.append(item)
                deadline = min(deadline, time.monotonic() + FORGET_DELAY_S)
        return waiting, False

    def _write(self, waiting: Sequence[_Waiting]) -> None:
        """Write messages and delete what is confirmed, in one transaction."""
        if not waiting and not self._forgotten and not self.problem:
            return
        began = time.perf_counter()
        group = _Group()
        deleted = 0
        try:
            with transaction(self._database):
                if self.problem:
                    self._database.execute(
                        f"PRAGMA user_version = {INBOX.version}"
                    )  # a write, whether or not one waits
                unused: dict[tuple[str, str, str, str], tuple[str, int, float]] = {}
                for item in waiting:
                    self._take(group, item, unused)
                self._count_unused(unused)
                for forgotten in self._forgotten:
                    deleted += self._delete(forgotten)
        except Exception as error:
            if not isinstance(error, sqlite3.OperationalError) and len(waiting) > 1:
                for item in waiting:  # it may be one message that cannot be kept
                    self._write([item])
                return
            self.counts.failed_commits += 1
            if isinstance(error, sqlite3.DatabaseError):
                if not self.problem:
                    self._emit(f"{self.path} cannot be written: {error}; messages are not accepted meanwhile")
                self.problem = f"the inbox cannot be written: {error}"
            self._call_loop(_fail, waiting, f"the inbox cannot be written: {error}")
            return
        if self.problem:
            self._emit(f"{self.path} can be written")
        self.problem = ""
        self._forgotten.clear()
        self._apply(group)
        self.counts.readings += len(group.readings) - deleted
        self.counts.unplaced += group.unplaced
        self.counts.commits += 1
        self._on_commit(time.perf_counter() - began)
        self._call_loop(self._finish, waiting, group)

    def _take(self, group: _Group, item: _Waiting, unused: dict[Any, Any]) -> None:
        entry = item.entry
        received = entry.received.timestamp()
        execute = self._database.execute
        is_new = (
            entry.key is None
            or execute(
                "INSERT INTO message (key, received, answers) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING",
                [entry.key, received, _encode_answers(entry.answers)],
            ).rowcount
        )
        if not is_new:
            (answers,) = execute("SELECT answers FROM message WHERE key = ?", [entry.key]).fetchone()
            group.taken.append(Taken(_decode_answers(answers), True))
            return
        again = 0
        for placed in entry.readings:
            if placed.ward is not None and placed.device is not None:
                reading: Reading | None = placed.reading
                if entry.once:
                    reading, count = self._without_stored(placed.device, placed.reading, received)
                    again += count
                if reading is not None:
                    bed = self._bed(group, placed.ward, placed.device, entry.interval_s)
                    group.readings.append((bed, self._keep(group, bed, reading, received)))
        for at, location, payload in item.unplaced:
            execute(
                "INSERT INTO unplaced (received, location, interval_s, payload) VALUES (?, ?, ?, ?)",
                [at, location, entry.interval_s, payload],
            )
            group.unplaced += 1
        for queued in entry.queued:
            execute("INSERT INTO queued (kind, payload) VALUES (?, ?)", [queued.kind, queued.payload])
        self._remember(entry.episodes, entry.measured)
        for one in entry.unused:
            _add(unused, entry.source, one, received)
        group.taken.append(Taken(entry.answers, False, again))

    def _without_repeats(self, history: History, place: Any, reading: Reading) -> Reading | None:
        """Return a reading without the pressures and temperatures that its monitor repeated; None if none is left."""
        episodes = [
            Episode(place.ward, place.device, sign, reading.time, value)
            for sign in SIGN_KEYS
            if sign not in CONTINUOUS and (value := reading.value(sign)) is not None
        ]
        again = [item.sign for item in episodes if item in history]
        history.add(episodes)
        self._remember(episodes, ())
        left = msgspec.structs.replace(reading, **dict.fromkeys(again)) if again else reading
        is_empty = not left.sensor_off and all(left.value(sign) is None for sign in SIGN_KEYS)
        return None if is_empty else left

    def _remember(self, episodes: Iterable[Episode], measured: Iterable[Measured]) -> None:
        """Keep what `history` returns after a restart; the newest of each sign has the greatest number."""
        execute = self._database.execute
        for ward, device, sign, at, value in episodes:
            key = [ward, device, sign]
            execute(
                "INSERT OR REPLACE INTO episode (ward, device, sign, time, value) VALUES (?, ?, ?, ?, ?)",
                [*key, at.isoformat() if at else "", value],
            )
            execute(
                "DELETE FROM episode WHERE number IN (SELECT number FROM episode"
                " WHERE ward = ? AND device = ? AND sign = ? ORDER BY number DESC LIMIT -1 OFFSET ?)",
                [*key, KEPT],
            )
        for item in measured:
            execute("INSERT OR REPLACE INTO measured (ward, device, sign, patient) VALUES (?, ?, ?, ?)", item)

    def _without_stored(self, device: str, reading: Reading, received: float) -> tuple[Reading | None, int]:
        """Return what of a reading is not stored yet, None if nothing is new; and the number of values that are.

        A value that differs from the stored one of its time is new: both are in the record, as a correction is.
        """
        values = [sign for sign, value in zip(SIGN_KEYS, reading.values, strict=True) if value is not None]
        again = [sign for sign in values if self._is_stored(device, reading, sign, received)]
        off = [sign for sign in reading.sensor_off if not self._is_stored(device, reading, f"off {sign}", received)]
        if len(again) == len(values) and not off:
            return None, len(again)
        return msgspec.structs.replace(reading, **dict.fromkeys(again)), len(again)

    def _is_stored(self, device: str, reading: Reading, what: str, received: float) -> bool:
        """Return whether a value was stored before; it is now."""
        value = None if what.startswith("off ") else reading.value(what)
        content = device, reading.patient_id or "", reading.time.astimezone(UTC).isoformat(), what, value
        key = sha256(repr(content).encode("utf-8", "surrogateescape")).digest()[:16]
        statement = "INSERT INTO stored (key, received) VALUES (?, ?) ON CONFLICT (key) DO NOTHING"
        return not self._database.execute(statement, [key, received]).rowcount

    def _bed(self, group: _Group, ward: str, device: str, interval_s: float | None) -> Bed:
        """Return the bed of this start; its first reading gives it a boot that no earlier start had."""
        name = ward, device
        bed = self._beds.get(name) or group.beds.get(name)
        if bed is None:
            execute = self._database.execute
            (last,) = execute("SELECT max(boot) FROM device WHERE device = ?", [device]).fetchone()
            boot = self._boot if last is None else max(self._boot, last + 1)
            (number,) = execute(
                "INSERT INTO device (ward, device, boot, interval_s) VALUES (?, ?, ?, ?) ON CONFLICT (ward, device)"
                " DO UPDATE SET boot = excluded.boot, interval_s = excluded.interval_s RETURNING number",
                [ward, device, boot, interval_s],
            ).fetchone()
            bed = group.beds[name] = Bed(number, ward, device, boot, interval_s)
        return bed

    def _keep(self, group: _Group, bed: Bed, reading: Reading, received: float) -> Reading:
        seq = group.seqs.get(bed.number, self._seqs.get(bed.number, 0)) + 1
        group.seqs[bed.number] = seq
        numbered: Reading = msgspec.structs.replace(reading, boot=bed.boot, seq=seq)
        self._database.execute(
            "INSERT INTO reading (device, boot, seq, received, payload) VALUES (?, ?, ?, ?, ?)",
            [bed.number, bed.boot, seq, received, encode(numbered)],
        )
        return numbered

    def _apply(self, group: _Group) -> None:
        self._beds |= group.beds
        self._seqs |= group.seqs

    def _count_unused(self, unused: dict[tuple[str, str, str, str], tuple[str, int, float]]) -> None:
        self._database.executemany(
            "INSERT INTO unused (source, code, unit, reason, detail, count, first, last)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT (source, code, unit, reason)"
            " DO UPDATE SET detail = excluded.detail, count = count + excluded.count, last = excluded.last",
            [(*key, *value) for key, value in unused.items()],
        )

    def _delete(self, forgotten: _Forget) -> int:
        return sum(
            self._database.execute(
                "DELETE FROM reading WHERE device = ? AND boot = ? AND seq BETWEEN ? AND ?",
                [forgotten.number, boot, first, last],
            ).rowcount
            for boot in {boot for boot, _ in forgotten.keys}
            for first, last in ranges(seq for other, seq in forgotten.keys if other == boot)
        )

    def _keep_house(self, now: float) -> None:
        """Delete keys that are too old, and what exceeds the limits."""
        execute = self._database.execute
        expired = now - KEEP.total_seconds()
        for table in ("message", "unplaced", "stored"):
            for _ in range(20):
                found = execute(_EXPIRED[table], [_CHUNK, expired]).rowcount
                if found < _CHUNK:
                    break
        dropped = execute(
            "DELETE FROM unplaced WHERE number <= (SELECT max(number) FROM unplaced) - ?", [MAX_UNPLACED]
        ).rowcount
        self.counts.unplaced_dropped += dropped
        if dropped:
            self._emit(f"{dropped} readings of unknown places were dropped: there are more than {MAX_UNPLACED}")
        self.counts.unplaced = self._count("unplaced")
        excess = execute("SELECT count(*) FROM unused").fetchone()[0] - MAX_UNUSED
        if excess > 0:
            execute(
                "DELETE FROM unused WHERE (source, code, unit, reason) IN"
                " (SELECT source, code, unit, reason FROM unused ORDER BY last LIMIT ?)",
                [excess],
            )

    def _finish(self, waiting: Sequence[_Waiting], group: _Group) -> None:
        """Pass the readings on and answer; runs in the event loop."""
        for bed, reading in group.readings:
            self.on_kept(bed, reading)
        for item, taken in zip(waiting, group.taken, strict=True):
            if not item.future.done():
                item.future.set_result(taken)

    def _call_loop(self, function: Callable[..., None], *arguments: object) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nothing waits any more
                self._loop.call_soon_threadsafe(function, *arguments)

    def _count(self, table: str) -> int:
        return int(self._database.execute(_COUNTS[table]).fetchone()[0])


_COUNTS = {"reading": "SELECT count(*) FROM reading", "unplaced": "SELECT count(*) FROM unplaced"}
_EXPIRED = {  # the oldest rows have the smallest numbers, so no index of times is needed
    "message": (
        "DELETE FROM message WHERE number IN"
        " (SELECT number FROM (SELECT number, received FROM message ORDER BY number LIMIT ?) WHERE received < ?)"
    ),
    "unplaced": (
        "DELETE FROM unplaced WHERE number IN"
        " (SELECT number FROM (SELECT number, received FROM unplaced ORDER BY number LIMIT ?) WHERE received < ?)"
    ),
    "stored": (
        "DELETE FROM stored WHERE number IN"
        " (SELECT number FROM (SELECT number, received FROM stored ORDER BY number LIMIT ?) WHERE received < ?)"
    ),
}


def _fail(waiting: Sequence[_Waiting], problem: str) -> None:
    for item in waiting:
        if not item.future.done():
            item.future.set_exception(TransientError(problem))


def _add(counted: dict[Any, Any], source: str, one: Unused, at: float) -> None:
    key = source, one.code, one.unit, one.reason
    before = counted.get(key, ("", 0, at))
    counted[key] = one.detail, before[1] + 1, at


def _place_of(site: Site, location: bytes) -> Any:
    fields = _decode_location(location)
    with suppress(UnknownPlace):
        return find_place(site, Location(**fields | {"equipment": frozenset(fields["equipment"])}))
    return None


def read_unused(path: Path) -> list[dict[str, Any]]:
    """Return what was not used, the most frequent first, while the process of the inbox runs or not.

    Raises PermanentError if the file is no inbox.
    """
    with closing(open_to_read(INBOX, path)) as database:
        try:
            rows = database.execute(
                "SELECT source, code, unit, reason, detail, count, first, last FROM unused"
                " ORDER BY count DESC, source, code, unit, reason"
            ).fetchall()
        except sqlite3.Error as error:
            raise PermanentError(f"{path} cannot be read: {error}") from None
    names = ("source", "code", "unit", "reason", "detail", "count", "first", "last")
    return [dict(zip(names, row, strict=True)) for row in rows]
