"""Find the ward and the device of a message's place. A place that is unknown or ambiguous has none."""

from collections.abc import Set
from dataclasses import dataclass

from edges.config.site import Place, Site
from vitals.reading import Reading


class UnknownPlace(ValueError):
    """No place of the site fits, or several; the text is one sentence."""


class UnclearPlace(UnknownPlace):
    """The place may be one of the site, but not known which."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a message comes from, in its own words; the names are those of `edges.config.site.Place`."""

    unit: str = ""
    room: str = ""
    bed: str = ""
    facility: str = ""
    location: str = ""
    application: str = ""
    sender: str = ""
    patient: str = ""
    source: str = ""
    equipment: Set[str] = frozenset()

    def __str__(self) -> str:
        texts = {
            "location": self.location,
            "application": self.application,
            "sender": self.sender,
            "source": self.source,
            "equipment": ", ".join(sorted(self.equipment)),
        }
        return ", ".join(f"{key} = {text[:60]!a}" for key, text in texts.items() if text) or "nothing"


@dataclass(frozen=True, slots=True)
class PlacedReading:
    """A reading with the device that it is of, or why it has none.

    location   where it comes from, if a later configuration of the site may name it
    """

    reading: Reading
    ward: str | None
    device: str | None
    problem: str = ""
    location: Location | None = None


def find_place(site: Site, location: Location) -> Place:
    """Return the place that a location fits; raises UnknownPlace unless all that fit are one device."""
    if not all(_is_readable(text) for text in (location.unit, location.room, location.bed, location.facility)):
        raise UnclearPlace(f"{location} holds bytes outside the character set of the message")
    fitting = [
        place for place in site.places_by_bed.get(location.bed, site.places_of_any_bed) if _fits(place, location)
    ]
    if len({(place.ward, place.device) for place in fitting}) > 1:
        devices = ", ".join(sorted({f"{place.ward}/{place.device}" for place in fitting}))
        raise UnclearPlace(f"several places fit: {devices}")
    if not fitting:
        raise UnknownPlace(f"no place of the site fits {location}")
    return fitting[0]


def place_or_problem(site: Site, location: Location) -> tuple[Place | None, Location | None, str]:
    """Return the place that a location fits, or the location, if a later site may name it, and why there is none."""
    try:
        return find_place(site, location), None, ""
    except UnclearPlace as error:
        return None, None, str(error)
    except UnknownPlace as error:
        return None, location, str(error)


def _is_readable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _fits(place: Place, location: Location) -> bool:
    """Whether all keys of a place are equal, and none that it leaves out would tell two beds apart."""
    conditions = place.conditions
    for key, expected in conditions.items():
        if key == "equipment":
            if expected not in location.equipment:
                return False
        elif getattr(location, key) != expected:
            return False
    if not conditions.keys() & {"location", "equipment"}:
        for key in ("unit", "room", "bed"):
            if key not in conditions and getattr(location, key):
                return False
    return True
