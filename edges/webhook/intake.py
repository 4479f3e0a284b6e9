"""Take documents of webhooks into the inbox: the answer comes after the commit, and a repeat gets the first answer."""

from collections.abc import Sequence
from datetime import datetime
from itertools import count

from edges.config.site import Site
from edges.config.webhook_table import Webhook
from edges.inbox.entry import Entry, entry_key, unused_of
from edges.inbox.inbox import Inbox
from edges.listener.http_body import HttpAnswer
from edges.observations.json_document import InvalidDocument
from edges.observations.observed import Reason
from edges.service.keeping import keep
from edges.service.metrics import Metrics
from edges.webhook.receive import Answered, receive, write_error
from edges.webhook.signatures import HttpRequest, check_signed, check_stated
from vitals.errors import TransientError


class Intake:
    """What the HTTP application calls for each request."""

    def __init__(self, site: Site, inbox: Inbox, metrics: Metrics) -> None:
        self._site = site
        self._inbox = inbox
        self._metrics = metrics
        self._numbers = count()

    async def handle(
        self, webhook: Webhook, secrets: Sequence[bytes], request: HttpRequest, now: datetime
    ) -> HttpAnswer:
        """Return the answer to a request, after all of it is kept; raises Unproven."""
        check_stated(webhook, secrets, request)
        identifier = check_signed(webhook, secrets, request, now)
        try:
            received = receive(request.body, webhook, self._site, now)
        except InvalidDocument as error:
            self._metrics.messages.labels("unreadable").inc()
            return HttpAnswer(error.status, write_error(str(error)))
        entry = entry_of(received, webhook, request.body, identifier, now, next(self._numbers))
        try:
            taken = await keep(self._inbox, self._metrics, entry, received.counts, "accepted")
        except TransientError as error:
            return HttpAnswer(503, write_error(str(error)))
        status, body = taken.answers
        return HttpAnswer(int(status), body)


def entry_of(received: Answered, webhook: Webhook, body: bytes, identifier: str, now: datetime, number: int) -> Entry:
    """Return what the inbox keeps of a document.

    identifier   of the sender, by which it recognises the document; empty: it is recognised by its content
    number       differs for each document: one whose readings have the time of receipt is never a repeat by its content
    """
    content = b"id " + identifier.encode("utf-8", "replace") if identifier else b"body " + body
    if received.by_receipt and not identifier:
        content = f"at {now.isoformat()} {number}".encode()
    return Entry(
        key=entry_key("webhook", webhook.name, content),
        received=now,
        answers=[str(received.status).encode(), received.answer],
        source=webhook.name,
        readings=received.readings,
        unused=[unused_of(verdict) for verdict in received.verdicts if verdict.reason is not Reason.USED],
        interval_s=webhook.interval_s,
        once=not received.by_receipt,
    )
