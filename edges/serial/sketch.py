"""Lines of sketches for Arduino and ESP32, as text with labels or as JSON. Pure.

Labels that many sketches share are known, a site names others, or patterns. Some sketches print one moment in several
lines: those that follow each other, each with a sign that the others have not, are one moment.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edges.observations.observed import Reason
from edges.serial.measurement import OXIMETER, Measurement, Unmeasured, measured
from edges.serial.sketch_labels import Label, Labels
from edges.serial.text import Damaged, Lines, is_text
from vitals.fields import describe
from vitals.recording.marks import KINDS, is_bad, kind_of
from vitals.recording.names import plain
from vitals.signs import BY_KEY

NO_VALUE = frozenset((-1.0, -999.0))
_MARKS = (  # names of marks, longest first
    "signal[ _-]?quality", "quality", "sqi", "confidence", "conf", "is[ _-]?valid", "validity", "valid", "invalid",
    "artifact", "error", "simulated", "status",
)  # fmt: skip
_NO_FINGER = re.compile(
    r"\bno[ _-]?finger\b|\bfinger (?:is )?(?:not|removed)\b|\bsensor[ _-]?off\b|"
    r"\bfinger(?:[ _-]?(?:detected|present))?\s*[:=]\s*(?:0|no|none|false|off)\b",
    re.IGNORECASE,
)
_SIMULATED = re.compile(r"\b(?:simulat(?:ed|ion|or)|demo|test[ _-]?mode|calibrat(?:ing|ion))\b", re.IGNORECASE)
_VALID = re.compile(r"\b(hr|heart[ _-]?rate|bpm|spo2)[ _-]?valid(?:ity)?\s*[:=]\s*(\w+)", re.IGNORECASE)
_MARK = re.compile(rf"\b({'|'.join(_MARKS)})\s*[:=]\s*([^\s,;|]+)", re.IGNORECASE)
_VALID_KEY = re.compile(r"(hr|heartrate|bpm|spo2)valid(?:ity)?|valid(hr|heartrate|bpm|spo2)")
_NEGATIVE = frozenset(("0", "false", "no"))
_FINGER = frozenset(("finger", "fingerdetected", "fingerpresent", "contact"))
_AIR = frozenset(("hum", "humidity", "pressure", "hpa"))  # keys beside the temperature of a room
_BODY_C = (34.0, 42.0)  # what a temperature that is not named as the body's may be

_WORDS = re.compile(r"[^\W\d_]+")
_SPLIT = re.compile(r"[\d,;|/&\t()\[\]{}]")
_OTHERWISE = re.compile(
    r"\b(?:min|max|minimum|maximum|limits?|alarms?|target|raw|low|high|thresholds?|resting|goal)\b", re.IGNORECASE
)
# Objects of JSON whose numbers are no measurements of now; avg, last and the like may be all that a sketch states.
_OTHER_OBJECTS = re.compile(
    rf"{_OTHERWISE.pattern}|\b(?:config|configuration|settings?|prev|previous|history|range)\b", re.IGNORECASE
)
_BEFORE = frozenset(("your", "the", "current", "measured", "patient"))  # words that change nothing
_VALUE = re.compile(
    r"(?:\s*\(\s*(?:bpm|%|/min|°?c)\s*\))?(?P<separator>\s*(?:\bis\b)?\s*[:=]?>?\s*)"
    r"(?P<value>[+-]?\d+(?:\.\d+)?|nan\b|null\b|none\b|n/a\b|inv(?:alid)?\b|-+(?!\d))?"
    r"(?P<unit>\s*(?:bpm|beats?\s?(?:/|per )\s?min(?:ute)?|times/min|/min|percent|%|°?c(?!\w)|℃))?",
    re.IGNORECASE,
)
_OTHER_UNIT = re.compile(r"\s*(?:[km]?hz|ms|sec|s|kpa|mmhg)\b", re.IGNORECASE)
_AFTER = re.compile(r"[\s,;|/&()\[\]}!]|\.?$")
_TEXT_NUMBER = re.compile(r"([+-]?\d{1,3}(?:\.\d{1,6})?)\s*(?:%|bpm)?", re.IGNORECASE)
_MAX_DIGITS = 3  # before the point: no vital sign has more


@dataclass(slots=True)
class Moment:
    """What the lines of one moment say.

    found        sign -> value, None for no value
    off          whether they state that no finger is on the sensor
    unmeasured   signs whose value cannot be used
    """

    found: dict[str, float | None] = field(default_factory=dict)
    off: bool = False
    unmeasured: list[Unmeasured] = field(default_factory=list)

    @property
    def signs(self) -> set[str]:
        """The signs that it speaks of."""
        return self.found.keys() | {item.sign for item in self.unmeasured}

    def add(self, other: "Moment") -> None:
        """Add a line."""
        self.found |= other.found
        self.unmeasured += other.unmeasured
        self.off = self.off or other.off

    def measurement(self) -> Measurement:
        """Return what it means; 0 and 0 is no finger."""
        if self.off or all(self.found.get(sign) == 0 for sign in OXIMETER):
            rest = measured({sign: value for sign, value in self.found.items() if sign not in OXIMETER})
            return Measurement(rest.values, tuple(sign for sign in OXIMETER if sign in self.signs), rest.unmeasured)
        result = measured(self.found)
        return Measurement(result.values, (), (*result.unmeasured, *self.unmeasured))


@dataclass(frozen=True, slots=True)
class LinePattern:
    """A pattern of a site, with groups that are named like signs.

    The groups `valid` and SIGN_valid are 0 where there is no value; the group `off` is there if the sensor is off.
    """

    pattern: re.Pattern[str]
    no_value: frozenset[float] = NO_VALUE

    def parse(self, line: str) -> Moment | None:
        """Return what a line says; None if it does not fit. Raises Damaged where a value is no number."""
        matched = self.pattern.search(line)
        if matched is None:
            return None
        groups = matched.groupdict()
        moment = Moment(off=bool(groups.get("off")))
        for name, text in groups.items():
            if name in ("off", "valid") or name.endswith("_valid") or text is None:
                continue
            valid = [groups.get("valid"), groups.get(f"{name}_valid")]
            if any(flag is not None and flag.casefold() in _NEGATIVE for flag in valid):
                moment.found[name] = None
            else:
                moment.found[name] = _number(text, self.no_value)
        return moment if moment.found or moment.off else None


class SketchDecoder:
    """A decoder of the lines of a sketch.

    patterns     of the site; a line that none fits is not used
    from_start   whether the bytes may begin with a whole line: it is used if it begins with a label, as JSON, or
                 as the next one
    """

    def __init__(self, labels: Labels, patterns: Iterable[LinePattern] = (), *, from_start: bool = False) -> None:
        self.damaged = 0
        self._lines = Lines(from_start=from_start)
        self._labels = labels
        self._patterns = tuple(patterns)
        self._known: set[str] = set()
        self._pending = Moment()
        self._first_sign = ""  # of a moment of several lines
        self._is_first = from_start
        self._held: tuple[str, Moment] | None = None

    @property
    def noise(self) -> int:
        """Bytes outside of lines."""
        return self._lines.noise

    def feed(self, data: bytes) -> list[Measurement]:
        """Return the moments that are complete."""
        found: list[Measurement] = []
        for line in self._lines.feed(data):
            is_first, self._is_first = self._is_first, False
            try:
                moment = self._parse(line)
            except Damaged:
                self.damaged += 1
                continue
            if moment is None:
                continue
            begin = _begin(line)
            if is_first and not self._begins_whole(line):
                self._held = begin, moment
                continue
            held, self._held = self._held, None
            if held is not None and held[0] == begin != "":
                found += self._take(held[1])
            elif held is not None:
                self.damaged += 1
            found += self._take(moment)
        return found

    def flush(self) -> list[Measurement]:
        """Return the moment whose lines have come."""
        if self._held is not None:
            (begin, moment), self._held = self._held, None
            if begin:
                return [*self._take(moment), *self.flush()]
        pending, self._pending = self._pending, Moment()
        if not pending.signs:
            return []
        if len(pending.signs) > 1 and not self._first_sign:
            self._first_sign = next(iter(pending.found), "")
        return [pending.measurement()]

    def _take(self, moment: Moment) -> list[Measurement]:
        self._known |= moment.signs
        found: list[Measurement] = []
        if moment.signs & self._pending.signs or self._first_sign in moment.signs or len(moment.signs) > 1:
            found = self.flush()
        if len(moment.signs) > 1:
            return [*found, moment.measurement()]
        self._pending.add(moment)
        return found

    def _parse(self, line: str) -> Moment | None:
        if not is_text(line):
            if self._labels.in_text(line):
                raise Damaged
            return None
        if self._patterns:
            moment = next(filter(None, (pattern.parse(line) for pattern in self._patterns)), None)
        else:
            begin = 0 if line.startswith("{") else line.find('{"')  # a log writes a level and a name before it
            moment = parse_text(line, self._labels) if begin < 0 else parse_json(line[begin:], self._labels)
        if moment is not None and moment.off and not moment.signs:
            moment.found = {sign: None for sign in OXIMETER if sign in self._known}
        return moment if moment is not None and moment.signs else None

    def _begins_whole(self, line: str) -> bool:
        return (
            bool(self._patterns)
            or line.startswith("{")
            or any(found.start() == 0 for _, found in self._labels.in_text(line))
        )


def _begin(line: str) -> str:
    """Return what recognises the begin of a line of the same kind."""
    return re.split(r"[\d:=]", line, maxsplit=1)[0].strip().casefold()


def parse_text(line: str, labels: Labels) -> Moment | None:
    """Return what a line with labels says; None without one. Raises Damaged for one that is not whole."""
    found: list[tuple[Label, float | None]] = []
    other: list[Unmeasured] = []
    end = 0
    for label, match in labels.in_text(line):
        if match.start() < end or not _stands_alone(line[end : match.start()]):
            continue
        value = _VALUE.match(line, match.end())
        if value is None or not label.sign:
            continue
        states = ":" in value["separator"] or "=" in value["separator"]
        if value["value"] is None:
            if states and not line[value.end() :].strip():
                raise Damaged
            if states and not line[value.end()].isalpha():
                raise Damaged
            continue
        if not _AFTER.match(line, value.end()):
            raise Damaged
        end = value.end()
        number = _number(value["value"], NO_VALUE)
        if number is not None and not _has_unit_of(label.sign, value["unit"], line[end:]):
            problem = "the unit beside it is not that of the sign"
            other.append(Unmeasured(label.sign, value["value"], Reason.UNKNOWN_UNIT, problem))
            continue
        found.append((label, number))
    moment = _moment(found)
    moment.unmeasured += other
    for name, flag in _VALID.findall(line):
        sign = "spo2" if name.casefold() == "spo2" else "heart_rate"
        if flag.casefold() in _NEGATIVE and sign in moment.found:
            moment.found[sign] = None
    for mark in _MARK.finditer(line):
        if is_bad(KINDS[plain(mark[1])], mark[2]):
            labelled = (label.sign for label, found in labels.in_text(line) if _is_before(line, found, mark))
            _leave_out(moment, next(labelled, None))
    if _SIMULATED.search(line):
        _leave_out(moment, None)
    moment.off = bool(_NO_FINGER.search(line))
    return moment if moment.signs or moment.off else None


def _has_unit_of(sign: str, stated: str | None, after: str) -> bool:
    """Whether the unit beside a value, if there is one, is that of its sign."""
    if stated is None:
        return not _OTHER_UNIT.match(after)
    unit = stated.strip().casefold()
    is_percent, is_degrees = unit in ("%", "percent"), unit in ("c", "°c", "℃")
    return BY_KEY[sign].unit == ("%" if is_percent else "Cel" if is_degrees else "/min")


def _is_before(line: str, label: re.Match[str], mark: re.Match[str]) -> bool:
    """Whether a mark is of the label right before it."""
    return label.end() <= mark.start() and not line[label.end() : mark.start()].strip(" _-")


def _leave_out(moment: Moment, sign: str | None) -> None:
    """Leave out the value of a sign, or all of them, because the line marks it as bad."""
    for key in moment.found:
        if sign in (None, key):
            moment.found[key] = None


def _stands_alone(before: str) -> bool:
    """Whether no word before a label, since the last value, changes its meaning."""
    before = _SPLIT.split(before)[-1].casefold()
    if _OTHERWISE.search(before):
        return False
    return before.rstrip()[-1:] in (":", "=", ">", "-") or set(_WORDS.findall(before)) <= _BEFORE


def parse_json(line: str, labels: Labels) -> Moment | None:
    """Return what an object of JSON says; None if it speaks of no sign. Raises Damaged if it is not whole."""
    try:
        content = json.loads(line, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise Damaged from None
    fields = dict(content)
    for key, value in content.items():
        if isinstance(value, dict) and not _OTHER_OBJECTS.search(re.sub("([A-Z])", r" \1", key).replace("_", " ")):
            fields = {**value, **fields}
    normal = {re.sub(r"[\W_]+", "", key).casefold(): value for key, value in fields.items()}
    found: list[tuple[Label, float | None]] = []
    unreadable: list[Unmeasured] = []
    for key, value in fields.items():
        label = labels.of_key(key)
        if label is None or not label.sign or (label.sign == "temperature" and label.weak and _is_air(value, normal)):
            continue
        try:
            found.append((label, _json_number(value)))
        except Damaged:
            unreadable.append(Unmeasured(label.sign, describe(value), Reason.UNREADABLE, f"{key[:40]} is no number"))
    stated = {label.sign: value for label, value in found}
    moment = _moment(found)
    moment.unmeasured += unreadable
    if all(stated.get(sign, 1) in (0, -1) for sign in OXIMETER):
        moment.off = True
    for sign, value in moment.found.items():
        if value in NO_VALUE:
            moment.found[sign] = None
    for key, value in normal.items():
        if (key in _FINGER and value in (False, 0)) or (key == "nofinger" and value in (True, 1)):
            moment.off = True
        if isinstance(value, (bool, int, float, str)) and (mark := kind_of(key, labels.of_signs)):
            kind, sign_of_mark, _ = mark
            if is_bad(kind, str(value)):
                _leave_out(moment, sign_of_mark)
        if _VALID_KEY.fullmatch(key) and value in (False, 0):
            sign = "spo2" if "spo2" in key else "heart_rate"
            if sign in moment.found:
                moment.found[sign] = None
    return moment if moment.signs or moment.off else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _is_air(value: object, normal: Mapping[str, object]) -> bool:
    """Whether a temperature may be that of a room or a board."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return bool(_AIR & normal.keys()) or not is_number or not _BODY_C[0] <= float(str(value)) <= _BODY_C[1]


