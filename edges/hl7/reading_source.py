"""Make PCD-01 reports of the readings that devices publish: at an interval, the newest value of each sign."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from edges.config.site import Site
from edges.hl7.pcd01 import Measured, measured_signs, write_observations
from edges.hl7.write import APPLICATION, find_origin
from edges.outgoing.exporter import Batch
from edges.outgoing.queue import Message
from vitals.codec import TimeWindow, decode
from vitals.topics import DeviceAddress, InvalidTopic, Topics

MAX_QUEUED = 100_000  # messages; about 100 MB
_MAX_AGE = timedelta(days=30)


class ReadingSource:
    """Readings of one ward, or of all if `ward` is None.

    boot      unix seconds of the start, part of the control ids
    queued    returns how many messages wait
    skipped   called for each report that is not queued because MAX_QUEUED wait
    """

    def __init__(
        self,
        topics: Topics,
        site: Site,
        ward: str | None,
        interval: timedelta,
        boot: int,
        queued: Callable[[], int],
        skipped: Callable[[], None],
    ) -> None:
        self._topics = topics
        self._site = site
        self._ward = ward or "+"
        self._interval = interval
        self._boot = boot
        self._queued = queued
        self._skipped = skipped
        self._number = 0
        self._due: datetime | None = None
        self._last: dict[tuple[DeviceAddress, str], datetime] = {}  # newest time of each sign that was reported
        self._newest: dict[tuple[DeviceAddress, str | None], dict[str, Measured]] = {}

    @property
    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Topic filters with their QoS: a reading that is lost here is replaced by the next one."""
        return [(self._topics.vitals(self._ward, "+"), 0)]

    def connected(self, now: datetime) -> None:
        """Do nothing: readings are not retained."""

    def take(self, topic: str, payload: bytes, now: datetime, batch: Batch, *, retained: bool) -> None:
        """Keep the newest value of each sign; raises ValueError for a message that cannot be read."""
        try:
            _, bed = self._topics.parse(topic)
        except InvalidTopic as error:
            raise ValueError(str(error)) from None
        window = TimeWindow.at(now, _MAX_AGE)
        decoded = decode(payload, window, self._topics.time_of_arrival(bed, now, retained=retained))
        for reading in decoded.readings:
            newest = self._newest.setdefault((bed, reading.patient_id), {})
            for measured in measured_signs(reading):
                key = measured.sign.key
                before = newest.get(key)
                last = self._last.get((bed, key))
                if (before is None or measured.time > before.time) and (last is None or measured.time > last):
                    newest[key] = measured
        problem = decoded.rejection()
        if problem is not None:
            raise ValueError(problem.detail)

    def tick(self, now: datetime, batch: Batch) -> None:
        """Add to the batch a report of each bed and patient with new values, at each interval."""
        if self._due is None:
            self._due = now + self._interval
        if now < self._due:
            return
        self._due = max(self._due + self._interval, now)
        newest, self._newest = self._newest, {}
        for (bed, patient), by_sign in newest.items():
            if not by_sign:
                continue
            if self._queued() + len(batch.messages) >= MAX_QUEUED:
                self._skipped()
                continue
            self._number += 1
            measured = sorted(by_sign.values(), key=lambda item: (item.time, item.sign.mdc))
            for item in measured:
                self._last[bed, item.sign.key] = item.time
            origin = find_origin(self._site, APPLICATION, bed.ward, bed.device)
            control_id = f"{self._boot}-{self._number}"
            content = write_observations(measured, patient, measured[-1].time, origin, control_id, now)
            batch.messages.append(Message(content))
