"""Take the measurements of a port into the inbox. A device repeats nothing, so what cannot be kept yet waits here."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from edges.config.places import PlacedReading
from edges.config.serial_table import SerialPort
from edges.inbox.entry import Entry, Unused
from edges.inbox.inbox import Inbox
from edges.observations.observed import Reason
from edges.serial.measurement import Measurement
from edges.serial.placing import reading_of
from edges.service.metrics import Metrics
from vitals.errors import TransientError
from vitals.signs import BY_KEY

log = logging.getLogger("edges")

MAX_WAITING = 3600  # entries of a port while the inbox cannot be written: an hour
RETRY_S = 1.0


class Intake:
    """What is kept of one port.

    dropped   entries that were lost because the inbox could not be written for too long
    """

    def __init__(self, table: SerialPort, zone: ZoneInfo, inbox: Inbox, metrics: Metrics) -> None:
        self.dropped = 0
        self._table = table
        self._zone = zone
        self._inbox = inbox
        self._metrics = metrics
        self._waiting: deque[Entry] = deque()
        self._changed = asyncio.Event()
        self._stopping = False

    def put(self, measurements: Sequence[Measurement], received: datetime | None = None) -> None:
        """Keep measurements soon, in the order of the calls."""
        if not measurements:
            return
        self._waiting.append(entry_of(measurements, self._table, received or datetime.now(UTC), self._zone))
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            if not self.dropped:
                log.error("%s/%s: readings are lost, the inbox cannot be written", self._table.ward, self._table.device)
            self.dropped += 1
        self._changed.set()

    async def run(self) -> None:
        """Write what waits, until `stop` and nothing waits any more."""
        while self._waiting or not self._stopping:
            if not self._waiting:
                self._changed.clear()
                await self._changed.wait()
                continue
            entry = self._waiting[0]
            try:
                await self._inbox.take(entry)
            except TransientError:
                self._metrics.messages.labels("error").inc()
                if self._stopping:
                    log.error("%s/%s: %d readings are lost", self._table.ward, self._table.device, len(self._waiting))
                    return
                await asyncio.sleep(RETRY_S)
                continue
            if self._waiting and self._waiting[0] is entry:
                self._waiting.popleft()
            self._count(entry)

    def stop(self) -> None:
        """Let `run` return when nothing waits."""
        self._stopping = True
        self._changed.set()

    def _count(self, entry: Entry) -> None:
        self._metrics.messages.labels("accepted").inc()
        used = sum(value is not None for item in entry.readings for value in item.reading.values)
        if used:
            self._metrics.observations.labels(Reason.USED.value).inc(used)
        for one in entry.unused:
            self._metrics.observations.labels(one.reason).inc()


def entry_of(measurements: Sequence[Measurement], table: SerialPort, received: datetime, zone: ZoneInfo) -> Entry:
    """Return what the inbox keeps of measurements. It has no key: a device sends nothing twice."""
    readings = [reading_of(measurement, table, received, zone) for measurement in measurements]
    return Entry(
        key=None,
        received=received,
        answers=(),
        source=table.device,
        readings=[PlacedReading(item, table.ward, table.device) for item in readings if item is not None],
        unused=[unused for measurement in measurements for unused in _unused_of(measurement)],
        interval_s=table.interval_s,
    )


def _unused_of(measurement: Measurement) -> list[Unused]:
    rest = [Unused(sign, BY_KEY[sign].unit, Reason.NO_VALUE, "the sensor is off") for sign in measurement.sensor_off]
    for item in measurement.unmeasured:
        detail = item.detail if item.reason is Reason.NO_VALUE else ""  # the others may state the value
        rest.append(Unused(item.sign, BY_KEY[item.sign].unit, item.reason.value, detail))
    return rest
