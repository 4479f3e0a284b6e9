"""Make observations of a message by a [[mapping]] of the site. Pure.

Nothing is guessed: a value has the unit that the mapping or the message states, and a number in a text counts only if
the text holds nothing else but a unit. What no rule speaks of is an observation without a meaning, so that it is
counted and listed by its pointer.
"""

import re
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import islice
from typing import Any

from edges.config.code_tables import NO_CODE, Code
from edges.config.mapping_table import Mapping, Scalar, TimeFormat, ValueRule
from edges.observations.found import Found
from edges.observations.json_document import MAX_ITEMS, InvalidDocument, text_of_value
from edges.observations.observed import Observation
from edges.observations.times import parse_number, parse_text
from vitals.local_time import InvalidTime
from vitals.recording.marks import bad_mark

SYSTEM = "MAPPING"
MAX_UNMAPPED = 100  # of a message, each an observation
MAX_VALUES = 20_000  # of a message
_NUMBER_AND_UNIT = re.compile(r"([+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?) ?([^0-9\s.,+-][^0-9]{0,30})", re.ASCII)
_PER_SECOND: dict[TimeFormat, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class _Nothing:
    """What stands where nothing stands; null is something."""


NOTHING = _Nothing()


@dataclass(frozen=True, slots=True)
class _Element:
    """An element with values, where it stands, and the whole message."""

    content: object
    path: str
    message: object

    def find(self, pointer: str) -> object:
        found = _find(self.content, pointer)
        return _find(self.message, pointer) if isinstance(found, _Nothing) and self.path else found


def observe(mapping: Mapping, message: object, names: tuple[str, ...], zone: tzinfo, received: datetime) -> list[Found]:
    """Return the observations of a message; raises InvalidDocument if there are too many.

    names      the accounts that the topic names
    zone       of times without an offset
    received   the time of receipt, which values without a time have
    """
    found: list[Found] = []
    used: set[str] = set()
    kinds: dict[str, str] = {}
    named = {key for pointer in _stated(mapping) for key in _keys(pointer)[-1:]}
    for position, element in enumerate(_elements(mapping, message), 1):
        time, problem = _time(mapping, element, zone, received)
        accounts = (*names, *_text(element, mapping.account))
        patient = next(iter(_text(element, mapping.patient)), None)
        # what the mapping knows beside values, in the element and in the whole message
        used |= {start + pointer for start in {element.path, ""} for pointer in _stated(mapping)}
        for rule in mapping.value:
            if not all(_equals(element.find(pointer), value) for pointer, value in rule.when.items()):
                kinds[element.path] = " ".join(f"{element.find(pointer)!s:.60}" for pointer in rule.when)
                continue
            # Never of the whole message: it would be a value of each element, that of another patient too.
            value = _find(element.content, rule.pointer)
            used.add(element.path + rule.pointer)
            if isinstance(value, _Nothing):
                continue
            number = len(found) + 1
            observation = _observation(rule, element, value, number, position, time, problem, mapping.time, named)
            found.append(Found(observation, accounts, patient))
            if len(found) > MAX_VALUES:
                raise InvalidDocument(f"the message has more than {MAX_VALUES} values; send several", 422, "too-long")
    unmapped = islice(_leaves(message, used.__contains__, kinds), MAX_UNMAPPED)
    found += [
        Found(Observation(number, (Code(path, "", SYSTEM),), values=("?",), time=received), names)
        for number, path in enumerate(unmapped, len(found) + 1)
    ]
    return found


def _observation(
    rule: ValueRule,
    element: _Element,
    value: object,
    segment: int,
    position: int,
    time: datetime | None,
    problem: str,
    own_time: str | None,
    named: Set[str],
) -> Observation:
    text, unit = _split(value)
    is_off = _is_one_of(value, rule.sensor_off)
    absent = "" if is_off else _absent(rule, element, value) or _marked(rule, element, named)
    stated = rule.unit if rule.unit_pointer is None else next(iter(_text(element, rule.unit_pointer)), "")
    units = [*(Code(one, "", "") for one in (unit, stated) if one), NO_CODE, NO_CODE]
    return Observation(
        segment=segment,
        codes=(Code(rule.sign, "", SYSTEM),),
        kind="NM",
        values=(text,),
        unit=units[0],
        other_unit=units[1],
        flags=frozenset(("OFF",)) if is_off else frozenset(),
        time=time,
        time_problem=problem,
        channel=f"{rule.rank}.{position}",  # two pressures of one rank are of one measurement
        absent=absent,
        own_time=own_time is not None,
    )


def _absent(rule: ValueRule, element: _Element, value: object) -> str:
    """Return why a value does not count, empty if it does."""
    if value is None:
        return "it is null"
    if _is_one_of(value, rule.no_value):
        return f"{value!a:.40} means that there is none"
    for pointer, expected in rule.valid.items():
        stated = element.find(pointer)
        if not _equals(stated, expected):
            shown = "nothing" if isinstance(stated, _Nothing) else f"{stated!a:.40}"
            return f"{pointer} is {shown} and not {expected!a:.40}"
    return ""


def _marked(rule: ValueRule, element: _Element, named: Set[str]) -> str:
    """Return what marks a value as bad in its object, in the element and its tags; nothing that the mapping names."""
    parent, _, name = rule.pointer.rpartition("/")
    around = [_find(element.content, pointer) for pointer in (parent, "", "/tags", "/metadata", "/meta")]
    return next((mark for one in around if isinstance(one, dict) and (mark := bad_mark(one, named, name))), "")


def _split(value: object) -> tuple[str, str]:
    """Return a value as text, and the unit that stands beside the number in a text."""
    text = text_of_value(value)
    found = _NUMBER_AND_UNIT.fullmatch(text) if isinstance(value, str) else None
    return (found[1], found[2].strip()) if found else (text, "")


def _equals(value: object, expected: Scalar) -> bool:
    """Whether a value is the expected one; true is not 1, and "1" is 1."""
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    if isinstance(value, str) and isinstance(expected, (int, float)):
        try:
            return float(value) == expected
        except ValueError:
            return False
    if isinstance(value, str) and isinstance(expected, str):
        return value.strip().casefold() == expected.casefold()
    return isinstance(value, (int, float)) and value == expected


def _is_one_of(value: object, expected: tuple[Scalar, ...]) -> bool:
    return any(_equals(value, one) for one in expected)


def _text(element: _Element, pointer: str | None) -> tuple[str, ...]:
    """Return the text or number at a pointer, nothing without one."""
    value = NOTHING if pointer is None else element.find(pointer)
    if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
        return (str(value).strip(),)
    return ()


# --- time ---


def _time(mapping: Mapping, element: _Element, zone: tzinfo, received: datetime) -> tuple[datetime | None, str]:
    """Return the time of an element's values, or why there is none."""
    if mapping.time is None:
        return received, ""
    value = element.find(mapping.time)
    if isinstance(value, _Nothing):
        return None, f"nothing stands at {mapping.time}"
    try:
        if mapping.time_format == "iso":
            return parse_text(value, zone, received), ""
        return parse_number(value, _PER_SECOND[mapping.time_format]), ""
    except InvalidTime as error:
        return None, str(error)


# --- JSON pointers (RFC 6901) ---


def _find(content: Any, pointer: str) -> object:
    """Return what stands at a pointer, NOTHING without it."""
    for key in _keys(pointer):
        if isinstance(content, dict) and key in content:
            content = content[key]
        elif isinstance(content, list) and re.fullmatch("0|[1-9][0-9]{0,8}", key, re.ASCII) and int(key) < len(content):
            content = content[int(key)]
        else:
            return NOTHING
    return content


def _keys(pointer: str) -> list[str]:
    return [key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:]]


