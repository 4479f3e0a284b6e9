"""Read the configuration of a site: the devices of places, the numbers of patients, and the senders."""

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from edges.config.code_tables import ALWAYS, CodeTable, read_tables, table_names
from edges.config.mapping_presets import preset_names, read_preset
from edges.config.mapping_table import Mapping
from edges.config.mqtt_table import MqttSource
from edges.config.receiver_table import Receiver
from edges.config.serial_table import SerialPort, check_ports
from edges.config.types import Level, MaybeEmpty, Table, Text
from edges.config.webhook_table import Webhook
from vitals.errors import PermanentError


class Patients(Table):
    """Which number of PID-3 is the patient's: the first of these authorities (CX.4) or types (CX.5) that is there.

    An empty text means a number that has neither.
    """

    authority: tuple[str, ...] = Field(default=(), max_length=50)


class Place(Table):
    """A place in the words of a message, and the device that it is. Every key that is given has to be equal.

    unit, room, bed, facility   PV1-3.1 to PV1-3.4; unless location or equipment is given, the first three have to be
                                empty in the message where they are left out, so that two beds are never one device
    location                    PV1-3 as it is sent, for senders that use it in another way
    equipment                   OBX-18.1 or OBX-18.3; of FHIR the reference to the Device, such as Device/17, or a value
                                of its identifiers, also with the system in front: system|value; of a webhook the
                                account
    application, sender         MSH-3 and MSH-4
    patient                     the number of a patient, of FHIR
    source                      the name of a [[source]] of FHIR, or of a [[webhook]]
    """

    ward: Level
    device: Level
    unit: Text | None = None
    room: Text | None = None
    bed: Text | None = None
    facility: Text | None = None
    location: Text | None = None
    equipment: Text | None = None
    application: Text | None = None
    sender: Text | None = None
    patient: Text | None = None
    source: Text | None = None

    @cached_property
    def conditions(self) -> dict[str, str]:
        """The keys that have to be equal."""
        return self.model_dump(exclude={"ward", "device"}, exclude_none=True)

    @model_validator(mode="after")
    def _check(self) -> "Place":
        if not self.conditions:
            keys = "unit, room, bed, location, equipment, application, patient, source"
            raise ValueError(f"states no place; give at least one of {keys}")
        return self


class Source(Table):
    """What a sender is known for: `application` is its MSH-3, `sender` its MSH-4; an empty text means an empty field.
    A sender of FHIR is known for the token in `token_file`.

    codes      names of the tables of its vendor
    clock      receipt: its clock is wrong, and a reading has the time of receipt
    no_value   numbers that mean "no value"
    episodic_without_time   change: a cuff value or the like without a time of its own counts only if it differs from
                            the one before
    admissions whether its admissions (ADT) move patients
    interval_s seconds between two messages of a bed; without it the alert worker learns it
    unknown    answer to a message of which no place is known: AA keeps its readings, AE has the sender repeat it
    """

    name: Text
    application: MaybeEmpty | None = None
    sender: MaybeEmpty | None = None
    token_file: Path | None = None
    codes: tuple[str, ...] = ()
    clock: Literal["message", "receipt"] = "message"
    no_value: tuple[float, ...] = ()
    episodic_without_time: Literal["store", "change"] = "store"
    admissions: bool = False
    interval_s: float | None = Field(default=None, gt=0, le=86_400)
    unknown: Literal["AA", "AE"] = "AA"

    @field_validator("codes")
    @classmethod
    def _check_codes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in table_names():
                known = [name for name in table_names() if name not in ALWAYS]
                raise ValueError(f"names the unknown table {name[:40]!r}; known are {', '.join(known)}")
        return names

    @model_validator(mode="after")
    def _check(self) -> "Source":
        if self.application is None and self.sender is None and self.token_file is None:
            raise ValueError("needs application (MSH-3), sender (MSH-4) or token_file (FHIR)")
        return self

    @property
    def is_of_fhir(self) -> bool:
        """Whether no message of HL7 v2 is of this sender."""
        return self.application is None and self.sender is None

    @property
    def table(self) -> CodeTable:
        """The tables of codes that apply."""
        return read_tables(self.codes, self.no_value)


UNKNOWN_SOURCE = Source.model_construct(name="")
"""A sender that the site does not list: standard codes, the clock of the message, and no admissions."""


