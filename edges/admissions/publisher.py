"""Apply the queued events of admissions to what the broker retains: in order, each until it has come back.

The path of an admission: edges/hl7/adt.py -> queue.py -> here -> admissions.py -> the broker.
An event is finished only when each of its retained messages has come back. After a kill it is planned anew against
what the broker retains by then.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
from aiomqtt import MqttError

from edges.admissions.admissions import AdmissionEvent, Beds, Effect, Step, plan
from edges.admissions.queue import AdmissionQueue, QueuedEvent
from edges.service_connection import Publish
from vitals.assignment import Assignment, decode_assignment, encode_assignment
from vitals.limits import Limits, RequestRejected, decode_limits
from vitals.log import WaitLog
from vitals.topics import DeviceAddress, InvalidTopic, Topics

log = logging.getLogger("edges")

RETRY_S = 1.0  # seconds until the file is tried again
UNSAVED = timedelta(minutes=1)  # a broker that is killed loses less; the broker saves every 10 seconds
ECHO_TIMEOUT_S = 5.0  # seconds in which the broker delivers a retained message to its publisher


class AdmissionPublisher:
    """Applies the events of the queue.

    user   of the broker, which vouches for it in the audit record
    beds   what the broker retains
    """

    def __init__(
        self,
        queue: AdmissionQueue,
        topics: Topics,
        user: str,
        on_effect: Callable[[Effect], None] = lambda effect: None,
    ) -> None:
        self._queue = queue
        self._topics = topics
        self._user = user
        self._on_effect = on_effect
        self.beds = Beds()
        self._added = asyncio.Event()
        self._changed = asyncio.Event()
        self._wait_log = WaitLog("the file of the inbox", log.warning)
        self._in_flight: DeviceAddress | None = None
        self._meanwhile: list[Assignment] = []  # of the bed in flight, by others
        self._limits_meanwhile: list[Limits | None] = []

    @property
    def filters(self) -> tuple[str, ...]:
        """What it subscribes to."""
        return self._topics.assignments(), self._topics.limits()

    def notify(self) -> None:
        """Continue: events were added."""
        self._added.set()

    def begin(self) -> None:
        """Forget what was retained: it is sent again."""
        self.beds = Beds()

    def take(self, topic: str, payload: bytes) -> None:
        """Take a message on one of the `filters`. One that is malformed is ignored, as all services do."""
        try:
            kind, place = self._topics.parse(topic)
            content = decode_limits(payload) if kind == "limits" else decode_assignment(payload)
            if isinstance(content, Assignment) and content.is_overtaken(self.beds.assignments.get(place)):
                return  # the station publishes the later one again
            if content is not None:
                self.beds.apply(Step(place, content))
            elif kind == "limits":
                self.beds.limits.pop(place, None)
            else:
                self.beds.assignments.pop(place, None)
            if place == self._in_flight and isinstance(content, Assignment):
                self._meanwhile.append(content)
            if place == self._in_flight and kind == "limits":
                self._limits_meanwhile.append(content if isinstance(content, Limits) else None)
        except (InvalidTopic, RequestRejected) as error:
            log.warning("ignored the message on %s: %s", topic[:300], error)
        self._changed.set()

    async def work(self, publish: Publish) -> None:
        """Apply what is queued, for as long as the connection lasts; raises MqttError."""
        is_reopened = False
        while True:
            self._added.clear()
            try:
                if not is_reopened:
                    await asyncio.to_thread(self._queue.reopen, datetime.now(UTC) - UNSAVED)
                    is_reopened = True
                queued = await asyncio.to_thread(self._queue.head)
                if queued is not None:
                    effect = await self._apply(queued, publish)
                    await asyncio.to_thread(self._queue.finish, queued, effect, datetime.now(UTC))
                    self._on_effect(effect)
            except sqlite3.Error as error:  # such as a full disk; what is planned anew changes nothing more
                self._wait_log.waiting(str(error), time.monotonic())
                await asyncio.sleep(RETRY_S)
                continue
            self._wait_log.over()
            if queued is None:
                await self._added.wait()

    async def _apply(self, queued: QueuedEvent, publish: Publish) -> Effect:
        event = queued.event
        found = plan(event, self.beds, queued.last)
        limits: dict[DeviceAddress, Limits | None] = {**self.beds.limits}
        for place, record in found.records:
            topic = self._topics.admissions(place.ward, place.device, self._user)
            await publish(topic, msgspec.json.encode(record), False)
        for step in found.steps:
            changed = self.beds.limits.get(step.bed) != limits.get(step.bed)
            if changed or self._is_overtaken(step, event) or await self._publish_step(step, event.time, publish):
                return await self._apply(queued, publish)  # a user has done something since the plan
            if not isinstance(step.content, Assignment):
                limits[step.bed] = step.content
            log.info("%s/%s: %s by %s", step.bed.ward, step.bed.device, event.kind, event.by)
        if found.effect is Effect.REPLACED:
            log.warning("%s/%s had another patient, who is now in no bed", *_names(event.bed))
        return found.effect

    def _is_overtaken(self, step: Step, event: AdmissionEvent) -> bool:
        """Return whether another user has assigned a patient to the bed since the plan, and later than the event."""
        present = self.beds.assignments.get(step.bed)
        time = event.time if step.content is None else step.content.time
        return present is not None and present.time is not None and time is not None and present.time > time

    async def _publish_step(self, step: Step, time: datetime, publish: Publish) -> bool:
        """Publish until the message has come back. What another user published in between and is later holds.

        Returns whether the event, of this time, is to be planned anew: a user has set limits of the bed meanwhile.
        """
        if isinstance(step.content, Assignment):
            self._in_flight, self._meanwhile = step.bed, []
            try:
                topic = self._topics.assignments(step.bed.ward, step.bed.device)
                await self._publish_retained(topic, encode_assignment(step.content), publish, self._is_back(step))
                for other in self._meanwhile:
                    if other.time is not None and step.content.time is not None and other.time > step.content.time:
                        await publish(topic, encode_assignment(other), True)
            finally:
                self._in_flight = None
            return False
        topic = self._topics.limits(step.bed.ward, step.bed.device)
        payload = b"" if step.content is None else msgspec.json.encode(step.content)
        self._in_flight, self._limits_meanwhile = step.bed, []
        try:
            await self._publish_retained(topic, payload, publish, self._is_back(step))
        finally:
            self._in_flight = None
        at = self._limits_meanwhile.index(step.content)
        before = [other for other in self._limits_meanwhile[:at] if other and other.time and other.time > time]
        if before and self.beds.limits.get(step.bed) == step.content:  # ours came after it and ended it
            await publish(topic, msgspec.json.encode(before[-1]), True)
            self.beds.limits[step.bed] = before[-1]
            return True
        return self.beds.limits.get(step.bed) != step.content

    async def _publish_retained(
        self, topic: str, payload: bytes, publish: Publish, is_back: Callable[[], bool]
    ) -> None:
        await publish(topic, payload, True)
        try:
            async with asyncio.timeout(ECHO_TIMEOUT_S):
                while not is_back():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise MqttError("a retained message did not come back") from None

    def _is_back(self, step: Step) -> Callable[[], bool]:
        if isinstance(step.content, Assignment):
            return lambda: step.content in self._meanwhile
        return lambda: step.content in self._limits_meanwhile


def _names(place: DeviceAddress | None) -> tuple[str, str]:
    return ("", "") if place is None else (place.ward, place.device)
