"""Make observations of an Observation resource: its value, those of its components, and of contained members. Pure.

What is no value of this moment keeps its reason: the status, an absent value, a comparator, a period, an extension that
changes the meaning.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from edges.config.code_tables import NO_CODE, Code
from edges.fhir.effective import Span, moment_of
from edges.observations.json_document import Element, is_given, object_of, objects_of, text_of, text_of_value
from edges.observations.observed import Observation
from edges.observations.quantities import another_quantity, words_of
from vitals.local_time import InvalidTime

LOINC, MDC, UCUM, SNOMED = "LN", "MDC", "UCUM", "SCT"
_SYSTEMS = {
    "http://loinc.org": LOINC,
    "urn:oid:2.16.840.1.113883.6.1": LOINC,
    "urn:iso:std:iso:11073:10101": MDC,
    "urn:oid:2.16.840.1.113883.6.24": MDC,
    "http://unitsofmeasure.org": UCUM,
    "urn:oid:2.16.840.1.113883.6.8": UCUM,
    "http://snomed.info/sct": SNOMED,
    "urn:oid:2.16.840.1.113883.6.96": SNOMED,
}
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_STATUSES = ("final", "amended", "corrected", "preliminary")
_TESTS = ("HTEST", "TEST", "DEMO", "SIMULATED")
_STATUS = {"amended": "C", "corrected": "C", "preliminary": "P"}  # as in OBX-11; the others that count are final
_PANELS = {
    LOINC: frozenset(("85354-9", "55284-4", "35094-2", "85353-1", "8716-3", "34566-0")),
    MDC: frozenset(("150020", "150300")),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A place in a document and its observation.

    path   such as "entry 2, component 1"
    test   whether the resource is marked as test data
    """

    path: str
    observation: Observation
    test: bool


def parts_of(resource: Element, path: str, first: int, received: datetime, by_receipt: bool) -> list[Part]:
    """Return the observations of a resource, at least one.

    first        number of the first one in the document
    by_receipt   the sender's clock is wrong: an observation of a moment has the time of receipt
    """
    found: list[Part] = []
    _add(resource, path, first, received, by_receipt, "", found)
    return found


def _add(
    resource: Element, path: str, first: int, received: datetime, by_receipt: bool, above: str, found: list[Part]
) -> None:
    absent = above or _absent(resource)
    time, problem = None, ""
    try:
        time = moment_of(resource, received)
    except Span as error:
        absent = absent or str(error)
    except InvalidTime as error:
        problem = str(error)
    if by_receipt and not absent:
        time, problem = received, ""
    test = _is_test(resource)
    components = list(objects_of(resource, "component"))
    elements: list[tuple[str, Element, tuple[Code, ...]]] = []
    if _value_keys(resource) or is_given(resource, "dataAbsentReason") or not components:
        elements.append((path, resource, ()))
    panel = _unknown_panel(resource)
    for number, component in enumerate(components, 1):
        elements.append((f"{path}, component {number}".removeprefix(", "), component, panel))
    for where, element, panel_codes in elements:
        kind, values, unit = _value(element)
        observation = Observation(
            segment=first + len(found),
            codes=(*_codes_of_value(element), *panel_codes),
            kind=kind,
            values=values,
            unit=unit,
            flags=_interpretations(resource) | _interpretations(element),
            status=_STATUS.get(text_of(resource, "status"), "F"),
            absent=absent or _absent_value(element) or _another_quantity(resource, element),
            time=time,
            time_problem=problem,
            label=" ".join(_texts(object_of(element, "code"))),
            site=" ".join([*_site(resource), *_texts(object_of(element, "code"))]),
        )
        found.append(Part(where, observation, test))
    for number, member in enumerate(objects_of(resource, "contained"), 1):
        if text_of(member, "resourceType") == "Observation":
            where = f"{path}, contained {number}".removeprefix(", ")
            _add({**member, "contained": []}, where, first, received, by_receipt, absent, found)


def _absent(resource: Element) -> str:
    """Return why nothing in a resource is a value, empty if it may hold values."""
    status = text_of(resource, "status")
    if status not in _STATUSES:
        return f"its status is {status[:20]!a}"
    if is_given(resource, "implicitRules"):
        return "it has implicitRules, which may change its meaning"
    if is_given(resource, "focus") and resource["focus"] != [resource.get("subject")]:
        return "it has a focus: it is not of the subject itself"
    if is_given(resource, "specimen") or _has_code(resource, "category", "laboratory"):
        return "it is of a specimen, not of the patient at this moment"
    subject = object_of(resource, "subject")
    kinds = {text_of(subject, "type"), *text_of(subject, "reference").split("/")[:-1]}
    if found := kinds & {"Group", "Location"}:
        return f"its subject is a {found.pop()}, no patient"
    return _modified(resource)


def _modified(element: Element) -> str:
    return "it has a modifierExtension, which may change its meaning" if is_given(element, "modifierExtension") else ""


