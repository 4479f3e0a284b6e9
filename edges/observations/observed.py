"""Decide about observations: which one is a value of a reading, and why each of the others is not.

Every observation ends in exactly one reason. A wrong value must never arise: code, name and unit have to agree, and
where two observations could be meant, none is taken.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from edges.config.code_tables import CONSCIOUSNESS, NO_CODE, Code, CodeTable, Contradiction, Meaning
from edges.observations.episodic import CONTINUOUS
from edges.observations.quantities import not_of_the_body
from vitals.fields import BadField, format_number, parse_sign
from vitals.reading import Reading, reading
from vitals.recording.marks import NO_MEASUREMENT
from vitals.signs import BY_KEY, DIASTOLIC, SIGN_KEYS, SYSTOLIC, Sign
from vitals.units import InvalidUnit, convert

_FLAGS = "INV NAV CAL TEST DEMO BUSY OFF NI SETTING < > QCF IND"
_WRITTEN_OUT = (
    "UNAVAILABLE CALIBRATION CALIBRATING DEMONSTRATION SIM ERR ERROR FAILED INDETERMINATE DISCONNECTED STALE "
    f"{NO_MEASUREMENT.upper()}"
)
_NO_VALUE_FLAGS = frozenset(f"{_FLAGS} {_WRITTEN_OUT}".split())
_CODED = ("CWE", "CE", "CNE")
_DELETED = ("D", "W")  # of OBX-11: deleted, or wrong
_STATUSES = frozenset(("", "R", "P", "F", "C"))
_STATUS_ORDER = {"C": 0, "P": 2, "R": 2}  # corrected, preliminary, raw; the others are final
_WAVEFORMS = ("NA", "MA", "SampledData")  # types of HL7 v2 and of FHIR
_NUMBERS = ("NM", "ST", "TX", "Quantity", "Integer")
SUMMARY, NOTICE, ALERT = "summary", "notice", "alert"  # types of an observation that its decoder knows to be no value
_PRESSURES = (SIGN_KEYS[SYSTOLIC], SIGN_KEYS[DIASTOLIC])
_TEMPERATURE = BY_KEY["temperature"].key


class Reason(StrEnum):
    """What became of an observation."""

    USED = "used"
    SAME_AGAIN = "same_again"  # a measurement that was sent before
    OTHER_SOURCE = "other_source"  # another source of the same sign and moment is taken
    UNMAPPED = "unmapped"
    CONTRADICTION = "contradiction"
    UNKNOWN_UNIT = "unknown_unit"
    IMPLAUSIBLE = "implausible"
    NO_VALUE = "no_value"
    UNREADABLE = "unreadable"
    NO_TIME = "no_time"
    HEADER = "header"
    WAVEFORM = "waveform"
    ALERT = "alert"
    NOT_PRODUCTION = "not_production"
    UNKNOWN_PLACE = "unknown_place"
    REFUSED = "refused"  # with the transaction that holds it
    SUMMARY = "summary"  # of a period: a mean, a minimum
    NOTICE = "notice"  # that there are values elsewhere


class Observation(Struct, frozen=True):
    """One observation in its sender's words.

    segment     its number in the message, from 1
    codes       its code and alternate code
    kind        type of the value, such as NM
    values      repetitions of the value
    other_unit  the alternate code of the unit
    flags       interpretation and quality codes
    time        None: no usable time, for the reason `time_problem`
    channel     OBX-4, the position in the device
    absent      why it has no value that counts, where its decoder knows; a sentence
    label       free text of what is measured, beside the names of the codes
    site        texts of where it is measured
    own_time    whether the time is that of this measurement, and not only that of the message
    """

    segment: int
    codes: tuple[Code, ...]
    kind: str = ""
    values: tuple[str, ...] = ()
    unit: Code = NO_CODE
    other_unit: Code = NO_CODE
    flags: frozenset[str] = frozenset()
    status: str = ""
    time: datetime | None = None
    time_problem: str = ""
    channel: str = ""
    absent: str = ""
    label: str = ""
    site: str = ""
    own_time: bool = False


class Verdict(Struct, frozen=True):
    """What became of an observation, and for which reason in a sentence; empty where the reason says all."""

    observation: Observation
    reason: Reason
    detail: str = ""

    def without_place(self, problem: str, kept: Sequence[Reason] = (Reason.USED,)) -> "Verdict":
        """Return the verdict if no place of the site is that of the observation; one that is not `kept` stays."""
        return Verdict(self.observation, Reason.UNKNOWN_PLACE, problem) if self.reason in kept else self


class _Value(Struct, frozen=True):
    """An observation that has a value."""

    observation: Observation
    meaning: Meaning
    time: datetime
    value: float | str

    @property
    def preference(self) -> tuple[int, tuple[tuple[int, str], ...], int]:
        """The smaller one is taken: the rank of the source, the position in the device, then the status."""
        status = _STATUS_ORDER.get(self.observation.status, 1)
        return self.meaning.rank, _position(self.observation.channel), status

    @property
    def source(self) -> tuple[int, str]:
        """Equal for the two pressures of one measurement."""
        return self.meaning.rank, self.observation.channel.rpartition(".")[0]

    def is_in(self, deleted: Mapping[tuple[str, str, datetime], int]) -> bool:
        """Whether the value of this sign, position and time is deleted after it."""
        key = (self.meaning.sign, self.observation.channel, self.time)
        return self.observation.segment < deleted.get(key, 0)

    def contradicts(self, off: "_Value | None") -> bool:
        """Whether the sign is measured after all: by another source, or not before the statement that it is not."""
        return off is None or self.source != off.source or self.time >= off.time


@lru_cache(maxsize=4096)
def _position(channel: str) -> tuple[tuple[int, str], ...]:
    """Return the position in the device for comparisons: 1.9.1 is before 1.10.1."""
    parts = channel.split(".")
    return tuple((int(part) if part.isdecimal() and len(part) < 10 else 10**10, part) for part in parts)


class _Unusable(Exception):
    """An observation without a value; `is_off`: its sender states that there is none, such as a sensor off."""

    def __init__(self, reason: Reason, detail: str = "", *, is_off: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.is_off = is_off


def decide(
    observations: Iterable[Observation],
    table: CodeTable,
    patient_id: str | None,
    is_repeat: Callable[[Observation, str, float], bool] = lambda observation, sign, value: False,
    had_value: Callable[[str], bool] = lambda sign: True,
) -> tuple[list[Reading], list[Verdict]]:
    """Return the readings of one patient at one place, in the order of time, and a verdict on each observation.

    is_repeat   whether this value of a sign was stored before
    had_value   whether there was a value of a sign before; if not, it is no news that there is none
    """
    values: list[_Value] = []
    verdicts: list[Verdict] = []
    stated_off: dict[str, _Value] = {}  # sign -> the last statement that it has no value
    deleted: dict[tuple[str, str, datetime], int] = {}  # sign, position and time -> segment of the deletion
    for observation in observations:
        try:
            values.append(_evaluate(observation, table))
        except _Unusable as unusable:
            verdicts.append(Verdict(observation, unusable.reason, unusable.detail))
            if unusable.is_off and observation.time is not None and (meaning := table.find(observation.codes)):
                found = _Value(observation, meaning, observation.time, "")
                stated_off[meaning.sign] = max(stated_off.get(meaning.sign, found), found, key=lambda value: value.time)
            elif observation.status in _DELETED and observation.time and (meaning := table.find(observation.codes)):
                deleted[meaning.sign, observation.channel, observation.time] = observation.segment
    verdicts += [
        Verdict(value.observation, Reason.NO_VALUE, "the message deletes it too")
        for value in values
        if value.is_in(deleted)
    ]
    values = [value for value in values if not value.is_in(deleted)]
    moments: defaultdict[datetime, list[_Value]] = defaultdict(list)
    for value in values:
        moments[value.time].append(value)
    is_measured = {value.meaning.sign for value in values if value.contradicts(stated_off.get(value.meaning.sign))}
    off = {sign: stated_off[sign].time for sign in stated_off.keys() & CONTINUOUS - is_measured if had_value(sign)}
    off_at = {time: tuple(sign for sign in SIGN_KEYS if off.get(sign) == time) for time in off.values()}
    readings = []
    for time in sorted(moments.keys() | off_at.keys()):
        chosen, decided = _choose(moments[time])
        repeats = [value for value in chosen if _repeats(value, is_repeat)]
        if repeats:
            chosen = [value for value in chosen if value not in repeats]
            again = [value.observation.segment for value in repeats]
            decided = [
                Verdict(verdict.observation, Reason.SAME_AGAIN) if verdict.observation.segment in again else verdict
                for verdict in decided
            ]
        sensor_off = off_at.get(time, ())
        if [value.meaning.sign for value in chosen] == [CONSCIOUSNESS] and not sensor_off:
            detail = "no sign has its time"  # ingest accepts no reading without a sign
            decided = [_without_use(verdict, detail) for verdict in decided]
            chosen = []
        verdicts += decided
        if chosen or sensor_off:
            readings.append(_reading(time, chosen, patient_id, sensor_off))
    return readings, sorted(verdicts, key=lambda verdict: verdict.observation.segment)


def _repeats(value: _Value, is_repeat: Callable[[Observation, str, float], bool]) -> bool:
    return isinstance(value.value, float) and is_repeat(value.observation, value.meaning.sign, value.value)


def _without_use(verdict: Verdict, detail: str) -> Verdict:
    return Verdict(verdict.observation, Reason.NO_VALUE, detail) if verdict.reason is Reason.USED else verdict


def _evaluate(observation: Observation, table: CodeTable) -> _Value:
    if observation.kind in _WAVEFORMS:
        raise _Unusable(Reason.WAVEFORM)
    if observation.kind == NOTICE:
        raise _Unusable(Reason.NOTICE)
    if observation.kind == ALERT:
        raise _Unusable(Reason.ALERT)
    if observation.kind != "NM" and any(code.system.upper() == "MDIL-ALERT" for code in observation.codes):
        raise _Unusable(Reason.ALERT)
    is_empty = not any(observation.values)
    if not observation.kind and is_empty and "X" not in (observation.status, *observation.flags):
        raise _Unusable(Reason.HEADER)
    try:
        meaning = table.find(observation.codes, observation.label)
    except Contradiction as error:
        raise _Unusable(Reason.CONTRADICTION, str(error)) from None
    if meaning is None:  # HL7 leaves out the type of what has no value: a part of the device, or a sign
        raise _Unusable(Reason.HEADER if not observation.kind and is_empty else Reason.UNMAPPED)
    if observation.kind == SUMMARY:
        raise _Unusable(Reason.SUMMARY)
    text = _text(observation)
    if meaning.sign == _TEMPERATURE and (word := not_of_the_body(observation.site)):
        raise _Unusable(Reason.NO_VALUE, f"its text states {word!a}: it is no temperature of the body")
    if observation.time is None:
        raise _Unusable(Reason.NO_TIME, observation.time_problem)
    if meaning.sign == CONSCIOUSNESS:
        value: float | str | None = _word(observation, text, meaning)
        if value is None:
            raise _Unusable(Reason.UNREADABLE, f"{text[:40]!a} is none of {', '.join(meaning.values)}")
    else:
        value = _number(observation, BY_KEY[meaning.sign], text, meaning, table)
    return _Value(observation, meaning, observation.time, value)


def _text(observation: Observation) -> str:
    """Return the only value; raises _Unusable where there is none that counts."""
    if observation.absent:
        raise _Unusable(Reason.NO_VALUE, observation.absent)
    if observation.status not in _STATUSES:
        raise _Unusable(Reason.NO_VALUE, f"its status is {observation.status[:10]!a}", is_off=observation.status == "X")
    flags = observation.flags & _NO_VALUE_FLAGS
    if not observation.status:  # senders that leave a field out send the status in one before it
        flags |= observation.flags & {"X", "D", "W"}
    if flags:
        raise _Unusable(Reason.NO_VALUE, f"it is flagged {', '.join(sorted(flags))}", is_off=bool(flags & {"X", "OFF"}))
    if not any(observation.values):
        raise _Unusable(Reason.NO_VALUE, "it is empty")
    if len(observation.values) > 1:
        raise _Unusable(Reason.UNREADABLE, "it has several values")
    if observation.values[0] == '""':
        raise _Unusable(Reason.NO_VALUE, "it is null")
    return observation.values[0]


def _word(observation: Observation, text: str, meaning: Meaning) -> str | None:
    """Return the meaning of a text, or of the only component of a coded value that has one."""
    parts = re.split(r"[^\w ]", text) if observation.kind in _CODED else [text]
    found = {meaning.values[part] for part in parts if part in meaning.values}
    return found.pop() if len(found) == 1 else None


def _number(observation: Observation, sign: Sign, text: str, meaning: Meaning, table: CodeTable) -> float:
    if observation.kind not in _NUMBERS:
        expected = ", ".join(_NUMBERS)
        raise _Unusable(Reason.UNREADABLE, f"a number has one of the types {expected}, not {observation.kind[:20]!a}")
    try:
        number = parse_sign(sign, text)
    except BadField as error:
        raise _Unusable(Reason.UNREADABLE, str(error)) from None
    if number in table.no_value:
        raise _Unusable(Reason.NO_VALUE, f"{format_number(number)} means that there is none", is_off=True)
    try:
        number = convert(number * meaning.scale, table.find_unit(observation.unit, observation.other_unit), sign)
    except InvalidUnit as error:
        raise _Unusable(Reason.UNKNOWN_UNIT, str(error)) from None
    number = round(number, 6)  # a scale of 0.01 leaves 36.5 as 36.500000000000004
    if not sign.low <= number <= sign.high:
        expected = f"{sign.low:g} to {sign.high:g} {sign.unit}"
        raise _Unusable(Reason.IMPLAUSIBLE, f"{sign.key} {format_number(number)} is outside {expected}")
    if sign.unit == "%" and number <= 1:
        raise _Unusable(
            Reason.IMPLAUSIBLE, f"{sign.key} {format_number(number)} % may be a fraction, or no measurement"
        )
    return number


def _choose(values: Sequence[_Value]) -> tuple[list[_Value], list[Verdict]]:
    """Return at most one value of each sign of one moment, and the verdict on each."""
    verdicts: list[Verdict] = []
    chosen: dict[str, _Value] = {}
    by_sign: defaultdict[str, list[_Value]] = defaultdict(list)
    for value in values:
        by_sign[value.meaning.sign].append(value)
    for sign, candidates in by_sign.items():
        if len(candidates) == 1:
            chosen[sign] = candidates[0]
            continue
        best = min(value.preference for value in candidates)
        first = [value for value in candidates if value.preference == best]
        rest = [value for value in candidates if value.preference != best]
        if len({value.value for value in first}) > 1:
            detail = f"{len(first)} values of {sign} have one time and one position"
            verdicts += [Verdict(value.observation, Reason.CONTRADICTION, detail) for value in first]
        else:
            chosen[sign] = first[0]
            rest += first[1:]
        verdicts += [Verdict(value.observation, Reason.OTHER_SOURCE) for value in rest]
    verdicts += _check_pressures(chosen)
    verdicts += [Verdict(value.observation, Reason.USED) for value in chosen.values()]
    return list(chosen.values()), verdicts


def _check_pressures(chosen: dict[str, _Value]) -> list[Verdict]:
    """Remove pressures that do not belong together: of two measurements, or the diastolic one not the lower."""
    systolic, diastolic = (chosen.get(sign) for sign in _PRESSURES)
    if systolic is None or diastolic is None:
        return []
    if systolic.source != diastolic.source:
        worse = max(systolic, diastolic, key=lambda value: value.preference)
        del chosen[worse.meaning.sign]
        return [Verdict(worse.observation, Reason.OTHER_SOURCE, "the other pressure is of another measurement")]
    if float(diastolic.value) < float(systolic.value):
        return []
    for sign in _PRESSURES:
        del chosen[sign]
    detail = "the diastolic pressure is not below the systolic one"
    return [Verdict(value.observation, Reason.CONTRADICTION, detail) for value in (systolic, diastolic)]


def _reading(time: datetime, chosen: Iterable[_Value], patient_id: str | None, sensor_off: tuple[str, ...]) -> Reading:
    values = {value.meaning.sign: value.value for value in chosen}
    consciousness = values.pop(CONSCIOUSNESS, None)
    signs = {sign: float(value) for sign, value in values.items()}
    return reading(time, signs, patient_id=patient_id, consciousness=consciousness, sensor_off=sensor_off)
