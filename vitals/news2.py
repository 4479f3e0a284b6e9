"""NEWS2, the early warning score of the Royal College of Physicians (2017), with its parts. Pure.

`score` rates a set of values. `LastValues` keeps the last values of a device, each for NEWS2_MAX_AGE, because a blood
pressure is not measured every second.

Source: Royal College of Physicians. National Early Warning Score (NEWS) 2. London: RCP, 2017, chart 1. Values are
rounded as printed in the chart, temperature to 0.1 and all others to whole numbers, halves upwards; unrounded values
would fall between its bands.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

from msgspec.structs import replace

from vitals.reading import Reading, sign_values
from vitals.signs import BY_KEY, SIGN_KEYS
from vitals.thresholds import NEWS2_MAX_AGE, STALE_AFTER

# (upper end of the band, points), in the chart's order.
_END = float("inf")
_BANDS: dict[str, tuple[tuple[float, int], ...]] = {
    "resp_rate": ((8, 3), (11, 1), (20, 0), (24, 2), (_END, 3)),
    "spo2": ((91, 3), (93, 2), (95, 1), (_END, 0)),
    "systolic_bp": ((90, 3), (100, 2), (110, 1), (219, 0), (_END, 3)),
    "heart_rate": ((40, 3), (50, 1), (90, 0), (110, 1), (130, 2), (_END, 3)),
    "temperature": ((35.0, 3), (36.0, 1), (38.0, 0), (39.0, 1), (_END, 2)),
}
_SCALE_2_AIR = ((83, 3), (85, 2), (87, 1), (_END, 0))
_SCALE_2_OXYGEN = ((83, 3), (85, 2), (87, 1), (92, 0), (94, 1), (96, 2), (_END, 3))
OXYGEN_POINTS = 2
NOT_ALERT_POINTS = 3  # new confusion, voice, pain, unresponsive

INPUTS = (*_BANDS, "on_oxygen", "consciousness")
"""The seven inputs of the score."""

_HELD = (*SIGN_KEYS, "on_oxygen", "consciousness")  # signs that are no input have an order too


def _points(key: str, bands: tuple[tuple[float, int], ...]) -> tuple[int, ...]:
    """Return the points by rounded value (in tenths for temperature), as a table for look-up by index."""
    tenths = _STEPS[key]
    top = int(BY_KEY[key].high) * tenths + 2
    return tuple(next(points for end, points in bands if index <= round(end * tenths, 6)) for index in range(top))


_STEPS = {key: 10 if key == "temperature" else 1 for key in _BANDS}
_TABLES = {key: _points(key, bands) for key, bands in _BANDS.items()}
# By SpO2 scale and whether on oxygen.
_SPO2 = {
    (1, False): _TABLES["spo2"],
    (1, True): _TABLES["spo2"],
    (2, False): _points("spo2", _SCALE_2_AIR),
    (2, True): _points("spo2", _SCALE_2_OXYGEN),
}
_VALUE_AT = {key: 2 * place for place, key in enumerate(_HELD)}  # in `LastValues._known`; its time follows
_VALUES = slice(0, None, 2)


def _row(place: int, key: str, spo2: tuple[int, ...]) -> tuple[int, int, int, float, float, int, tuple[int, ...]]:
    """Return where a sign is in a reading, where its value and time are held, between which values it has no points,
    and its points: those of SpO2 depend on the scale and on oxygen. A sign that the score does not use never has any.
    """
    places = place, _VALUE_AT[key], _VALUE_AT[key] + 1
    if key not in _BANDS:
        return *places, -inf, inf, 1, ()
    table, steps = spo2 if key == "spo2" else _TABLES[key], _STEPS[key]
    without = [index for index, points in enumerate(table) if not points]
    return *places, without[0] / steps, without[-1] / steps, steps, table


_ROWS = {case: tuple(_row(place, key, spo2) for place, key in enumerate(SIGN_KEYS)) for case, spo2 in _SPO2.items()}
_OXYGEN, _CONSCIOUSNESS = _VALUE_AT["on_oxygen"], _VALUE_AT["consciousness"]
_SHORTEST = min(NEWS2_MAX_AGE.values())
_NEVER = datetime.min.replace(tzinfo=UTC)


class Score(NamedTuple):
    """A score. If inputs are missing, `total` is a lower bound."""

    total: int
    parts: dict[str, int]
    missing: tuple[str, ...]
    stale: tuple[str, ...] = ()  # those of `missing` that were measured too long ago

    @property
    def worst(self) -> int:
        """The highest points of one input."""
        return max(self.parts.values(), default=0)


def points_of(key: str, value: float | bool | str, *, scale: int = 1, on_oxygen: bool = False) -> int:
    """Return the points of one input."""
    if key == "on_oxygen":
        return OXYGEN_POINTS if value else 0
    if key == "consciousness":
        return 0 if value == "A" else NOT_ALERT_POINTS
    table = _SPO2[scale, on_oxygen] if key == "spo2" else _TABLES[key]
    return table[int(float(value) * _STEPS[key] + 0.5)]


def score(values: Mapping[str, float | bool | str | None], *, scale: int = 1) -> Score:
    """Score values keyed as in INPUTS; other keys are ignored.

    scale   SpO2 scale; 2 only if a clinician chose it (hypercapnic respiratory failure)
    """
    oxygen = bool(values.get("on_oxygen"))
    given = {key: value for key in INPUTS if (value := values.get(key)) is not None}
    parts = {key: points_of(key, value, scale=scale, on_oxygen=oxygen) for key, value in given.items()}
    return Score(sum(parts.values()), parts, tuple(key for key in INPUTS if key not in given))


class LastValues:
    """The last value of each sign of one device; the inputs of the score are valid for NEWS2_MAX_AGE.

    Times are those of the readings, on the time line of arrivals.
    """

    __slots__ = (
        "_changed_at",
        "_known",
        "_points",
        "_rows",
        "_scale",
        "_score",
        "_scored_at",
        "_since",
        "_valid_until",
    )

    def __init__(self, scale: int = 1) -> None:
        self._scale = scale
        # Value and time of each of _HELD. In one list, because with thousands of devices each further one is not in
        # the processor's cache; so equal points and times are shared by all devices.
        self._known: list[Any] = [None] * 2 * len(_HELD)
        self._points, self._score = _total_of((0,) * len(_HELD))
        self._rows = _ROWS[scale, False]
        # Within this time, in whole seconds, no kept value expires, so only new values have to be scored.
        self._scored_at, self._valid_until = _NEVER, _NEVER
        self._since = _NEVER  # what was measured before is another patient's
        self._changed_at = _NEVER  # arrival of the last new value while the device's clock stood still

    def update(self, reading: Reading, values: tuple[float | None, ...], time: datetime) -> tuple[int, int]:
        """Update with a reading and its signs `values`; return total and worst part. Runs for every reading.

        The value of a sensor that is off is dropped.
        """
        known = self._known
        if reading.sensor_off:
            for key in reading.sensor_off:
                value_at = _VALUE_AT[key]
                if known[value_at] is not None:
                    known[value_at] = None
                    self._valid_until = _NEVER
                known[value_at + 1] = time
        oxygen, consciousness = reading.on_oxygen, reading.consciousness
        if (
            not self._scored_at <= time <= self._valid_until
            or (oxygen is not None and oxygen != known[_OXYGEN])
            or (consciousness is not None and consciousness != known[_CONSCIOUSNESS])
        ):
            return self._score_all(reading, values, time)
        if oxygen is not None:
            known[_OXYGEN + 1] = time
        if consciousness is not None:
            known[_CONSCIOUSNESS + 1] = time
        all_points = before = self._points
        for place, value_at, time_at, low, high, steps, table in self._rows:
            value = values[place]
            if value is None:
                continue
            known[value_at] = value
            known[time_at] = time
            # Nearly always without points, in half the time of the table.
            points = 0 if low <= value <= high else table[int(value * steps + 0.5)]
            if points != all_points[place]:
                all_points = (*all_points[:place], points, *all_points[place + 1 :])
        if all_points is not before:
            self._points, self._score = _total_of(all_points)
        return self._score

    def _score_all(self, reading: Reading, values: tuple[float | None, ...], time: datetime) -> tuple[int, int]:
        """Score every input, after dropping those that are too old."""
        known = self._known
        for place, value in enumerate((*values, reading.on_oxygen, reading.consciousness)):
            if value is not None:
                known[2 * place : 2 * place + 2] = value, time
        scored_at = time.replace(microsecond=0)
        valid_until = scored_at + _SHORTEST
        for key, longest in NEWS2_MAX_AGE.items():
            value, since = known[_VALUE_AT[key] : _VALUE_AT[key] + 2]
            if value is None:
                continue
            if time - since > longest:
                known[_VALUE_AT[key]] = None
            else:
                valid_until = min(valid_until, (since + longest).replace(microsecond=0))
        oxygen = bool(known[_OXYGEN])
        self._rows = _ROWS[self._scale, oxygen]
        self._scored_at, self._valid_until = _shared(scored_at), _shared(valid_until)
        self._points, self._score = _total_of(
            tuple(
                0 if value is None or key not in INPUTS else points_of(key, value, scale=self._scale, on_oxygen=oxygen)
                for key, value in zip(_HELD, known[_VALUES], strict=True)
            )
        )
        return self._score

    def new_part(self, reading: Reading, time: datetime) -> Reading | None:
        """Return the reading with only what is newer than what is known; None if that is nothing: it was sent again.

        For readings that are not the newest (`vitals.clock.Placement`). Each sign has its own order: a cuff value may
        come late, and a device may send the signs of one moment one by one. Nothing is new of another patient's time.
        """
        if time < self._since:
            return None

        def is_old(key: str, value: float | bool | str | None) -> bool:
            known, at = self._known[_VALUE_AT[key] : _VALUE_AT[key] + 2]
            # Without a value the sensor is off since then; what was sent again does not put it back.
            return at is not None and (time < at or (time == at and (known is None or value == known)))

        given: dict[str, Any] = {key: value for key in _HELD if (value := getattr(reading, key)) is not None}
        old: dict[str, Any] = {key: None for key, value in given.items() if is_old(key, value)}
        off = tuple(key for key in reading.sensor_off if not is_old(key, None))
        if len(old) == len(given) and not off:
            return None
        return replace(reading, **old, sensor_off=off)

    def is_repeated(self, reading: Reading, arrival: datetime, still_since: datetime | None) -> bool:
        """Return whether a reading is no sign of life: for STALE_AFTER, only known values came with one time.

        Of a device whose clock stands still a value changes meanwhile, unless a gateway sends its last message again.
        """
        if still_since is None:
            return False
        values = {key: value for key in _HELD if (value := getattr(reading, key)) is not None}
        values |= dict.fromkeys(reading.sensor_off)
        if any(value != self.sign(key)[0] for key, value in values.items()):
            self._changed_at = arrival
        return arrival - max(self._changed_at, still_since) > STALE_AFTER

    def sign(self, key: str) -> tuple[float | None, datetime | None]:
        """Return the last valid value of a sign, and when it was measured; None while its sensor is off."""
        return self._known[_VALUE_AT[key]], self._known[_VALUE_AT[key] + 1]

    def measured_at(self, key: str) -> datetime | None:
        """Return when a sign was measured last, or its sensor was off, however long ago."""
        return self.sign(key)[1]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured, and no sensor was off."""
        return not any(self._known[1::2])

    def are_measured_since(self, keys: Iterable[str], since: datetime) -> bool:
        """Return whether each of these inputs was measured at this time or later."""
        known = self._known
        for key in keys:
            measured = known[_VALUE_AT[key] + 1]
            if measured is None or measured < since:
                return False
        return True

    def forget_before(self, time: datetime) -> None:
        """Drop the values that are older: they are another patient's."""
        known = self._known
        for at in _VALUE_AT.values():
            if known[at + 1] is not None and known[at + 1] < time:
                known[at] = known[at + 1] = None
        self._valid_until = _NEVER
        self._since = time

    def with_scale(self, scale: int) -> "LastValues":
        """Return a copy with this SpO2 scale."""
        other = LastValues(scale)
        other._known, other._since = self._known.copy(), self._since
        return other

    def scoring_inputs(self) -> list[str]:
        """Return the inputs that have points: those of `score().parts`, in a tenth of the time."""
        if self._valid_until is _NEVER:  # the points are those before a change
            return [key for key, points in self.score().parts.items() if points]
        return [key for key, points in zip(_HELD, self._points, strict=True) if points]

    def score_with(self, reading: Reading, time: datetime) -> Score:
        """Return the score that a reading would make, and change nothing."""
        trial = self.with_scale(self._scale)
        trial.update(reading, sign_values(reading), time)
        return trial.score()

    def lacks(self, keys: Iterable[str]) -> bool:
        """Return whether one of these has no valid value."""
        return any(self._known[_VALUE_AT[key]] is None for key in keys)

    def score(self) -> Score:
        """Return the score of the valid values, with its parts."""
        result = score(dict(zip(_HELD, self._known[_VALUES], strict=True)), scale=self._scale)
        return result._replace(stale=tuple(key for key in result.missing if self.measured_at(key) is not None))


@lru_cache(maxsize=1024)
def _total_of(points: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Return the points of each of _HELD, with their total and the most of one."""
    return points, (sum(points), max(points))


@lru_cache(maxsize=1024)
def _shared(second: datetime) -> datetime:
    """Return the object that all devices have for this time."""
    return second