class Site(Table):
    """The configuration of a site.

    zone         of times without an offset
    production   processing ids (MSH-11) whose values are real
    """

    zone: Text
    production: tuple[Text, ...] = ("P",)
    patients: Patients = Patients()
    place: tuple[Place, ...] = Field(default=(), max_length=10_000)
    source: tuple[Source, ...] = Field(default=(), max_length=1_000)
    webhook: tuple[Webhook, ...] = Field(default=(), max_length=1_000)
    receiver: tuple[Receiver, ...] = Field(default=(), max_length=100)
    serial: tuple[SerialPort, ...] = Field(default=(), max_length=1_000)
    mqtt: tuple[MqttSource, ...] = Field(default=(), max_length=100)
    mapping: tuple[Mapping, ...] = Field(default=(), max_length=1_000)

    @field_validator("zone")
    @classmethod
    def _check_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("is no time zone such as Europe/Berlin") from None
        return name

    @model_validator(mode="after")
    def _check(self) -> "Site":
        wards: dict[str, str] = {}
        conditions: list[dict[str, str]] = []
        for number, place in enumerate(self.place, 1):
            if place.conditions in conditions:
                first = conditions.index(place.conditions) + 1
                raise ValueError(f"place {number} states the same place as place {first}")
            if wards.setdefault(place.device, place.ward) != place.ward:
                raise ValueError(f"place {number}: device {place.device!r} is in two wards")
            conditions.append(place.conditions)
        senders = [(source.application, source.sender) for source in self.source if not source.is_of_fhir]
        if len(set(senders)) < len(senders):
            raise ValueError("two sources have the same application and sender")
        names = [source.name for source in self.source]
        names += [webhook.name for webhook in self.webhook] + [source.name for source in self.mqtt]
        if len(set(names)) < len(names):
            raise ValueError("two of source, webhook and mqtt have the same name")
        self._check_mappings()
        for webhook in self.webhook:
            if webhook.ward and webhook.device and wards.setdefault(webhook.device, webhook.ward) != webhook.ward:
                raise ValueError(f"webhook {webhook.name}: device {webhook.device!r} is in two wards")
        if len({receiver.name for receiver in self.receiver}) < len(self.receiver):
            raise ValueError("two receivers have the same name")
        check_ports(self.serial, wards)
        return self

    def _check_mappings(self) -> None:
        names = [mapping.name for mapping in self.mapping]
        if len(set(names)) < len(names):
            raise ValueError("two mappings have the same name")
        for source in self.mqtt:
            for name in source.mappings:
                found = self.mappings_named(name)
                if not found:
                    known = ", ".join((*names, *preset_names()))
                    raise ValueError(f"mqtt {source.name}: the mapping {name[:40]!a} is unknown; known are {known}")
                if any(mapping.topic is None for mapping in found):
                    raise ValueError(f"mqtt {source.name}: the mapping {name[:40]!a} has no topic")

        for webhook in self.webhook:
            if webhook.mapping is not None:
                if webhook.mapping not in names:
                    known = ", ".join(names) or "none"
                    raise ValueError(
                        f"webhook {webhook.name}: there is no [[mapping]] {webhook.mapping[:40]!a}; there are {known}"
                    )
                if webhook.device is not None and self.mapping_of(webhook).account is not None:
                    raise ValueError(f"webhook {webhook.name}: the device is named, and the mapping has an account too")

    def mapping_of(self, webhook: Webhook) -> Mapping:
        """Return the mapping that a webhook names."""
        return next(mapping for mapping in self.mapping if mapping.name == webhook.mapping)

    def mappings_named(self, name: str) -> tuple[Mapping, ...]:
        """Return the mapping of the site with this name, else the built-in ones; none if there is none."""
        own = tuple(mapping for mapping in self.mapping if mapping.name == name)
        return own or (read_preset(name) if name in preset_names() else ())

    @cached_property
    def tz(self) -> ZoneInfo:
        """The zone."""
        return ZoneInfo(self.zone)

    @cached_property
    def places_of_any_bed(self) -> tuple[Place, ...]:
        """The places that a location fits whatever its bed."""
        return tuple(place for place in self.place if place.bed is None)

    @cached_property
    def places_by_bed(self) -> dict[str, tuple[Place, ...]]:
        """The places that a location may fit, by its bed; those of any bed are the only ones for all other beds."""
        beds: dict[str, list[Place]] = {}
        for place in self.place:
            if place.bed is not None:
                beds.setdefault(place.bed, []).append(place)
        return {bed: (*places, *self.places_of_any_bed) for bed, places in beds.items()}

    def find_source(self, application: str, sender: str) -> Source:
        """Return the first source that a header fits, UNKNOWN_SOURCE without one."""
        for source in self.source:
            fits = source.application in (None, application) and source.sender in (None, sender)
            if fits and not source.is_of_fhir:
                return source
        return UNKNOWN_SOURCE

    def source_named(self, name: str) -> Source:
        """Return the source with this name, UNKNOWN_SOURCE without one."""
        return next((source for source in self.source if source.name == name), UNKNOWN_SOURCE)


def read_site(path: Path) -> Site:
    """Read a site's file; raises PermanentError that names each mistake with its key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise PermanentError(f"{path}: {reason}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PermanentError(f"{path} is no TOML: {error}") from None
    try:
        return Site.model_validate(content)
    except ValidationError as error:
        raise PermanentError(describe_mistakes(f"{path}: ", error)) from None


def describe_mistakes(where: str, error: ValidationError) -> str:
    """Return a line for each mistake, which begins with `where` and the key."""
    return "\n".join(_describe(where, problem) for problem in error.errors())


def _describe(where: str, problem: ErrorDetails) -> str:
    key = ""
    for part in problem["loc"]:
        key += f" {part + 1}" if isinstance(part, int) else f"{', ' if key else ''}{part}"
    match problem["type"]:
        case "missing":
            text = "is missing"
        case "extra_forbidden":
            text = "is no key of this table"
        case "value_error":
            text = str(problem["ctx"]["error"])
        case _:
            text = f"{problem['input']!a:.60}: {problem['msg']}"
    return f"{where}{key}{' ' if key else ''}{text}"
