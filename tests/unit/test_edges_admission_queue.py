"""The queue of admissions: in order, each once, across a new start, with what is known of events that are finished."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edges.admissions.admissions import AdmissionEvent, Effect
from edges.admissions.queue import KEPT, AdmissionQueue, queue
from edges.inbox.file import INBOX
from vitals.sqlite_file import close_file, open_file
from vitals.topics import DeviceAddress

NOW = datetime(2026, 11, 29, 9, 0, 0, 123456, tzinfo=UTC)
BED = DeviceAddress("icu-1", "bed-1")


def event(minute: int = 0, patient: str = "p-1", kind: Any = "admit", **more: Any) -> AdmissionEvent:
    time = NOW + timedelta(minutes=minute)
    return AdmissionEvent(kind=kind, time=time, by="hl7:his", patient_id=patient, bed=BED, **more)


@pytest.fixture
def queue_file(tmp_path: Path) -> Path:
    path = tmp_path / "inbox"
    close_file(open_file(INBOX, path, print), path)
    return path


@pytest.fixture
def admission_queue(queue_file: Path) -> Iterator[AdmissionQueue]:
    with closing(AdmissionQueue(queue_file)) as opened:
        yield opened


def put(path: Path, *events: AdmissionEvent) -> None:
    """Keep events as the inbox does."""
    with closing(sqlite3.connect(path)) as database, database:
        rows = [(queued.kind, queued.payload) for queued in queue(events)]
        database.executemany("INSERT INTO queued (kind, payload) VALUES (?, ?)", rows)


def finish_head(queue: AdmissionQueue, effect: Effect = Effect.APPLIED, now: datetime = NOW) -> AdmissionEvent:
    queued = queue.head()
    assert queued is not None
    queue.finish(queued, effect, now)
    return queued.event


def test_events_come_back_in_the_order_of_their_receipt_after_a_new_start(queue_file: Path) -> None:
    first, second = event(5), event(0, "p-2")
    put(queue_file, first, second)
    with closing(AdmissionQueue(queue_file)) as opened:
        assert opened.waiting() == 2
        assert finish_head(opened) == first
    with closing(AdmissionQueue(queue_file)) as opened:
        assert finish_head(opened) == second
        assert (opened.head(), opened.waiting()) == (None, 0)


def test_an_event_that_another_message_repeats_is_not_queued_again(
    queue_file: Path, admission_queue: AdmissionQueue
) -> None:
    put(queue_file, event(), event())
    finish_head(admission_queue)
    assert admission_queue.head() is None
    put(queue_file, event())
    assert admission_queue.head() is None
    put(queue_file, event(1))
    finish_head(admission_queue, now=NOW + KEPT + timedelta(seconds=1))
    put(queue_file, event())
    assert finish_head(admission_queue) == event(), "it was forgotten"


def test_the_newest_event_of_the_patient_is_known_also_by_the_number_before_a_merge(
    queue_file: Path, admission_queue: AdmissionQueue
) -> None:
    put(queue_file, event(2), event(9), event(5, "p-9", "merge", former_patient_id="P-1"), event(3, "p-1", "transfer"))
    finish_head(admission_queue)
    finish_head(admission_queue, Effect.OLDER)
    merge = admission_queue.head()
    assert merge is not None
    assert merge.last == NOW + timedelta(minutes=2)
    finish_head(admission_queue)
    late = admission_queue.head()
    assert late is not None
    assert late.last == NOW + timedelta(minutes=5)


def test_an_update_orders_nothing_and_is_forgotten_soon(queue_file: Path, admission_queue: AdmissionQueue) -> None:
    put(queue_file, event(5, kind="update"), event(0))
    finish_head(admission_queue)
    queued = admission_queue.head()
    assert queued is not None
    assert queued.last is None
    finish_head(admission_queue, now=NOW + timedelta(minutes=2))
    put(queue_file, event(5, kind="update"), event(0))
    assert finish_head(admission_queue).kind == "update"
    assert admission_queue.head() is None


def test_what_finished_since_a_time_is_queued_again(queue_file: Path, admission_queue: AdmissionQueue) -> None:
    put(queue_file, event(0), event(1), event(2, kind="update"))
    finish_head(admission_queue)
    later = NOW + timedelta(seconds=30)
    kept = [finish_head(admission_queue, now=later), finish_head(admission_queue, now=later)]
    admission_queue.reopen(NOW + timedelta(seconds=10))
    assert [finish_head(admission_queue, now=later), finish_head(admission_queue, now=later)] == kept
    assert admission_queue.head() is None
