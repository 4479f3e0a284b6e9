"""Follow references: the Patient and the Device of an Observation, in its Bundle, contained in it, or by name. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from edges.config.site import Patients
from edges.observations.json_document import Element, object_of, objects_of, text_of
from vitals.fields import BadField, parse_patient_id

MAX_IDENTIFIERS = 4000  # characters of those of a resource: each Observation that refers to it reads them
_LITERAL = re.compile(r"(?:https?://[^ ]*/)?([A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")


@dataclass(frozen=True, slots=True)
class Target:
    """What a reference refers to.

    resource     empty: it is not there
    name         such as Patient/17; empty where the reference states none
    identifier   of a logical reference
    """

    resource: Element = field(default_factory=dict)
    name: str = ""
    identifier: Element = field(default_factory=dict)

    @property
    def identifiers(self) -> list[Element]:
        """The identifiers of the resource and of the reference."""
        return [*objects_of(self.resource, "identifier"), *([self.identifier] if self.identifier else [])]


class Resources:
    """The resources of a document by the references to them."""

    def __init__(self, entries: Iterable[tuple[str, Element]]) -> None:
        self._found: dict[str, Element] = {}
        self._ambiguous: set[str] = set()
        for full_url, resource in entries:
            kind, ident = text_of(resource, "resourceType"), text_of(resource, "id")
            for name in {full_url, _relative(full_url), f"{kind}/{ident}" if kind and ident else ""} - {""}:
                is_other = name in self._found and self._found[name] != resource
                if is_other or len(str(resource.get("identifier"))) > MAX_IDENTIFIERS:
                    self._ambiguous.add(name)
                self._found[name] = resource

    def follow(self, origin: Element, reference: Element) -> Target:
        """Return the target of a reference; `origin` is the resource that holds it."""
        text, identifier = text_of(reference, "reference"), object_of(reference, "identifier")
        if text.startswith("#"):
            fitting = [item for item in objects_of(origin, "contained") if text_of(item, "id") == text[1:]]
            return Target(fitting[0] if len(fitting) == 1 else {}, "", identifier)
        name = _relative(text)
        known = text if text in self._found else name
        if known in self._ambiguous:
            return Target({}, "", identifier)
        return Target(self._found.get(known, {}), name, identifier)


def patient_of(target: Target, patients: Patients) -> str | None:
    """Return the number of a patient: by the first authority that an identifier has, else the id in the reference.

    None without one, with several, or if the Patient is there and has no number of the site's authorities.
    """
    kind = text_of(target.resource, "resourceType") or target.name.partition("/")[0]
    if kind not in ("", "Patient"):
        return None
    numbers = [(text_of(item, "value"), _authorities(item)) for item in target.identifiers]
    for authority in patients.authority:
        fitting = {number for number, stated in numbers if number and _states(stated, authority)}
        if len(fitting) > 1:
            return None
        if fitting:
            return _checked(fitting.pop())
    if patients.authority and list(objects_of(target.resource, "identifier")):
        return None
    return _checked(target.name.partition("/")[2])


def equipment_of(target: Target) -> set[str]:
    """Return what names a Device: its reference, the values of its identifiers, and those with their system."""
    names = {target.name} - {""}
    for item in target.identifiers:
        value, system = text_of(item, "value"), text_of(item, "system")
        names |= {value, f"{system}|{value}"} - {""} if value else set()
    return names


def _states(stated: set[str], authority: str) -> bool:
    return authority in stated if authority else not stated


def _authorities(identifier: Element) -> set[str]:
    """Return the system of an identifier, as a URI and as an OID, and the codes of its type."""
    system = text_of(identifier, "system")
    codes = {text_of(coding, "code") for coding in objects_of(object_of(identifier, "type"), "coding")}
    return {system, system.removeprefix("urn:oid:"), *codes} - {""}


def _checked(number: str) -> str | None:
    try:
        return parse_patient_id(number)
    except BadField:
        return None


def _relative(reference: str) -> str:
    match = _LITERAL.fullmatch(reference)
    return f"{match[1]}/{match[2]}" if match else ""
