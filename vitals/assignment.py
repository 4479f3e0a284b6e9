"""The patient assigned to a bed, from the retained topic `assignments/{ward}/{device}`. Pure.

An empty message ends the assignment too, but is not retained and names no user. A patient is named by the hospital's
patient id only.
"""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace as replace_fields

from vitals.limits import SCALES, Limits, RequestRejected, apply, apply_profile, require_printable
from vitals.payload import decode_payload
from vitals.rules import RuleSet

MAX_ASSIGNMENT = 4 * 1024  # bytes

Profile = Literal["adult", "child-12-15", "child-5-11", "child-1-4", "infant", "neonate"]
"""Age group of a patient, in completed years; `infant` is 1 to 11 months, `neonate` younger than 28 days.

The bands are those of APLS (under 1, 1 to 5, 5 to 12, over 12 years) with a neonate apart, and `adult` begins at 16
years, where NEWS2 does (RCP 2017). The national PEWS of England (RCPCH, 2023) has the same bands but one: its chart for
5 to 12 years includes children of 12.
"""

Scale = Literal[1, 2] | None
"""SpO2 scale of NEWS2; None leaves the choice to the rules."""


class Assignment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One assignment of a patient to a bed, or the discharge from it.

    patient_id   None: the bed was discharged
    profile      age group, which chooses the rules
    spo2_scale   2 for the NEWS2 scale of a patient in hypercapnic respiratory failure, if a clinician chose it; None
                 leaves the choice to the rules. A scale in the limits of the bed overrides it
    by           the user who assigned or discharged the patient
    time         when, for the audit record and the history
    in_use_since when the first value measured after a discharge was seen: the bed is not vacant any more. A service
                 that starts later cannot know it otherwise, and would take silence for an empty bed
    """

    patient_id: str | None
    profile: Profile = "adult"
    spo2_scale: Scale = None
    by: str
    time: Annotated[datetime, Meta(tz=True)] | None = None
    in_use_since: Annotated[datetime, Meta(tz=True)] | None = None

    def applies_to(self, patient_id: str | None) -> bool:
        """Return whether it holds while this patient is known to be on the device."""
        return not self.is_discharge and patient_id in (None, self.patient_id)

    @property
    def is_discharge(self) -> bool:
        """Return whether it ends the assignment: the bed has no patient."""
        return self.patient_id is None

    def is_same_discharge(self, other: "Assignment | None") -> bool:
        """Return whether both are one discharge, whether or not the bed is in use since then."""
        return self.is_discharge and other is not None and replace_fields(other, in_use_since=self.in_use_since) == self

    def is_overtaken(self, present: "Assignment | None") -> bool:
        """Return whether it states the use of a bed since a discharge that `present` has followed already.

        The station publishes such a statement, and another client may assign a patient in the same moment: then the
        retained statement is the later message, and says nothing about the patient.
        """
        if self.in_use_since is None or self.time is None or present is None or present.time is None:
            return False
        return present.time > self.time

    @property
    def has_news2(self) -> bool:
        """Return whether NEWS2 applies to the patient: from 16 years on."""
        return self.profile == "adult"


def is_same_patient(first: str | None, second: str | None) -> bool:
    """Return whether two numbers are of one patient: a different spelling is a slip, no other patient."""
    return first is not None and second is not None and first.casefold() == second.casefold()


_decode = msgspec.json.Decoder(Assignment).decode


def encode_assignment(assignment: Assignment) -> bytes:
    """Encode as a JSON object. Raises RequestRejected for what `decode_assignment` would reject."""
    _check(assignment)
    return msgspec.json.encode(assignment)


def without_use(payload: bytes) -> bytes:
    """Return the discharge in which the station states the use of the bed as it was before; others unchanged."""
    assignment = decode_assignment(payload)
    if assignment is None or assignment.in_use_since is None:
        return payload
    return encode_assignment(replace_fields(assignment, in_use_since=None))


def decode_assignment(payload: bytes) -> Assignment | None:
    """Decode the message; None for an empty one. Raises RequestRejected."""
    if not payload:
        return None
    assignment = decode_payload(_decode, payload, "an assignment", MAX_ASSIGNMENT, RequestRejected)
    _check(assignment)
    return assignment


def _check(assignment: Assignment) -> None:
    require_printable("by", assignment.by)
    if assignment.patient_id is None:
        return
    if assignment.in_use_since is not None:
        raise RequestRejected("in_use_since belongs to a discharge")
    require_printable("patient_id", assignment.patient_id)
    if assignment.patient_id != assignment.patient_id.strip():
        raise RequestRejected("patient_id begins or ends with a space, so it would match no reading")
    if assignment.spo2_scale is not None and not assignment.has_news2:
        raise RequestRejected(
            f"spo2_scale belongs to NEWS2, which applies from 16 years; the profile is {assignment.profile}"
        )


def rules_for_bed(
    rules: RuleSet, assignment: Assignment | None, limits: Limits | None, patient_id: str | None
) -> RuleSet:
    """Return the rules that hold at a bed for the patient on its device.

    1. The profile of the assigned patient's age group, and of the SpO2 scale.
    2. The bed's own limits, which override it.

    An assignment and limits of another patient do not count. Raises RequestRejected for limits that contradict the
    rules.
    """
    if assignment is not None and assignment.applies_to(patient_id):
        rules = apply_profile(rules, assignment.profile)
    scale = spo2_scale_for_bed(rules.spo2_scale, assignment, limits, patient_id)
    if scale != rules.spo2_scale:
        rules = replace(apply_profile(rules, SCALES[scale]), spo2_scale=scale)
    return apply(rules, limits) if limits is not None and limits.applies_to(patient_id) else rules


def spo2_scale_for_bed(
    default: int, assignment: Assignment | None, limits: Limits | None, patient_id: str | None
) -> int:
    """Return the SpO2 scale for the patient on a device: that of the limits, of the assignment, or the rules' default.

    The view last_valid_vitals (sql/repeatable/60_ward.sql) decides in the same way.
    """
    for found in (limits, assignment):
        if found is not None and found.spo2_scale is not None and found.applies_to(patient_id):
            return found.spo2_scale
    return default
