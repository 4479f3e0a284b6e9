"""Take the messages of a foreign broker into the inbox; each is acknowledged after it is kept.

A message that is acknowledged and delivered again, because the acknowledgement was lost, is stored once. MQTT marks it
(DUP) and gives it the same packet identifier. If its values have a time of their own, its content recognises it too.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count

from edges.config.mqtt_table import MqttSource
from edges.config.site import Site
from edges.inbox.entry import MAX_TEXT, Entry, Unused, entry_key, unused_of
from edges.inbox.inbox import Inbox
from edges.mqtt.receive import receive
from edges.mqtt.subscriber import Message
from edges.observations.json_document import InvalidDocument
from edges.observations.observed import Reason
from edges.service.keeping import keep
from edges.service.metrics import Metrics
from vitals.backoff import Backoff
from vitals.errors import TransientError
from vitals.log import Throttle

log = logging.getLogger("edges")

RETRY_S = (0.5, 10.0)  # first and maximum pause before a message that could not be kept is tried again
REMEMBERED = 2000  # messages of an earlier start whose repetition is recognised: more than can be unacknowledged


class Intake:
    """The messages of one source.

    handled   acknowledges a message at the broker
    """

    def __init__(
        self, site: Site, source: MqttSource, inbox: Inbox, metrics: Metrics, handled: Callable[[Message], None]
    ) -> None:
        self._site = site
        self._source = source
        self._inbox = inbox
        self._metrics = metrics
        self._handled = handled
        self._numbers = count()
        self._refused = Throttle()
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        # The last message of each packet identifier: a broker uses it again once it is acknowledged.
        self._last: dict[int, bytes] = {}
        prefix = source.name.encode()
        for name, identifier, digest in reversed(inbox.newest_answers(REMEMBERED, 3)):
            if name == prefix:
                self._last[int(identifier)] = digest

    async def handle(self, message: Message) -> None:
        """Keep a message, then acknowledge it; while that fails it is tried again."""
        digest = sha256(f"{message.topic}\0".encode("utf-8", "surrogatepass") + message.payload).digest()[:16]
        if message.identifier and message.repeated and self._last.get(message.identifier) == digest:
            if digest in self._waiting:
                await asyncio.wait([self._waiting[digest]])
            self._metrics.messages.labels("repeated").inc()
            self._handled(message)
            return
        if message.identifier:
            self._last[message.identifier] = digest
        kept = self._waiting[digest] = asyncio.get_running_loop().create_future()
        try:
            await self._keep(message, digest)
        finally:
            kept.cancel()
            if self._waiting.get(digest) is kept:
                del self._waiting[digest]
        self._handled(message)

    async def _keep(self, message: Message, digest: bytes) -> None:
        entry, counts, answer = self._read(message, digest, datetime.now(UTC))
        backoff = Backoff(*RETRY_S)
        while True:
            try:
                await keep(self._inbox, self._metrics, entry, counts, answer)
            except TransientError:  # the log and /healthz of the service state why
                await asyncio.sleep(backoff.next())
            else:
                return

    def _read(self, message: Message, digest: bytes, now: datetime) -> tuple[Entry, dict[str, int], str]:
        source = self._source
        answers = [source.name.encode(), str(message.identifier).encode(), digest]
        unique = f"{now.isoformat()} {time.monotonic_ns()} {next(self._numbers)}".encode()
        try:
            received = receive(message.topic, message.payload, source, self._site, now, retained=message.retained)
        except InvalidDocument as error:
            if self._refused.due(time.monotonic()):
                log.warning("%s: a message on %a cannot be read: %s", source.name, message.topic[:200], error)
            unreadable = Unused(message.topic[:MAX_TEXT], "", Reason.UNREADABLE, str(error)[:MAX_TEXT])
            key = entry_key("mqtt", source.name, unique)
            return Entry(key, now, answers, source.name, unused=[unreadable]), {}, "unreadable"
        content = unique if received.by_receipt else f"{message.topic}\0".encode() + message.payload
        entry = Entry(
            key=entry_key("mqtt", source.name, content),
            received=now,
            answers=answers,
            source=source.name,
            readings=received.readings,
            unused=[unused_of(verdict) for verdict in received.verdicts if verdict.reason is not Reason.USED],
            interval_s=source.interval_s,
            once=not received.by_receipt,
        )
        return entry, received.counts, "accepted"
