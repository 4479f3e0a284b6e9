"""Write the acknowledgements of a message (HL7 v2.6, 2.9): original mode, or enhanced as MSH-15 and MSH-16 ask."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from edges.hl7.er7 import InvalidMessage, Message, parse_header


class Outcome(StrEnum):
    """Second letter of MSA-1 (HL7 table 0008)."""

    ACCEPT = "A"  # kept
    ERROR = "E"  # the message is malformed, or may be accepted later
    REJECT = "R"  # will never be accepted: its type is not read


@dataclass(frozen=True, slots=True)
class Error:
    """The segment ERR of an answer: a code of HL7 table 0357 and a sentence."""

    code: int
    text: str


def acknowledge(message: Message, outcome: Outcome, error: Error | None, now: datetime) -> list[bytes]:
    """Return the answers to a message, in their order; none to an acknowledgement.

    now   the time of the answers, with an offset
    """
    header = message.header
    if header.text(9) == "ACK":
        return []
    accept, application = header.text(15), header.text(16)
    if not accept and not application:
        return [_answer(message, f"A{outcome}", error, now)]
    answers = []
    if _wanted(accept, outcome):
        answers.append(_answer(message, f"C{outcome}", error, now))
    if _wanted(application, outcome):
        answers.append(_answer(message, f"A{outcome}", error, now))
    return answers


def acknowledge_unread(content: bytes, outcome: Outcome, error: Error, now: datetime) -> list[bytes]:
    """Return the answers to a message of which only the header is used; none if it has no readable header."""
    try:
        return acknowledge(parse_header(content), outcome, error, now)
    except InvalidMessage:
        return []


def _wanted(condition: str, outcome: Outcome) -> bool:
    """Whether a condition of HL7 table 0155 asks for an answer; an empty one in enhanced mode does not."""
    match condition:
        case "AL":
            return True
        case "ER":
            return outcome is not Outcome.ACCEPT
        case "SU":
            return outcome is Outcome.ACCEPT
    return False


_EVENTS = dict.fromkeys(("R30", "R31", "R32"), "R33")  # of a report -> of its answer, where it is another one


def _answer(message: Message, code: str, error: Error | None, now: datetime) -> bytes:
    header = message.header
    separators = header.separators
    between, part = separators.field, separators.component
    event = _EVENTS.get(header.text(9, 2), header.text(9, 2))
    kind = part.join(["ACK", separators.escape_text(event), "ACK"]) if event else "ACK"
    control_id = header.raw(10)  # as it was sent: the sender compares bytes
    charset = [""] * 5 + [header.raw(18)] if header.raw(18) else []
    lines = [
        between.join(
            [
                "MSH",
                separators.encoding,
                *(header.raw(5), header.raw(6), header.raw(3), header.raw(4)),
                now.strftime("%Y%m%d%H%M%S%z"),
                "",
                *(kind, f"{code}{control_id}", header.raw(11), header.raw(12)),
                *charset,
            ]
        ),
        between.join(["MSA", code, control_id]),
    ]
    if error is not None:
        text = separators.escape_text(error.text.encode("ascii", "replace").decode())  # fits every character set
        lines.append(between.join(["ERR", "", "", f"{error.code}", "E", "", "", "", text]))
    text = "".join(f"{line}\r" for line in lines)
    try:
        return text.encode(message.codec, "surrogateescape")
    except UnicodeEncodeError:  # a character that the sender wrote as an escape sequence and its set does not have
        return text.encode(message.codec, "replace")
