"""Decide what becomes of one HL7 v2 message, for `try` and for the listener alike. Pure."""

from dataclasses import dataclass
from datetime import datetime

from edges.config.site import Site
from edges.hl7.acks import acknowledge
from edges.hl7.adt import AdmissionReport, is_admission, read_admission
from edges.hl7.er7 import Message, parse_message
from edges.hl7.oru import Report, read_report
from edges.observations.episodic import NONE, History


@dataclass(frozen=True, slots=True)
class Received:
    """A message, what became of it, and its answers."""

    message: Message
    report: Report | AdmissionReport
    answers: list[bytes]


def receive(content: bytes, site: Site, now: datetime, known: History = NONE) -> Received:
    """Read a message; raises InvalidMessage.

    now     the time of receipt, with an offset
    known   what was measured before
    """
    message = parse_message(content)
    report: Report | AdmissionReport
    report = read_admission(message, site, now) if is_admission(message) else read_report(message, site, now, known)
    return Received(message, report, acknowledge(message, report.outcome, report.error, now))