def _elements(mapping: Mapping, message: object) -> Iterator[_Element]:
    found: list[tuple[str, Any]] = [("", message)]
    for key in _keys(mapping.each):
        following: list[tuple[str, Any]] = []
        for path, content in found:
            match content:
                case dict():
                    following += [(_join(path, name), child) for name, child in content.items() if key in ("*", name)]
                case list():
                    items = [(str(number), child) for number, child in enumerate(content)]
                    following += [(f"{path}/{name}", child) for name, child in items if key in ("*", name)]
            if len(following) > MAX_ITEMS:
                raise InvalidDocument(f"the message has more than {MAX_ITEMS} elements; send several", 422, "too-long")
        found = following
    for path, content in found:
        yield _Element(content, path, message)


def _stated(mapping: Mapping) -> Iterator[str]:
    """Iterate over the pointers of a mapping, but for those of values."""
    pointers = [mapping.time, mapping.account, mapping.patient, *mapping.ignore]
    for rule in mapping.value:
        pointers += [rule.unit_pointer, *rule.when, *rule.valid]
    yield from (pointer for pointer in pointers if pointer is not None)


def _leaves(content: object, is_known: Callable[[str], bool], kinds: dict[str, str]) -> Iterator[str]:
    """Iterate over the pointers of all texts, numbers and the like that are not known, nor below what is.

    An index is *, so that the elements of an array are one kind. kinds: what an element says that it is, by its path
    """
    waiting: list[tuple[str, str, str, Any]] = [("", "", "", content)]
    while waiting:
        at, shown, kind, item = waiting.pop()
        if is_known(at):
            continue
        kind = kinds.get(at, kind)
        if isinstance(item, dict):
            below = [(_join(at, key), _join(shown, key), kind, child) for key, child in item.items()]
        elif isinstance(item, list):
            below = [(f"{at}/{number}", f"{shown}/*", kind, child) for number, child in enumerate(item)]
        else:
            below = []
            if item is not None:
                yield f"{shown or 'the whole message'}{f' of {kind}' if kind else ''}"
        waiting += reversed(below)


def _join(path: str, key: str) -> str:
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
