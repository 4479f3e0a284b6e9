"""Decide what becomes of one body of FHIR, for `try` and for the listener alike. Pure."""

from dataclasses import dataclass
from datetime import datetime

from edges.config.site import Site, Source
from edges.fhir.answers import answer_report
from edges.fhir.incoming import Document, Report, decide_document, read_document
from edges.listener.http_body import HttpAnswer


@dataclass(frozen=True, slots=True)
class Received:
    """A document, what became of it, and its answer."""

    document: Document
    report: Report
    answer: HttpAnswer


def receive(body: bytes, site: Site, source: Source, now: datetime) -> Received:
    """Read a body; raises InvalidDocument.

    now   the time of receipt, with an offset
    """
    document = read_document(body)
    report = decide_document(document, site, source, now)
    return Received(document, report, answer_report(document, report))
