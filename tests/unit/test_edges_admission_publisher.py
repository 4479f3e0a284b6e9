"""Another user assigns a patient while an event is applied: that exact moment is reached only without a broker."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from edges.admissions.admissions import AdmissionEvent, Effect
from edges.admissions.publisher import AdmissionPublisher
from edges.admissions.queue import AdmissionQueue, queue
from edges.inbox.file import INBOX
from vitals.assignment import Assignment, decode_assignment, encode_assignment
from vitals.limits import Limits, decode_limits
from vitals.sqlite_file import close_file, open_file
from vitals.topics import DeviceAddress, Topics

TIME = datetime(2026, 11, 29, 9, tzinfo=UTC)
BED = DeviceAddress("icu-1", "bed-1")
TOPICS = Topics()
ASSIGNMENT, LIMITS = TOPICS.assignments(BED.ward, BED.device), TOPICS.limits(BED.ward, BED.device)
FORMER = Assignment(patient_id="p-0", by="ada", time=TIME - timedelta(minutes=1))
LATER = Assignment(patient_id="p-1", by="ada", time=TIME + timedelta(minutes=1))


@pytest.mark.parametrize("published", [1, 2])
def test_a_later_assignment_that_arrives_between_two_messages_of_an_event_stays(tmp_path: Path, published: int) -> None:
    """The messages are the audit record, the removal of the former patient's limits, and the assignment."""
    path = tmp_path / "inbox"
    close_file(open_file(INBOX, path, print), path)
    event = AdmissionEvent(kind="admit", time=TIME, by="hl7:his", patient_id="77", bed=BED)
    [queued] = queue([event])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO queued (kind, payload) VALUES (?, ?)", (queued.kind, queued.payload))
    effects: list[Effect] = []
    retained = {ASSIGNMENT: encode_assignment(FORMER)}
    count = 0

    async def run() -> None:
        finished = asyncio.Event()

        def on_effect(effect: Effect) -> None:
            effects.append(effect)
            finished.set()

        async def publish(topic: str, payload: bytes, retain: bool) -> None:
            nonlocal count
            count += 1
            if retain:
                retained[topic] = payload
                publisher.take(topic, payload)
            if count == published:
                retained[ASSIGNMENT] = encode_assignment(LATER)
                publisher.take(ASSIGNMENT, retained[ASSIGNMENT])

        with closing(AdmissionQueue(path)) as opened:
            publisher = AdmissionPublisher(opened, TOPICS, "edges", on_effect)
            publisher.take(ASSIGNMENT, retained[ASSIGNMENT])
            publisher.take(LIMITS, msgspec.json.encode(Limits(by="ada", limits={"spo2-low": 88.0}, patient_id="p-0")))
            working = asyncio.create_task(publisher.work(publish))
            async with asyncio.timeout(30):
                await finished.wait()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    asyncio.run(run())
    assert decode_assignment(retained[ASSIGNMENT]) == LATER
    assert effects == [Effect.OLDER]


FORMER_BED = DeviceAddress("icu-1", "bed-0")
SET_BY_USER = Limits(by="ada", limits={"spo2-low": 85.0}, patient_id="77", time=TIME + timedelta(minutes=1))


@pytest.mark.parametrize("bed", [BED, FORMER_BED])
@pytest.mark.parametrize("before_ours", [True, False])
@pytest.mark.parametrize("published", range(1, 6))
def test_limits_that_a_user_sets_between_two_messages_of_a_transfer_hold_in_the_new_bed(
    tmp_path: Path, bed: DeviceAddress, before_ours: bool, published: int
) -> None:
    """The messages are the audit record, limits and assignment of the new bed, and the removal of the former ones."""
    path = tmp_path / "inbox"
    close_file(open_file(INBOX, path, print), path)
    event = AdmissionEvent(kind="transfer", time=TIME, by="hl7:his", patient_id="77", bed=BED, former_bed=FORMER_BED)
    [queued] = queue([event])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO queued (kind, payload) VALUES (?, ?)", (queued.kind, queued.payload))
    assigned = Assignment(patient_id="77", by="ada", time=TIME - timedelta(minutes=1))
    limits = Limits(by="ada", limits={"spo2-low": 88.0}, patient_id="77", time=TIME - timedelta(minutes=1))
    retained = {
        TOPICS.assignments(FORMER_BED.ward, FORMER_BED.device): encode_assignment(assigned),
        TOPICS.limits(FORMER_BED.ward, FORMER_BED.device): msgspec.json.encode(limits),
    }
    count = 0

    async def run() -> None:
        finished = asyncio.Event()

        async def publish(topic: str, payload: bytes, retain: bool) -> None:
            nonlocal count
            count += 1
            messages = [(topic, payload)] if retain else []
            if count == published:
                by_user = TOPICS.limits(bed.ward, bed.device), msgspec.json.encode(SET_BY_USER)
                messages.insert(0 if before_ours else len(messages), by_user)
            for each, content in messages:
                retained[each] = content
                publisher.take(each, content)

        with closing(AdmissionQueue(path)) as opened:
            publisher = AdmissionPublisher(opened, TOPICS, "edges", lambda effect: finished.set())
            for topic, payload in retained.items():
                publisher.take(topic, payload)
            working = asyncio.create_task(publisher.work(publish))
            async with asyncio.timeout(30):
                await finished.wait()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    asyncio.run(run())
    of_new_bed = decode_assignment(retained[ASSIGNMENT])
    assert of_new_bed is not None
    assert of_new_bed.patient_id == "77"
    if bed == FORMER_BED and published >= 5:  # the bed is discharged by then: they are those of a vacant bed
        return
    found = decode_limits(retained[LIMITS])
    assert found is not None
    assert found.limits == SET_BY_USER.limits
