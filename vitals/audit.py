"""What a person did, for the record: acknowledgements, limits, enrolments, as `ingest` keeps them in `audit_event`.

Three kinds of topic lead here, below the root: `alert-commands/{ward}/{device}/{rule}`, or with `/{person}` behind it where the
broker vouches for the user; `limits/{ward}/{device}`; and `audit/enrolment`. The alert worker decides whether an
acknowledgement or a limit is good; the record keeps it either way, because who tried matters too. Pure.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from vitals.payload import DECODE_ERRORS
from vitals.reading import MAX_TEXT
from vitals.topics import InvalidTopic

MAX_AUDIT = 16 * 1024  # bytes
KINDS = ("alert-commands", "limits", "audit")
ENROLMENT = "enrolment"

Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]


class AuditRecord(Struct, frozen=True, kw_only=True):
    """One thing that a person did.

    time     when, where the message says so; a message with a time is kept once however often it is told
    who      the user in the topic, else the name in the message; None where neither is there
    detail   the rest of the message
    """

    action: str
    time: datetime | None = None
    actor: str | None = None
    ward: str | None = None
    device: str | None = None
    rule: str | None = None
    detail: dict[str, Any] = {}


class _Command(Struct, frozen=True, kw_only=True):
    action: Text
    by: Annotated[str, Meta(max_length=MAX_TEXT)] = ""  # not needed where the topic names the person
    time: Annotated[datetime, Meta(tz=True)] | None = None
    seconds: float | None = None


class _Limits(Struct, frozen=True, kw_only=True):
    by: Text
    time: Annotated[datetime, Meta(tz=True)] | None = None
    limits: dict[Text, float | list[float | None]] = {}
    spo2_scale: int | None = None
    patient_id: Text | None = None


class _Enrolment(Struct, frozen=True, kw_only=True):
    time: Annotated[datetime, Meta(tz=True)]
    by: Text
    action: Text
    name: Text
    kind: Text
    ward: Text | None = None


_command = msgspec.json.Decoder(_Command).decode
_limits = msgspec.json.Decoder(_Limits).decode
_enrolment = msgspec.json.Decoder(_Enrolment).decode


def audit_filters(root: str) -> list[str]:
    """What to subscribe to. `#`, so that misplaced messages are seen and kept too."""
    return [f"{root}/{kind}/#" for kind in KINDS]


def decode_audit(root: str, topic: str, payload: bytes) -> AuditRecord:
    """Take a message on one of these topics apart.

    Raises InvalidTopic for a topic that is none of them, and ValueError with a sentence for a payload that does not fit.
    """
    head = root + "/"
    kind, *names = topic.removeprefix(head).split("/")
    if not topic.startswith(head) or not all(0 < len(name) <= MAX_TEXT and name.isprintable() for name in names):
        raise InvalidTopic(f"topic {topic[:300]!r} does not fit {_shape(root, kind)}")
    if len(payload) > MAX_AUDIT:
        raise ValueError(f"{len(payload)} bytes; at most {MAX_AUDIT} are read")
    try:
        match kind, names:
            case "alert-commands", [ward, device, rule, *person] if len(person) <= 1:
                done = _acknowledgement(_command(payload), ward, device, rule, *person)
            case "limits", [ward, device]:
                done = _limits_set(None if not payload else _limits(payload), ward, device)
            case "audit", [name] if name == ENROLMENT:
                done = _enrolled(_enrolment(payload))
            case _:
                raise InvalidTopic(f"topic {topic[:300]!r} does not fit {_shape(root, kind)}")
    except DECODE_ERRORS as error:
        raise ValueError(f"not an audit message: {str(error).replace('`', '')}") from None
    for text in (done.actor, done.action, done.ward, done.device):
        if text is not None and not text.isprintable():
            raise ValueError(f"{text[:40]!a} holds characters that cannot be printed")
    return done


def _acknowledgement(command: _Command, ward: str, device: str, rule: str, person: str | None = None) -> AuditRecord:
    detail: dict[str, Any] = {} if command.seconds is None else {"seconds": command.seconds}
    if person is None and not command.by.strip():
        raise ValueError("not an audit message: by is empty; expected a name")
    if person is not None and command.by not in ("", person):
        detail["by"] = command.by  # a user of the broker who signs with another name
    return AuditRecord(
        action=command.action,
        time=command.time,
        actor=person or command.by,
        ward=ward,
        device=device,
        rule=rule,
        detail=detail,
    )


def _limits_set(limits: _Limits | None, ward: str, device: str) -> AuditRecord:
    if limits is None:  # how MQTT takes a retained message away; nobody signs that
        return AuditRecord(action="remove_limits", ward=ward, device=device)
    detail = {"limits": limits.limits, "spo2_scale": limits.spo2_scale, "patient_id": limits.patient_id}
    detail_given = {key: value for key, value in detail.items() if value is not None}
    return AuditRecord(
        action="set_limits", time=limits.time, actor=limits.by, ward=ward, device=device, detail=detail_given
    )


def _enrolled(enrolment: _Enrolment) -> AuditRecord:
    return AuditRecord(
        action=enrolment.action,
        time=enrolment.time,
        actor=enrolment.by,
        ward=enrolment.ward,
        device=enrolment.name,
        detail={"kind": enrolment.kind},
    )


def _shape(root: str, kind: str) -> str:
    match kind:
        case "alert-commands":
            return f"{root}/alert-commands/WARD/DEVICE/RULE or {root}/alert-commands/WARD/DEVICE/RULE/PERSON"
        case "limits":
            return f"{root}/limits/WARD/DEVICE"
        case _:
            return f"{root}/audit/{ENROLMENT}"
