"""Audit records of what users did: alert commands, limits, assignments, admissions, enrolments, sign-ins. Pure.

`ingest` stores them in `audit_event`. They come from six topics: `alert-commands/{ward}/{device}/{rule}`, with
`/{user}` appended if the broker vouches for the user; `limits/{ward}/{device}`; `assignments/{ward}/{device}`;
`audit/admissions/{ward}/{device}/{user}`, where the broker vouches for the user; `audit/enrolment`; and
`audit/sign-in`. The alert worker accepts or rejects a command or a limit; the record is kept either way, because
attempts matter too.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from vitals.assignment import Assignment, decode_assignment
from vitals.limits import RequestRejected
from vitals.payload import DECODE_ERRORS
from vitals.reading import MAX_TEXT
from vitals.topics import InvalidTopic

MAX_AUDIT = 16 * 1024  # bytes
KINDS = ("alert-commands", "limits", "assignments", "audit")
ENROLMENT, SIGN_IN, ADMISSIONS = "enrolment", "sign-in", "admissions"

Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]


class AuditRecord(Struct, frozen=True):
    """One action of a user.

    time     as the message states it; a message with a time is stored once, however often it is delivered
    actor    the user in the topic, else the name in the message
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
    by: Annotated[str, Meta(max_length=MAX_TEXT)] = ""  # not needed if the topic names the user
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


class _SignIn(Struct, frozen=True, kw_only=True):
    time: Annotated[datetime, Meta(tz=True)]
    action: Literal["signed_in", "sign_in_refused"]
    by: Text | None = None  # not for a refused name that is not known
    address: Text | None = None
    count: Annotated[int, Meta(ge=1)] = 1


class Admission(Struct, frozen=True, kw_only=True):
    """What a user requested at the station, or another system of an edge, published before it is done.

    action       merge: the number of the assigned patient is replaced by `patient_id`
    patient_id   None: the bed is discharged and no patient was assigned
    bed          of a transfer: the bed that the patient is moved to
    former_patient_id   of a merge: the number that `patient_id` replaces
    """

    action: Literal["admit", "transfer", "discharge", "merge"]
    time: Annotated[datetime, Meta(tz=True)]
    patient_id: Text | None
    profile: Text | None = None
    spo2_scale: int | None = None
    bed: Text | None = None
    former_patient_id: Text | None = None


_command = msgspec.json.Decoder(_Command).decode
_limits = msgspec.json.Decoder(_Limits).decode
_enrolment = msgspec.json.Decoder(_Enrolment).decode
_sign_in = msgspec.json.Decoder(_SignIn).decode
_admission = msgspec.json.Decoder(Admission).decode


def audit_filters(root: str) -> list[str]:
    """Return the topic filters. They end in `#`, so that messages on malformed topics are kept too."""
    return [f"{root}/{kind}/#" for kind in KINDS]


def decode_audit(root: str, topic: str, payload: bytes) -> AuditRecord:
    """Decode a message on one of these topics.

    Raises InvalidTopic for any other topic, and ValueError with one sentence for a malformed payload.
    """
    head = root + "/"
    kind, *names = topic.removeprefix(head).split("/")
    if not topic.startswith(head) or not all(0 < len(name) <= MAX_TEXT and name.isprintable() for name in names):
        raise InvalidTopic(f"topic {topic[:300]!r} does not fit {_shape(root, kind)}")
    if len(payload) > MAX_AUDIT:
        raise ValueError(f"{len(payload)} bytes; at most {MAX_AUDIT} are read")
    try:
        match kind, names:
            case "alert-commands", [ward, device, rule, *user] if len(user) <= 1:
                record = _acknowledgement(_command(payload), ward, device, rule, *user)
            case "limits", [ward, device]:
                record = _limits_set(None if not payload else _limits(payload), ward, device)
            case "assignments", [ward, device]:
                record = _assigned(decode_assignment(payload), ward, device)
            case "audit", [name, ward, device, user] if name == ADMISSIONS:
                record = _admitted(_admission(payload), ward, device, user)
            case "audit", [name] if name == ENROLMENT:
                record = _enrolled(_enrolment(payload))
            case "audit", [name] if name == SIGN_IN:
                record = _signed_in(_sign_in(payload))
            case _:
                raise InvalidTopic(f"topic {topic[:300]!r} does not fit {_shape(root, kind)}")
    except RequestRejected as error:
        raise ValueError(str(error)) from None
    except DECODE_ERRORS as error:
        raise ValueError(f"not an audit message: {str(error).replace('`', '')}") from None
    for text in (record.actor, record.action, record.ward, record.device):
        if text is not None and not text.isprintable():
            raise ValueError(f"{text[:40]!a} holds characters that cannot be printed")
    return record


def _acknowledgement(command: _Command, ward: str, device: str, rule: str, user: str | None = None) -> AuditRecord:
    detail = _detail(command, "seconds")
    if user is None and not command.by.strip():
        raise ValueError("not an audit message: by is empty; expected a name")
    if user is not None and command.by not in ("", user):
        detail["by"] = command.by  # the payload names another user than the topic
    return AuditRecord(command.action, command.time, user or command.by, ward, device, rule, detail)


def _limits_set(limits: _Limits | None, ward: str, device: str) -> AuditRecord:
    if limits is None:  # an empty payload deletes the retained message and names no user
        return AuditRecord("remove_limits", ward=ward, device=device)
    detail = _detail(limits, "limits", "spo2_scale", "patient_id")
    return AuditRecord("set_limits", limits.time, limits.by, ward, device, detail=detail)


def _assigned(assignment: Assignment | None, ward: str, device: str) -> AuditRecord:
    if assignment is None:  # an empty payload deletes the retained message and names no user
        return AuditRecord("discharge_patient", ward=ward, device=device)
    if assignment.is_discharge:
        return AuditRecord("discharge_patient", assignment.time, assignment.by, ward, device)
    detail = _detail(assignment, "patient_id", "profile", "spo2_scale")
    return AuditRecord("assign_patient", assignment.time, assignment.by, ward, device, detail=detail)


def _admitted(admission: Admission, ward: str, device: str, user: str) -> AuditRecord:
    detail = _detail(admission, "patient_id", "profile", "spo2_scale", "bed", "former_patient_id")
    return AuditRecord(admission.action, admission.time, user, ward, device, detail=detail)


def _detail(message: Struct, *keys: str) -> dict[str, Any]:
    """Return these fields without those that are None."""
    return {key: value for key in keys if (value := getattr(message, key)) is not None}


def _enrolled(enrolment: _Enrolment) -> AuditRecord:
    detail = _detail(enrolment, "kind")
    return AuditRecord(enrolment.action, enrolment.time, enrolment.by, enrolment.ward, enrolment.name, detail=detail)


def _signed_in(sign_in: _SignIn) -> AuditRecord:
    return AuditRecord(sign_in.action, sign_in.time, sign_in.by, detail=_detail(sign_in, "address", "count"))


def _shape(root: str, kind: str) -> str:
    match kind:
        case "alert-commands":
            return f"{root}/alert-commands/WARD/DEVICE/RULE or {root}/alert-commands/WARD/DEVICE/RULE/USER"
        case "limits" | "assignments":
            return f"{root}/{kind}/WARD/DEVICE"
        case _:
            return f"{root}/audit/{ENROLMENT}, {root}/audit/{SIGN_IN} or {root}/audit/{ADMISSIONS}/WARD/DEVICE/USER"