def _absent_value(element: Element) -> str:
    """Return why an element has no value that counts."""
    if is_given(element, "dataAbsentReason"):
        codings = objects_of(object_of(element, "dataAbsentReason"), "coding")
        return f"dataAbsentReason is {next((text_of(coding, 'code') for coding in codings), '')[:40]!a}"
    quantity = object_of(element, "valueQuantity")
    if quantity.get("comparator") is not None:  # of any type
        return f"{text_of(quantity, 'comparator')[:10]!a} before it: it is no exact number"
    for holder in (element, quantity):
        for key in ("_value", "_valueQuantity", "extension"):
            if _ABSENT in json.dumps(holder.get(key, "")):
                return "an extension states that its value is absent"
    return _modified(element)


def _is_test(resource: Element) -> bool:
    meta = object_of(resource, "meta")
    labels = [*objects_of(meta, "security"), *objects_of(meta, "tag")]
    return any(text_of(label, "code").upper() in _TESTS for label in labels)


def _has_code(element: Element, key: str, code: str) -> bool:
    return any(
        text_of(coding, "code") == code
        for concept in objects_of(element, key)
        for coding in objects_of(concept, "coding")
    )


def _value_keys(element: Element) -> list[str]:
    return [key for key in element if key.startswith("value") and element[key] is not None]


def _value(element: Element) -> tuple[str, tuple[str, ...], Code]:
    """Return the type, the values and the unit of an element."""
    keys = _value_keys(element)
    kind = keys[0].removeprefix("value") if keys else "" if is_given(element, "hasMember") else "none"
    values: tuple[str, ...] = tuple(text_of_value(element[key]) for key in keys)
    unit = NO_CODE
    if keys == ["valueQuantity"]:
        quantity = object_of(element, "valueQuantity")
        value = quantity.get("value")
        values = ("" if value is None else text_of_value(value),)
        unit = _unit(quantity)
    return kind, values, unit


def _unit(quantity: Element) -> Code:
    """Return the unit of a Quantity; its code counts only with a system that is known."""
    code, system = text_of(quantity, "code"), text_of(quantity, "system")
    name = text_of(quantity, "unit")
    if not code or not system:
        return Code(code, name, "")
    if _system_of(system) in (UCUM, MDC):
        return Code(code, name, UCUM)  # whose names are free text, as each `unit` of FHIR is
    return Code(f"{system}|{code}", name, system)


def _codes(element: Element) -> tuple[Code, ...]:
    return tuple(_code(coding) for coding in objects_of(object_of(element, "code"), "coding"))


def _codes_of_value(element: Element) -> tuple[Code, ...]:
    """Return the codes of an element without those of panels beside them, which do not contradict them."""
    codes = _codes(element)
    return tuple(code for code in codes if not _is_panel(code)) or codes


def _is_panel(code: Code) -> bool:
    return code.code in _PANELS.get(code.system, ())


def _code(coding: Element) -> Code:
    code, display, uri = text_of(coding, "code"), text_of(coding, "display"), text_of(coding, "system")
    system = _system_of(uri)
    if system == SNOMED or (system == MDC and not display.upper().startswith("MDC_")):
        return Code(code, "", system)  # the display is free text, which is part of the label
    return Code(code, display if system == MDC else words_of(display), system)


def _system_of(uri: str) -> str:
    """Return the short name of a coding system, also of one with a version or written as https; else the URI."""
    plain = uri.partition("|")[0].rstrip("/").replace("https://", "http://", 1)
    return _SYSTEMS.get(plain, uri)


def _unknown_panel(resource: Element) -> tuple[Code, ...]:
    """Return the standard code of a panel that may not be one of moments, such as that of mean pressures.

    It counts as a further code of each component, so that a component of it is no value.
    """
    codes = [code for code in _codes(resource) if code.system in _PANELS and code.code]
    if _value_keys(resource) or any(map(_is_panel, codes)):
        return ()
    return tuple(codes[:1])


def _site(resource: Element) -> Iterator[str]:
    """Iterate over the texts and codes of where and how it is measured; a resource has them, its components not."""
    site = object_of(resource, "bodySite")
    yield from _texts(site)
    yield from _texts(object_of(resource, "method"))
    yield from (text_of(coding, "code") for coding in objects_of(site, "coding"))
    yield from _texts(object_of(resource, "code"))


def _another_quantity(resource: Element, element: Element) -> str:
    """Return why a value is not that of the sign at a moment, such as a mean or a limit, by the free texts."""
    concepts = (
        object_of(element, "code"),
        object_of(resource, "code"),
        object_of(resource, "method"),
        object_of(resource, "bodySite"),
    )
    codes = (text_of(coding, "code") for concept in concepts for coding in objects_of(concept, "coding"))
    return another_quantity([*(text for concept in concepts for text in _texts(concept)), *codes])


def _texts(concept: Element) -> Iterator[str]:
    yield words_of(text_of(concept, "text"))
    yield from (words_of(text_of(coding, "display")) for coding in objects_of(concept, "coding"))


def _interpretations(element: Element) -> frozenset[str]:
    given = element.get("interpretation")
    concepts = list(objects_of({"all": given if isinstance(given, list) else [given]}, "all"))  # FHIR STU3 has one
    codings = [coding for concept in concepts for coding in objects_of(concept, "coding")]
    texts = [text_of(concept, "text") for concept in concepts if not any(objects_of(concept, "coding"))]
    codes = (text_of(coding, "code") or text_of(coding, "display") for coding in codings)
    return frozenset(text.upper() for text in [*codes, *texts])
