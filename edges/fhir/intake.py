"""Take documents of FHIR into the inbox: the answer comes after the commit, and a repeat gets the first answer."""

import json
from datetime import datetime

from edges.config.site import Site, Source
from edges.fhir.answers import answer_invalid, answer_problem
from edges.fhir.incoming import Document, Outcome
from edges.fhir.incoming import Entry as DocumentEntry
from edges.fhir.receive import Received, receive
from edges.inbox.entry import Entry, entry_key, unused_of
from edges.inbox.inbox import Inbox
from edges.listener.http_body import HttpAnswer
from edges.observations.json_document import InvalidDocument
from edges.observations.observed import Reason
from edges.service.keeping import keep
from edges.service.metrics import Metrics
from vitals.errors import TransientError

_NAMES = {"identifier", "issued", "effectiveDateTime", "effectiveInstant", "effectivePeriod"}


class Intake:
    """What the HTTP application calls for each body."""

    def __init__(self, site: Site, inbox: Inbox, metrics: Metrics) -> None:
        self._site = site
        self._inbox = inbox
        self._metrics = metrics

    async def handle(self, body: bytes, source: Source, now: datetime, *, bundle: bool) -> HttpAnswer:
        """Return the answer to a body, after all of it is kept.

        bundle   whether the path is that of Bundles and NDJSON, and not that of an Observation
        """
        messages = self._metrics.messages
        try:
            received = receive(body, self._site, source, now)
            if bool(received.document.bundle) is not bundle:
                raise InvalidDocument(_WRONG_PATH[bundle], 422, "invalid")
        except InvalidDocument as error:
            messages.labels("unreadable").inc()
            return answer_invalid(error)
        readings = received.report.readings
        if source.unknown == "AE" and readings and not any(item.device for item in readings):
            messages.labels("error").inc()
            return answer_problem(503, "transient", readings[0].problem)
        answer = "rejected" if received.report.outcome is Outcome.REFUSED else "accepted"
        try:
            taken = await keep(
                self._inbox, self._metrics, entry_of(received, source, now), received.report.counts, answer
            )
        except TransientError as error:
            return answer_problem(503, "transient", str(error))
        status, content = taken.answers
        return HttpAnswer(int(status), content)


_WRONG_PATH = {
    True: "this path takes a Bundle or NDJSON; an Observation is sent to /fhir/R4/Observation",
    False: "this path takes one Observation; a Bundle or NDJSON is sent to /fhir/R4",
}


def entry_of(received: Received, source: Source, now: datetime) -> Entry:
    """Return what the inbox keeps of a document: also why it was refused."""
    report = received.report
    # Without it nothing distinguishes a document from the next measurement of the same values, at the time of receipt.
    is_named = source.clock != "receipt" or all(_NAMES & entry.resource.keys() for entry in _observations(received))
    return Entry(
        key=entry_key("fhir", source.name, _canonical(received.document)) if is_named else None,
        received=now,
        answers=[str(received.answer.status).encode(), received.answer.body],
        source=source.name,
        readings=report.readings,
        unused=[unused_of(verdict) for verdict in report.verdicts if verdict.reason is not Reason.USED],
        interval_s=source.interval_s,
    )


def _observations(received: Received) -> list[DocumentEntry]:
    return [entry for entry in received.document.entries if entry.resource.get("resourceType") == "Observation"]


def _canonical(document: Document) -> bytes:
    """Return what recognises a document: its entries, however they are written."""
    entries = [[entry.full_url, entry.refusal, entry.resource] for entry in document.entries]
    return json.dumps([document.bundle, entries], sort_keys=True, separators=(",", ":")).encode()
