"""Take HL7 messages into the inbox: bytes of a listener become an entry, and its answers come after the commit."""

from collections.abc import Sequence
from datetime import UTC, datetime

from edges.entry import Entry, entry_key, unused_of
from edges.hl7.acks import Error, Outcome, acknowledge
from edges.hl7.adt import AdmissionReport
from edges.hl7.er7 import InvalidMessage
from edges.hl7.listener import Peer
from edges.hl7.oru import Report
from edges.hl7.receive import Received, receive
from edges.inbox import Inbox
from edges.metrics import Metrics
from edges.observed import Reason
from edges.site import Site
from vitals.errors import TransientError


class Intake:
    """What a listener calls for each message."""

    def __init__(self, site: Site, inbox: Inbox, metrics: Metrics) -> None:
        self._site = site
        self._inbox = inbox
        self._metrics = metrics

    async def handle(self, content: bytes, peer: Peer) -> Sequence[bytes]:
        """Return the answers to a message, after all of it is kept; raises InvalidMessage."""
        now = datetime.now(UTC)
        messages = self._metrics.messages
        try:
            received = receive(content, self._site, now)
        except InvalidMessage:
            messages.labels("unreadable").inc()
            raise
        report = received.report
        if report.outcome is not Outcome.ACCEPT:
            messages.labels("rejected" if report.outcome is Outcome.REJECT else "error").inc()
            return received.answers
        refusal = self._refuse(report)
        if refusal is not None:
            messages.labels("rejected" if refusal[0] is Outcome.REJECT else "error").inc()
            return acknowledge(received.message, *refusal, now)
        try:
            taken = await self._inbox.take(entry_of(content, received, self._site, now))
        except TransientError as error:
            messages.labels("error").inc()
            return acknowledge(received.message, Outcome.ERROR, Error(207, str(error)), now)
        messages.labels("repeated" if taken.repeated else "accepted").inc()
        if not taken.repeated:
            for reason, count in report.counts.items():
                self._metrics.observations.labels(reason).inc(count)
        return taken.answers

    def _refuse(self, report: Report | AdmissionReport) -> tuple[Outcome, Error] | None:
        """Return how a message is refused that could be read, or None."""
        if isinstance(report, AdmissionReport):
            return Outcome.REJECT, Error(200, "admissions are not applied: send this listener ORU^R01 only")
        source = self._site.source_named(report.source)
        if source.unknown == "AE" and report.readings and not any(item.device for item in report.readings):
            return Outcome.ERROR, Error(204, report.readings[0].problem)
        return None


def entry_of(content: bytes, received: Received, site: Site, now: datetime) -> Entry:
    """Return what the inbox keeps of a message that is accepted."""
    report = received.report
    assert isinstance(report, Report)
    return Entry(
        key=entry_key("hl7", report.source, content),
        received=now,
        answers=received.answers,
        source=report.source,
        readings=report.readings,
        unused=[unused_of(verdict) for verdict in report.verdicts if verdict.reason is not Reason.USED],
        interval_s=site.source_named(report.source).interval_s,
    )
