"""The inbox of the edges: each message is kept once, with its answers, and a group of messages in one transaction."""

import asyncio
import os
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edges.config.places import Location, PlacedReading
from edges.config.site import Site
from edges.inbox import inbox as module
from edges.inbox.entry import Entry, Queued, Unused, entry_key
from edges.inbox.inbox import Bed, Inbox, read_unused
from edges.observations.episodic import Episode, Measured
from vitals.errors import PermanentError, TransientError
from vitals.reading import Reading, reading

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
SITE = Site.model_validate({"zone": "UTC"})


def placed(heart_rate: float, device: str = "bed-1") -> PlacedReading:
    return PlacedReading(reading(AT, {"heart_rate": heart_rate}), "icu-1", device)


def entry(content: str, *readings: PlacedReading, received: datetime | None = None, answer: str = "") -> Entry:
    at = received or datetime.now(UTC)
    answers = [(answer or f"answer to {content}").encode()]
    return Entry(entry_key("hl7", "", content.encode()), at, answers, readings=readings)


class Opened:
    """An inbox, and what it passed on and emitted."""

    def __init__(self, path: Path, boot: int, site: Site) -> None:
        self.kept: list[tuple[Bed, Reading]] = []
        self.emitted: list[str] = []
        self.inbox = Inbox(path, boot, self.emitted.append)
        self.left = self.inbox.begin(site, time.time())
        self.inbox.on_kept = lambda bed, one: self.kept.append((bed, one))

    @property
    def numbers(self) -> list[tuple[str, int, int]]:
        return [(bed.device, one.boot, one.seq) for bed, one in self.kept]

    async def take(self, *entries: Entry) -> list[tuple[Sequence[bytes], bool]]:
        return [(taken.answers, taken.repeated) for taken in await asyncio.gather(*map(self.inbox.take, entries))]


@asynccontextmanager
async def opened(path: Path, boot: int = 1000, site: Site = SITE) -> AsyncIterator[Opened]:
    found = Opened(path, boot, site)
    found.inbox.start()
    try:
        yield found
    finally:
        await found.inbox.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.db"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_a_message_is_kept_with_numbered_readings_and_a_repeat_gets_the_first_answer(path: Path) -> None:
    async def check() -> None:
        async with opened(path) as found:
            first = entry("one", placed(70), placed(71), answer="first")
            assert await found.take(first) == [([b"first"], False)]
            again = entry("one", placed(70), placed(71), answer="second")
            assert await found.take(again, again) == [([b"first"], True)] * 2
            assert found.numbers == [("bed-1", 1000, 1), ("bed-1", 1000, 2)]
            assert found.inbox.counts.readings == 2
        async with opened(path, boot=2000) as found:
            assert await found.take(again) == [([b"first"], True)]
            assert found.numbers == []

    asyncio.run(check())


def test_messages_that_wait_together_are_one_transaction_and_keep_their_order(path: Path) -> None:
    async def check() -> None:
        async with opened(path) as found:
            await found.take(*(entry(f"{number}", placed(60 + number)) for number in range(50)))
            assert [one.value("heart_rate") for _, one in found.kept] == [60 + number for number in range(50)]
            assert [one.seq for _, one in found.kept] == list(range(1, 51))
            assert found.inbox.counts.commits < 10

    asyncio.run(check())


def test_a_repeat_within_one_group_is_stored_once(path: Path) -> None:
    async def check() -> None:
        async with opened(path) as found:
            results = await found.take(entry("one", placed(70), answer="a"), entry("one", placed(70), answer="b"))
            assert results == [([b"a"], False), ([b"a"], True)]
            assert len(found.kept) == 1

    asyncio.run(check())


