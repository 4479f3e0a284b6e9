"""Take HL7 messages into the inbox: bytes of a listener become an entry, and its answers come after the commit."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from edges.admissions.queue import queue
from edges.config.site import Site
from edges.hl7.acks import Error, Outcome, acknowledge, acknowledge_unread
from edges.hl7.adt import AdmissionReason, AdmissionReport
from edges.hl7.er7 import InvalidMessage, split_batch
from edges.hl7.listener import Peer
from edges.hl7.oru import Report
from edges.hl7.receive import Received, receive
from edges.inbox.entry import MAX_TEXT, Entry, Unused, entry_key, unused_of
from edges.inbox.inbox import Inbox
from edges.observations.episodic import NONE, History
from edges.observations.observed import Reason
from edges.service.keeping import keep
from edges.service.metrics import Metrics
from vitals.errors import TransientError


class Intake:
    """What a listener calls for each message."""

    def __init__(self, site: Site, inbox: Inbox, metrics: Metrics, on_admission: Callable[[], None]) -> None:
        self._site = site
        self._inbox = inbox
        self._metrics = metrics
        self._on_admission = on_admission
        self._known = inbox.history()

    async def handle(self, content: bytes, peer: Peer) -> Sequence[bytes]:
        """Return the answers to a message, or to each of a batch, after it is kept; raises InvalidMessage."""
        try:
            messages = split_batch(content)
            if len(messages) == 1:
                return await self._handle(content)
        except InvalidMessage:
            self._metrics.messages.labels("unreadable").inc()
            raise
        answers: list[bytes] = []
        for message in messages:
            try:
                answers += await self._handle(message)
            except InvalidMessage as error:
                self._metrics.messages.labels("unreadable").inc()
                fault = Error(error.code, str(error))
                answers += acknowledge_unread(message, Outcome.REJECT, fault, datetime.now(UTC))
        return answers

    async def _handle(self, content: bytes) -> Sequence[bytes]:
        now = datetime.now(UTC)
        messages = self._metrics.messages
        received = receive(content, self._site, now, self._known)
        report = received.report
        if report.outcome is not Outcome.ACCEPT:
            messages.labels("rejected" if report.outcome is Outcome.REJECT else "error").inc()
            return received.answers
        if isinstance(report, Report) and (problem := self._find_problem(report)):
            messages.labels("error").inc()
            return acknowledge(received.message, Outcome.ERROR, Error(204, problem), now)
        entry = entry_of(content, received, self._site, now, self._known)
        counts = report.counts if isinstance(report, Report) else {}
        try:
            taken = await keep(self._inbox, self._metrics, entry, counts, "accepted")
        except TransientError as error:
            return acknowledge(received.message, Outcome.ERROR, Error(207, str(error)), now)
        if isinstance(report, Report):
            # only now: what was not kept is no repeat when it is sent again
            self._known.add(report.episodes, report.measured)
        elif not taken.repeated:
            self._count_admissions(report)
        return taken.answers

    def _count_admissions(self, report: AdmissionReport) -> None:
        for reason, count in report.counts.items():
            if reason != AdmissionReason.USED:  # what an event did is counted when it is applied
                self._metrics.admissions.labels(reason).inc(count)
        if report.events:
            self._on_admission()

    def _find_problem(self, report: Report) -> str:
        """Return why a message that could be read is refused; empty: it is not."""
        source = self._site.source_named(report.source)
        if source.unknown == "AE" and report.readings and not any(item.device for item in report.readings):
            return report.readings[0].problem
        return ""


def entry_of(content: bytes, received: Received, site: Site, now: datetime, known: History = NONE) -> Entry:
    """Return what the inbox keeps of a message that is accepted; `known` is what it has of those before."""
    report = received.report
    key: bytes | None = entry_key("hl7", report.source, content)
    if isinstance(report, AdmissionReport):
        unused = [
            Unused(f"ADT^{verdict.name}", "", verdict.reason.value, verdict.detail[:MAX_TEXT])
            for verdict in report.verdicts
            if verdict.reason is not AdmissionReason.USED
        ]
        return Entry(key, now, received.answers, report.source, unused=unused, queued=queue(report.events))
    if site.source_named(report.source).clock == "receipt" and not received.message.header.text(7):
        key = None  # nothing in it distinguishes it from the next measurement of the same values
    episodes, measured = known.changed(report.episodes, report.measured)
    return Entry(
        key=key,
        received=now,
        answers=received.answers,
        source=report.source,
        readings=report.readings,
        unused=[unused_of(verdict) for verdict in report.verdicts if verdict.reason is not Reason.USED],
        interval_s=site.source_named(report.source).interval_s,
        episodes=episodes,
        measured=measured,
    )
