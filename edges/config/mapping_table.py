"""The table [[mapping]] of a site: where the values stand in the messages of a sender that has no format of its own."""

import re
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from edges.config.types import Table, Text
from vitals.signs import BY_KEY, SIGN_KEYS
from vitals.units import InvalidUnit, convert, find_unit

Scalar = str | float | bool
TimeFormat = Literal["iso", "s", "ms", "us", "ns"]

_NAME = re.compile(r"\{([a-z_][a-z0-9_]{0,30})\}")
ANY_LEVEL, ANY_LEVELS = "+", "#"


def _pointer(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError(f"{text[:40]!a} is no JSON pointer (RFC 6901): it begins with /, or is empty for the whole")
    if re.search("~(?![01])", text):
        raise ValueError(f"{text[:40]!a}: in a JSON pointer ~ is written ~0, and / within a key ~1")
    return text


Pointer = Annotated[str, Field(max_length=500), AfterValidator(_pointer)]


class ValueRule(Table):
    """Where the value of a sign stands.

    pointer        JSON pointer (RFC 6901); empty: the message, or the element, is the value itself
    unit           of the value; or unit_pointer: where the message states it
    rank           of two values of one sign and moment, the one with the lower rank is taken
    when           pointer -> what has to stand there; otherwise the rule says nothing
    valid          pointer -> what has to stand there; otherwise there is no value
    no_value       what stands in place of a value
    sensor_off     what stands there if the sensor is off
    """

    sign: Literal[SIGN_KEYS]  # type: ignore[valid-type]
    pointer: Pointer = ""
    unit: Text | None = None
    unit_pointer: Pointer | None = None
    rank: int = Field(default=1, ge=1, le=100)
    when: dict[Pointer, Scalar] = Field(default={}, max_length=10)
    valid: dict[Pointer, Scalar] = Field(default={}, max_length=10)
    no_value: tuple[Scalar, ...] = Field(default=(), max_length=50)
    sensor_off: tuple[Scalar, ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _check(self) -> "ValueRule":
        if (self.unit is None) == (self.unit_pointer is None):
            raise ValueError("needs either unit or unit_pointer: a number without a unit is not guessed")
        if self.unit is not None:
            try:
                convert(0.0, find_unit(self.unit, "", "", {}), BY_KEY[self.sign])
            except InvalidUnit as error:
                raise ValueError(f"{error}, for {self.sign}") from None
        return self


class Mapping(Table):
    """How to read the messages of a sender.

    payload       json, or line: the line protocol of InfluxDB, read as an array of Telegraf's JSON objects
    topic         of MQTT: {name} is any level, whose text is an account of the sender; + any level, # all that follow
    each          pointer to the elements that hold values, with * for any key or index; empty: the whole message. The
                  other pointers begin there; what is not in the element, but for values, is looked up in the whole
                  message
    time          pointer to the time; without it values have the time of receipt
    time_format   iso: a text, in the site's zone if it has no offset; or a number since 1970 in s, ms, us, ns
    account       pointer to what names the device or person at the sender: the `equipment` of a [[place]]
    patient       pointer to the patient's id
    ignore        pointers to what holds no value, and is not counted
    """

    name: Text
    payload: Literal["json", "line"] = "json"
    topic: Text | None = None
    each: Pointer = ""
    time: Pointer | None = None
    time_format: TimeFormat = "iso"
    account: Pointer | None = None
    patient: Pointer | None = None
    ignore: tuple[Pointer, ...] = Field(default=(), max_length=200)
    value: tuple[ValueRule, ...] = Field(min_length=1, max_length=200)

    @field_validator("topic")
    @classmethod
    def _check_topic(cls, topic: str | None) -> str | None:
        levels = topic.split("/") if topic else []
        names = [match[1] for level in levels if (match := _NAME.fullmatch(level))]
        for number, level in enumerate(levels, 1):
            if level == ANY_LEVELS and number < len(levels):
                raise ValueError("# is the last level of a topic")
            if level not in (ANY_LEVEL, ANY_LEVELS) and not _NAME.fullmatch(level) and set(level) & set("+#{}"):
                raise ValueError(f"the level {level[:40]!a}: +, # and {{name}} are whole levels of a topic")
        if len(set(names)) < len(names):
            raise ValueError("two levels have the same name")
        if levels and (_NAME.fullmatch(levels[0]) or levels[0] in (ANY_LEVEL, ANY_LEVELS)):
            raise ValueError("the first level of a topic is a text: else the mapping reads what VitalFlow publishes")
        return topic

    @cached_property
    def topic_filter(self) -> str:
        """The topic filter of MQTT."""
        return "/".join(ANY_LEVEL if _NAME.fullmatch(level) else level for level in (self.topic or "").split("/"))

    def match(self, topic: str) -> tuple[str, ...] | None:
        """Return the texts of the named levels of a topic, None if the mapping is not of this topic."""
        if self.topic is None:
            return None
        names: list[str] = []
        levels, texts = self.topic.split("/"), topic.split("/")
        for number, level in enumerate(levels):
            if level == ANY_LEVELS:
                return tuple(names)
            if number >= len(texts):
                return None
            if _NAME.fullmatch(level):
                names.append(texts[number])
            elif level not in (ANY_LEVEL, texts[number]):
                return None
        return tuple(names) if len(texts) == len(levels) else None