def test_a_message_without_a_key_is_kept_each_time_and_leaves_no_key(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as found:
            one = Entry(None, datetime.now(UTC), (), readings=[placed(70)])
            assert await found.take(one, one) == [((), False)] * 2
            assert found.numbers == [("bed-1", 1000, 1), ("bed-1", 1000, 2)]

    asyncio.run(run())
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM message").fetchone() == (0,)


def test_what_an_earlier_start_left_keeps_its_number_and_the_new_boot_is_greater(path: Path) -> None:
    async def check() -> None:
        async with opened(path, boot=1000) as found:
            await found.take(entry("one", placed(70)), entry("two", placed(80, "bed-2")))
            [(first, _), (second, _)] = found.kept
            found.inbox.forget(second.number, [(1000, 1)])
        async with opened(path, boot=500) as found:  # the clock was set back
            [bed] = found.left
            assert (bed.device, bed.boot) == ("bed-1", 1001)
            [left] = found.inbox.readings_after(bed.number, 0, 0, 10)
            assert (left.boot, left.seq, left.value("heart_rate")) == (1000, 1, 70)
            await found.take(entry("three", placed(71)), entry("four", placed(81, "bed-2")))
            assert found.numbers == [("bed-1", 1001, 1), ("bed-2", 1001, 1)]
            assert [one.boot for one in found.inbox.readings_after(first.number, 0, 0, 10)] == [1000, 1001]

    asyncio.run(check())


def test_confirmed_readings_are_deleted(path: Path) -> None:
    async def check() -> None:
        async with opened(path) as found:
            await found.take(*(entry(f"{number}", placed(60)) for number in range(5)))
            [bed] = {bed for bed, _ in found.kept}
            assert found.inbox.oldest() is not None
            found.inbox.forget(bed.number, [(1000, seq) for seq in (1, 2, 3, 5)])
            await until(lambda: found.inbox.counts.readings == 1)
            assert [one.seq for one in found.inbox.readings_after(bed.number, 1000, 0, 10)] == [4]
            found.inbox.forget(bed.number, [(1000, 4)])
            await until(lambda: found.inbox.oldest() is None)

    asyncio.run(check())


def test_a_full_disk_refuses_all_waiting_messages_keeps_nothing_of_them_and_recovers(path: Path) -> None:
    async def check() -> None:
        async with opened(path) as found:
            await found.take(entry("one", placed(70)))
            database = found.inbox._database
            pages = database.execute("PRAGMA page_count").fetchone()[0]
            database.execute(f"PRAGMA max_page_count = {pages}")
            big = [entry(f"big {number}", placed(70), answer="x" * 20_000) for number in range(20)]
            results = await asyncio.gather(*map(found.inbox.take, big), return_exceptions=True)
            assert all(isinstance(result, TransientError) for result in results), results
            assert found.inbox.problem == "the inbox cannot be written: database or disk is full"
            assert len(found.kept) == 1
            database.execute("PRAGMA max_page_count = 100000")
            await until(lambda: not found.inbox.problem)
            assert [repeated for _, repeated in await found.take(*big)] == [False] * 20
            assert [one.seq for _, one in found.kept] == list(range(1, 22)), "no seq is skipped or used twice"
            assert [line.partition(": ")[0] for line in found.emitted] == [
                f"{path} cannot be written",
                f"{path} can be written",
            ]

    asyncio.run(check())


def test_one_message_that_cannot_be_kept_does_not_take_others_with_it(path: Path) -> None:
    async def check() -> None:
        async with opened(path) as found:
            bad = Entry(entry_key("hl7", "", b"bad"), AT, [], queued=[Queued("\udc80", b"")])
            results = await asyncio.gather(
                *map(found.inbox.take, [entry("one", placed(70)), bad, entry("two", placed(71))]),
                return_exceptions=True,
            )
            assert [isinstance(result, TransientError) for result in results] == [False, True, False]
            assert [one.seq for _, one in found.kept] == [1, 2]

    asyncio.run(check())


def test_readings_of_an_unknown_place_are_published_once_the_site_names_it(path: Path) -> None:
    unknown = PlacedReading(
        reading(AT, {"spo2": 80}), None, None, "no place", Location(unit="ICU", equipment=frozenset({"A1"}))
    )
    elsewhere = PlacedReading(reading(AT, {"spo2": 81}), None, None, "no place", Location(unit="\udc80"))
    unclear = PlacedReading(reading(AT, {"spo2": 82}), None, None, "several places fit")
    old = datetime.now(UTC) - timedelta(days=31)
    named = Site.model_validate({"zone": "UTC", "place": [{"equipment": "A1", "ward": "icu-1", "device": "bed-9"}]})

    async def check() -> None:
        async with opened(path) as found:
            await found.take(entry("one", unknown), entry("two", unknown, received=old))
            await found.take(entry("three", elsewhere), entry("four", unclear))
            assert found.kept == []
        async with opened(path) as found:
            assert (found.left, found.inbox.counts.unplaced) == ([], 1), "the old one is deleted"
        async with opened(path, site=named) as found:
            [bed] = found.left
            [one] = found.inbox.readings_after(bed.number, 0, 0, 10)
            assert (bed.device, one.value("spo2"), one.seq, found.inbox.counts.unplaced) == ("bed-9", 80, 1, 0)
            await found.take(entry("five", placed(70, "bed-9")))
            assert found.numbers[-1] == ("bed-9", bed.boot, 2)

    asyncio.run(check())


def test_a_cuff_value_that_was_repeated_at_an_unknown_place_is_published_once(path: Path) -> None:
    location = Location(equipment=frozenset({"A1"}))
    named = Site.model_validate({"zone": "UTC", "place": [{"equipment": "A1", "ward": "icu-1", "device": "bed-9"}]})
    cuff = PlacedReading(reading(AT, {"systolic_bp": 120}), None, None, "no place", location)
    moments = [
        PlacedReading(reading(AT + timedelta(seconds=n), {"heart_rate": 70}), None, None, "no place", location)
        for n in range(3)
    ]

    async def check() -> None:
        async with opened(path) as found:
            for number, moment in enumerate(moments):
                await found.take(entry(f"{number}", cuff, moment))
        async with opened(path, site=named) as found:
            [bed] = found.left
            kept = found.inbox.readings_after(bed.number, 0, 0, 10)
            assert [one.value("systolic_bp") for one in kept] == [120, None, None, None]
            assert [one.value("heart_rate") for one in kept] == [None, 70, 70, 70]
            assert Episode("icu-1", "bed-9", "systolic_bp", AT, 120.0) in found.inbox.history()

    asyncio.run(check())


def test_what_was_not_used_is_counted_by_code_and_readable_while_the_service_runs(path: Path) -> None:
    async def check() -> None:
        async with opened(path) as found:
            unmapped = Unused("1234^FOO^MDC", "mmHg", "unmapped", "")
            for number in range(3):
                one = entry(f"{number}")
                await found.take(Entry(one.key, one.received, [], "monitors", unused=[unmapped, unmapped]))
            other = Entry(entry_key("hl7", "", b"x"), AT, [], "monitors", unused=[Unused("1", "", "no_value", "")])
            await found.take(other)
            first, second = await asyncio.to_thread(read_unused, path)
            assert (first["code"], first["unit"], first["reason"], first["count"]) == (
                "1234^FOO^MDC",
                "mmHg",
                "unmapped",
                6,
            )
            assert (second["reason"], second["count"], second["last"]) == ("no_value", 1, AT.timestamp())

    asyncio.run(check())


def test_no_other_user_of_the_machine_can_read_the_inbox(path: Path) -> None:
    mask = os.umask(0o022)
    try:
        inbox = Inbox(path, 1, print)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob(f"{path.name}*")}
        asyncio.run(inbox.close())
    finally:
        os.umask(mask)
    assert f"{path.name}-wal" in modes
    assert set(modes.values()) == {0o600}


