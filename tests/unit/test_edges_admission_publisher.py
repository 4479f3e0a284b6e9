"""Another user assigns a patient while an event is applied: that exact moment is reached only without a broker."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from edges.admission_publisher import AdmissionPublisher
from edges.admission_queue import AdmissionQueue, queue
from edges.admissions import AdmissionEvent, Effect
from edges.inbox_file import INBOX
from vitals.assignment import Assignment, decode_assignment, encode_assignment
from vitals.limits import Limits
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
