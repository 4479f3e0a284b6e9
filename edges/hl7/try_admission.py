"""Show what an ADT message would do, for `vitalflow edges hl7 try`: assignments by bed, without a broker. Pure."""

import json
from typing import Any

import msgspec

from edges.admissions.admissions import AdmissionEvent, Beds, plan
from edges.hl7.adt import AdmissionReport
from vitals.assignment import Assignment
from vitals.topics import DeviceAddress


def show_admission(report: AdmissionReport, beds: Beds) -> dict[str, Any]:
    """Return what the events of a message would publish, and continue `beds`, the state of the messages before.

    A patient that no message before concerns is presumed in the bed that a transfer or discharge states as left.
    """
    events = iter(report.events)
    shown = [_show_event(next(events), beds) if item.reason == "used" else {} for item in report.verdicts]
    return {
        "admissions": [
            {"event": item.name, "reason": item.reason.value, "detail": item.detail, **more}
            for item, more in zip(report.verdicts, shown, strict=True)
        ],
        "counts": report.counts,
    }


def lines_of_admissions(admissions: list[dict[str, Any]]) -> list[str]:
    """Return the lines of text for `show_admission`."""
    lines = []
    for item in admissions:
        outcome = item.get("effect", item["reason"])
        lines.append(f"  {item['event']!a}, {outcome}" + (f": {item['detail']}" if item["detail"] else ""))
        if presumed := item.get("presumed"):
            lines.append(f"  if {presumed}:")
        lines += [
            f"  {step['ward']}/{step['device']}: {json.dumps(step['assignment'])}"
            for step in item.get("assignments", ())
        ]
    return lines


def _show_event(event: AdmissionEvent, beds: Beds) -> dict[str, Any]:
    presumed = _presume(event, beds)
    found = plan(event, beds)
    for step in found.steps:
        beds.apply(step)
    return {
        "effect": found.effect.value,
        "presumed": presumed,
        "assignments": [
            {
                "ward": step.bed.ward,
                "device": step.bed.device,
                "assignment": msgspec.to_builtins(step.content),
            }
            for step in found.steps
            if isinstance(step.content, Assignment)
        ],
    }


def _presume(event: AdmissionEvent, beds: Beds) -> str | None:
    """Assign the patient to the bed that the event states as left, unless the messages before state another."""
    place: DeviceAddress | None = event.former_bed if event.kind == "transfer" else event.bed
    if event.kind not in ("transfer", "discharge") or place is None or place in beds.assignments:
        return None
    if beds.of_patient(event.patient_id):
        return None
    beds.assignments[place] = Assignment(patient_id=event.patient_id, by=event.by)
    return f"patient {event.patient_id} is assigned to {place.ward}/{place.device}"