def test_what_a_device_measured_is_known_after_a_restart(path: Path) -> None:
    line = [Episode("icu-1", "bed-1", "systolic_bp", AT + timedelta(seconds=n), 110.0) for n in range(20)]
    cuff = Episode("icu-1", "bed-1", "systolic_bp", AT - timedelta(minutes=9), 120.0)
    without_time = Episode("icu-1", "bed-1", "temperature", None, 36.6)
    sign = Measured("icu-1", "bed-1", "spo2", "77")

    async def run() -> None:
        async with opened(path) as found:
            known = found.inbox.history()
            for number, item in enumerate(line):  # the monitor repeats its cuff value beside each new one of the line
                episodes = [cuff, item, without_time]
                changed = known.changed(episodes, [sign])
                kept = replace(entry(f"{number}"), episodes=changed[0], measured=changed[1])
                await found.take(kept)
                known.add(episodes, [sign])
        async with opened(path, boot=2000) as found:
            known = found.inbox.history()
        assert [item in known for item in (cuff, without_time, line[-1])] == [True, True, True]
        assert [item in known for item in (line[0], cuff._replace(value=121.0))] == [False, False]
        assert known.had_value(sign)
        assert not known.had_value(sign._replace(patient="78"))
        assert not known.had_value(sign._replace(sign="heart_rate"))

    asyncio.run(run())


def test_keys_are_forgotten_after_thirty_days(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOUSEKEEPING_S", 0.0)

    async def check() -> None:
        async with opened(path) as found:
            old = datetime.now(UTC) - timedelta(days=31)
            await found.take(*(entry(f"old {number}", received=old) for number in range(1200)))
            await found.take(entry("new"))

            def keys() -> int:
                with closing(sqlite3.connect(path)) as database:
                    return int(database.execute("SELECT count(*) FROM message").fetchone()[0])

            await until(lambda: keys() == 1)

    asyncio.run(check())


def test_an_inbox_serves_one_process_and_no_other_kind_of_file_is_taken_for_one(path: Path, tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(path):
            with pytest.raises(PermanentError, match="is in use by another process"):
                Inbox(path, 1, print)
        async with opened(path):
            pass

    asyncio.run(check())
    with pytest.raises(PermanentError, match="cannot be read as an inbox"):
        read_unused(tmp_path / "none.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE accounts (balance INTEGER)")
    with pytest.raises(PermanentError, match="is not an inbox"):
        read_unused(tmp_path / "other.db")
    with pytest.raises(PermanentError, match="another program"):
        Inbox(tmp_path / "other.db", 1, print)
