"""The table `device`: which of the words that a broker delivers about a device becomes its last one."""

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ingest.batch import Batch
from ingest.store import Store
from sql.files import named
from tests.support.servers import Db

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
OLD, NOW = 1000, 2000  # boots
MAX_EPOCH = 9


@dataclass(frozen=True)
class Word:
    """One message on a status topic, as ingest hands it to the database."""

    state: str
    boot: int = 0
    ward: str = "icu-1"
    retained: bool = False
    interval_s: float | None = None
    model: str | None = None
    dropped: int = 0
    writer: str = "ingest"
    epoch: int = 1


def birth(boot: int, ward: str = "icu-1", *, retained: bool = False) -> Word:
    return Word("online", boot, ward, retained, interval_s=1.0, model="Philips")


def will(boot: int, ward: str = "icu-1", *, retained: bool = False) -> Word:
    return Word("offline", boot, ward, retained)


def forgotten(ward: str = "icu-1") -> Word:
    return Word("forgotten", 0, ward)


def by(epoch: int, word: Word, writer: str = "ingest") -> Word:
    """The same word from an ingest of this start."""
    return replace(word, epoch=epoch, writer=writer)


def stored_status(db: Db, *words: Word, keep: bool = True) -> tuple[object, ...]:
    """State, boot and ward after these words, a minute apart, written by the role that ingest has."""
    with psycopg.connect(db.ingest_url) as connection:
        for minute, word in enumerate(words):
            fields = {
                "device_id": "bed-1",
                "ward": word.ward,
                "state": word.state,
                "boot": word.boot,
                "interval_s": word.interval_s,
                "model": word.model,
                "dropped": word.dropped,
                "changed_at": START + timedelta(minutes=minute),
                "retained": word.retained,
                "writer": word.writer,
                "epoch": word.epoch,
                "max_epoch": MAX_EPOCH,
            }
            connection.execute(named("ingest.sql")["device_status"], fields)
        (row,) = connection.execute("SELECT state, boot, ward FROM device").fetchall()
        if not keep:
            connection.rollback()
    return row


STATUSES = {
    "a first birth": ([birth(NOW)], ("online", NOW, "icu-1")),
    "a first word that is a will": ([will(NOW, retained=True)], ("offline", NOW, "icu-1")),
    "its own will": ([birth(NOW), will(NOW)], ("offline", NOW, "icu-1")),
    "connected again": ([birth(NOW), will(NOW), birth(NOW)], ("online", NOW, "icu-1")),
    "started again": ([birth(OLD), will(OLD), birth(NOW)], ("online", NOW, "icu-1")),
    "an old connection's late will": ([birth(OLD), birth(NOW), will(OLD)], ("online", NOW, "icu-1")),
    "an old birth that is retained": ([birth(NOW), birth(OLD, retained=True)], ("online", NOW, "icu-1")),
    "the broker knows better": ([birth(NOW), will(NOW), birth(NOW, retained=True)], ("online", NOW, "icu-1")),
    "moved to another ward": ([birth(OLD, "er"), birth(NOW, "icu-1")], ("online", NOW, "icu-1")),
    "moved, late will": ([birth(OLD, "er"), birth(NOW, "icu-1"), will(OLD, "er")], ("online", NOW, "icu-1")),
    "moved, and ingest subscribes again": (
        [birth(OLD, "er"), birth(NOW, "icu-1"), will(OLD, "er", retained=True), birth(NOW, retained=True)],
        ("online", NOW, "icu-1"),
    ),
    "moved, same boot": ([birth(NOW, "er"), birth(NOW, "icu-1"), will(NOW, "er")], ("online", NOW, "icu-1")),
    "forgotten": ([birth(NOW), forgotten()], ("forgotten", NOW, "icu-1")),
    "forgotten where it no longer is": ([birth(NOW), forgotten("er")], ("online", NOW, "icu-1")),
    "forgotten, and back": ([birth(NOW), forgotten(), birth(NOW)], ("online", NOW, "icu-1")),
    "clock set back": ([birth(NOW), birth(OLD)], ("online", OLD, "icu-1")),
    "clock set back, late will": ([birth(NOW), birth(OLD), will(NOW)], ("online", OLD, "icu-1")),
    "clock set back, own will": ([birth(NOW), birth(OLD), will(OLD)], ("offline", OLD, "icu-1")),
    "a device without a boot": ([birth(0), will(0)], ("offline", 0, "icu-1")),
}


def test_the_stored_status_follows_boots_and_wills(db: Db) -> None:
    found = {case: stored_status(db, *words, keep=False) for case, (words, _) in STATUSES.items()}
    assert found == {case: wanted for case, (_, wanted) in STATUSES.items()}


REPLACED = {
    "one that stood still has an older birth": ([by(2, will(NOW)), by(1, birth(NOW))], "offline"),
    "one that stood still has an older will": ([by(2, birth(NOW)), by(1, will(NOW))], "online"),
    "the one that took over": ([by(1, birth(NOW)), by(2, will(NOW))], "offline"),
    "an ingest of another name": ([by(2, birth(NOW)), by(1, will(NOW), "ingest-b")], "offline"),
    "after a clock far ahead": ([by(MAX_EPOCH + 1, birth(NOW)), by(1, will(NOW))], "offline"),
}


def test_a_replaced_ingest_overwrites_no_status(db: Db) -> None:
    found = {case: stored_status(db, *words, keep=False)[0] for case, (words, _) in REPLACED.items()}
    assert found == {case: wanted for case, (_, wanted) in REPLACED.items()}


def test_a_replaced_ingest_overwrites_no_clock(db: Db) -> None:
    """The device itself may have no status: that of any other device shows that the ingest is replaced."""
    frozen, active = Store(db.ingest_url, epoch=1), Store(db.ingest_url, epoch=2)
    with closing(frozen), closing(active):
        for store, ahead in ((frozen, 5), (active, 7), (frozen, 9)):
            store.write(Batch(clock_offsets={f"bed-{bed}": timedelta(minutes=-ahead) for bed in (2, 3)}))
            if store is active:
                stored_status(db, by(2, birth(NOW)))
    assert set(db.rows("SELECT clock_offset FROM device_clock")) == {(timedelta(minutes=-7),)}


def test_what_a_device_dropped_stays_known_until_it_starts_anew(db: Db) -> None:
    lossy = Word("online", NOW, dropped=7)
    for words, known in (([birth(NOW), lossy, will(NOW)], 7), ([birth(NOW + 1)], 0)):
        stored_status(db, *words)
        assert db.rows("SELECT dropped FROM device") == [(known,)]


def test_a_will_keeps_the_fields_of_the_birth(db: Db) -> None:
    stored_status(db, birth(NOW), will(NOW))
    assert db.rows("SELECT interval_s, model FROM device") == [(1.0, "Philips")]


@pytest.mark.parametrize("word", [birth(NOW), will(NOW)])
def test_a_repeated_status_is_no_change(db: Db, word: Word) -> None:
    # Every start of ingest receives all retained messages again; "offline since" must not begin anew.
    repeated = Word(word.state, word.boot, word.ward, True, word.interval_s, word.model)
    stored_status(db, word, repeated, repeated)
    assert db.one("SELECT changed_at FROM device") == START


def test_a_change_has_its_time(db: Db) -> None:
    stored_status(db, birth(NOW), will(NOW))
    assert db.one("SELECT changed_at FROM device") == START + timedelta(minutes=1)
    stored_status(db, birth(OLD), birth(OLD), birth(OLD, "er"))
    assert db.one("SELECT changed_at FROM device") == START + timedelta(minutes=2)
