"""Find whom and which place a message concerns: the patient's number, the place in PV1, and the sending application."""

from collections.abc import Set

from edges.config.places import Location
from edges.config.site import Patients
from edges.hl7.er7 import Segment, component_of, element_of
from vitals.fields import BadField, parse_patient_id

NULL = '""'
"""A field with this content has no value, and deletes the one before (HL7 v2.6, 2.5.3.3)."""


def patient_number(segment: Segment | None, field: int, patients: Patients) -> str | None:
    """Return the patient's number by the first authority that is there; None without one, or with several numbers."""
    if segment is None:
        return None
    numbers = [
        (
            element_of(text, segment.separators, 1),
            {component_of(text, segment.separators, 4), component_of(text, segment.separators, 5)},
        )
        for text in segment.repetitions(field)
    ]
    for authority in patients.authority:
        fitting = {
            number
            for number, stated in numbers
            if number not in ("", NULL) and (authority in stated if authority else stated == {""})
        }
        if len(fitting) > 1:
            return None
        if fitting:
            try:
                return parse_patient_id(fitting.pop())
            except BadField:
                return None
    return None


def location_of(header: Segment, pv1: Segment | None, field: int, equipment: Set[str] = frozenset()) -> Location:
    """Return the location that a field of PV1 states: PV1-3 the present one, PV1-6 the one before."""
    texts = {"application": application_of(header), "sender": header.text(4)}
    if pv1 is not None:
        separators = pv1.separators
        places = set(pv1.repetitions(field))
        location = places.pop() if len(places) == 1 else ""
        for number, key in enumerate(("unit", "room", "bed", "facility"), 1):
            texts[key] = element_of(location, separators, number)
        texts["location"] = location.strip() if location else pv1.raw(field).strip()  # several are no known place
    return Location(equipment=frozenset(equipment), **texts)


def application_of(header: Segment) -> str:
    """MSH-3, or its second component where the first one is empty."""
    return header.text(3) or header.text(3, 2)
