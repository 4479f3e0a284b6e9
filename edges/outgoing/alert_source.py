"""Report the alerts that the alert worker publishes."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from edges.outgoing.alert_reports import AlertReports, Phase, Report, Reported
from edges.outgoing.exporter import Batch
from edges.outgoing.queue import Message
from mqtt.service_status import decode_service_status
from vitals.alert import decode_alert
from vitals.topics import STACK_WARD, InvalidTopic, Topics

_FORGET_EVERY = timedelta(hours=1)


Write = Callable[[Report, datetime], Iterable[Message]]
"""Returns the messages of a report, for each receiver."""


class AlertSource:
    """Alerts of one ward and of the stack, or of all wards if `ward` is None."""

    def __init__(self, topics: Topics, ward: str | None, reported: Sequence[Reported], write: Write) -> None:
        self._topics = topics
        self._write = write
        self._wards = ["+"] if ward is None else [ward, STACK_WARD]
        self._reports = AlertReports(reported)
        self._forget_at: datetime | None = None

    @property
    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Topic filters with their QoS. Retained alerts are received at each connection."""
        return [*((self._topics.alerts(ward), 1) for ward in self._wards), (self._topics.service("+"), 0)]

    def connected(self, now: datetime) -> None:
        """Take note of a new connection."""
        self._reports.connected(now)

    def take(self, topic: str, payload: bytes, now: datetime, batch: Batch, *, retained: bool) -> None:
        """Add to the batch what a message becomes; raises ValueError for one that cannot be read."""
        services = self._topics.service("")
        if topic.startswith(services):
            status = decode_service_status(payload)
            if status is not None:
                self._reports.take_status(topic.removeprefix(services), status, now, retained=retained)
            return
        try:
            _, bed, rule = self._topics.parse_rule(topic)
        except InvalidTopic as error:
            raise ValueError(str(error)) from None
        if not payload:
            self._reports.deleted(bed.ward, bed.device, rule, now)
            return
        alert = decode_alert(payload)
        if (alert.ward, alert.device_id, alert.rule) != (bed.ward, bed.device, rule):
            raise ValueError("topic and content name different alerts")
        report = self._reports.take(alert, now, retained=retained)
        if report is not None:
            self._add(report, now, batch)

    def tick(self, now: datetime, batch: Batch) -> None:
        """Add to the batch the ends of alerts that the broker no longer has."""
        for report in self._reports.find_absent(now):
            self._add(report, now, batch)
        if self._forget_at is None or now >= self._forget_at:
            self._forget_at = now + _FORGET_EVERY
            self._reports.forget_ended(now)

    def _add(self, report: Report, now: datetime, batch: Batch) -> None:
        batch.messages.extend(self._write(report, now))
        batch.reported.append(Reported(report.alert, now if report.phase is Phase.END else None))