def _json_number(value: object) -> float | None:
    """Return a number, None for null and NaN; raises Damaged for anything else."""
    if value is None:
        return None
    if isinstance(value, str):
        if value.strip().casefold() in ("nan", "null", "none", "", "-", "--", "---"):
            return None
        matched = _TEXT_NUMBER.fullmatch(value.strip())
        if matched is None:
            raise Damaged
        return float(matched[1])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Damaged
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        raise Damaged from None


def _number(text: str, no_value: frozenset[float]) -> float | None:
    """Return the number of a text, None for one that means no value; raises Damaged."""
    whole = text.lstrip("+-").partition(".")[0]
    if not whole.isdecimal():
        return None
    if len(whole) > _MAX_DIGITS:
        raise Damaged
    number = float(text)
    return None if number in no_value else number


def _moment(found: list[tuple[Label, float | None]]) -> Moment:
    """Return the value of each sign of a line: that of the first rank."""
    moment = Moment()
    sure = {label.sign for label, _ in found if not label.weak}
    by_sign: dict[str, list[tuple[Label, float | None]]] = {}
    for label, value in found:
        if not label.weak or sure - {label.sign}:
            by_sign.setdefault(label.sign, []).append((label, value))
    for sign, candidates in by_sign.items():
        best = min((label.weak, label.rank) for label, _ in candidates)
        values = {value for label, value in candidates if (label.weak, label.rank) == best}
        if len(values) == 1:
            moment.found[sign] = values.pop()
        else:
            texts = ", ".join(sorted(map(str, values)))
            moment.unmeasured.append(Unmeasured(sign, texts, Reason.CONTRADICTION, "the line has several values of it"))
    return moment
