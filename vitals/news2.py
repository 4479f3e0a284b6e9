"""NEWS2, the early warning score of the Royal College of Physicians (2017), with its parts. Pure.

`score` rates a set of values. `LastValues` keeps the last values of a device, each for NEWS2_MAX_AGE, because a blood
pressure is not measured every second.

Source: Royal College of Physicians. National Early Warning Score (NEWS) 2. London: RCP, 2017, chart 1. Values are
rounded as printed in the chart, temperature to 0.1 and all others to whole numbers, halves upwards; unrounded values
would fall between its bands.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Any, NamedTuple, cast

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

_HELD = (*INPUTS, *(key for key in SIGN_KEYS if key not in _BANDS))  # the other signs have an order too


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
_PLACES = {key: place for place, key in enumerate(_HELD)}
_SIGN_PLACES = tuple(_PLACES[key] for key in SIGN_KEYS)


def _row(key: str) -> tuple[int, int, float, float, int, tuple[int, ...]]:
    """Return where a sign is held and where a reading has it, between which values it has no points, and its points.

    The points of SpO2 depend on the scale. A sign that the score does not use never has any.
    """
    place, position = _PLACES[key], SIGN_KEYS.index(key)
    if key not in _BANDS:
        return place, position, -inf, inf, 1, ()
    table, steps = _TABLES[key], _STEPS[key]
    if key == "spo2":
        return place, position, inf, -inf, steps, table
    without = [index for index, points in enumerate(table) if not points]
    return place, position, without[0] / steps, without[-1] / steps, steps, table


_ROWS = tuple(map(_row, SIGN_KEYS))
_SPO2_PLACE = _PLACES["spo2"]
_OXYGEN_PLACE = _PLACES["on_oxygen"]
_CONSCIOUSNESS_PLACE = _PLACES["consciousness"]
_SHORTEST = min(NEWS2_MAX_AGE.values())
_NO_POINTS = (0,) * len(_HELD)  # shared by all devices: a copy of each costs two cache misses per reading
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
        "_points",
        "_scale",
        "_score",
        "_scored_at",
        "_since",
        "_spo2",
        "_times",
        "_valid_until",
        "_values",
    )

    def __init__(self, scale: int = 1) -> None:
        self._scale = scale
        self._values: list[float | bool | str | None] = [None] * len(_HELD)
        self._times: list[datetime | None] = [None] * len(_HELD)
        self._points = _NO_POINTS
        self._score = (0, 0)  # total and worst part
        self._spo2 = _SPO2[scale, False]
        # Within this time no kept value expires, so only new values have to be scored.
        self._scored_at, self._valid_until = _NEVER, _NEVER
        self._since = _NEVER  # what was measured before is another patient's
        self._changed_at = _NEVER  # arrival of the last new value while the device's clock stood still

    def update(self, reading: Reading, values: tuple[float | None, ...], time: datetime) -> tuple[int, int]:
        """Update with a reading and its signs `values`; return total and worst part. Runs for every reading.

        The value of a sensor that is off is dropped.
        """
        if reading.sensor_off:
            for key in reading.sensor_off:
                self._values[_PLACES[key]], self._times[_PLACES[key]] = None, time
            self._valid_until = _NEVER
        kept, times = self._values, self._times
        oxygen, consciousness = reading.on_oxygen, reading.consciousness
        if (
            not self._scored_at <= time <= self._valid_until
            or (oxygen is not None and oxygen != kept[_OXYGEN_PLACE])
            or (consciousness is not None and consciousness != kept[_CONSCIOUSNESS_PLACE])
        ):
            return self._score_all(reading, values, time)
        if oxygen is not None:
            times[_OXYGEN_PLACE] = time
        if consciousness is not None:
            times[_CONSCIOUSNESS_PLACE] = time
        changed = False
        known_points = self._points
        for index, position, low, high, steps, table in _ROWS:
            value = values[position]
            if value is None:
                continue
            times[index] = time
            kept[index] = value
            if low <= value <= high:  # nearly always, and half the time of the table
                points = 0
            else:
                points = (self._spo2 if index == _SPO2_PLACE else table)[int(value * steps + 0.5)]
            if points != known_points[index]:
                known_points = (*known_points[:index], points, *known_points[index + 1 :])
                changed = True
        if changed:
            self._set_points(known_points)
        return self._score

    def _score_all(self, reading: Reading, values: tuple[float | None, ...], time: datetime) -> tuple[int, int]:
        """Score every input, after dropping those that are too old."""
        kept, times, points = self._values, self._times, list(_NO_POINTS)
        for index, value in ((_OXYGEN_PLACE, reading.on_oxygen), (_CONSCIOUSNESS_PLACE, reading.consciousness)):
            if value is not None:
                kept[index], times[index] = value, time
        for position, index in enumerate(_SIGN_PLACES):
            if values[position] is not None:
                kept[index], times[index] = values[position], time
        valid_until = time + _SHORTEST
        for index, key in enumerate(INPUTS):
            since = times[index]
            if kept[index] is not None and since is not None:
                if time - since > NEWS2_MAX_AGE[key]:
                    kept[index] = None
                else:
                    valid_until = min(valid_until, since + NEWS2_MAX_AGE[key])
        oxygen = bool(kept[_OXYGEN_PLACE])
        for index, key in enumerate(INPUTS):
            known = kept[index]
            points[index] = 0 if known is None else points_of(key, known, scale=self._scale, on_oxygen=oxygen)
        self._spo2 = _SPO2[self._scale, oxygen]
        self._scored_at, self._valid_until = time, valid_until
        self._set_points(points)
        return self._score

    def _set_points(self, points: Sequence[int]) -> None:
        self._points = tuple(points) if any(points) else _NO_POINTS
        self._score = (sum(points), max(points))

    def new_part(self, reading: Reading, time: datetime) -> Reading | None:
        """Return the reading with only what is newer than what is known; None if that is nothing: it was sent again.

        For readings that are not the newest (`vitals.clock.Placement`). Each sign has its own order: a cuff value may
        come late, and a device may send the signs of one moment one by one. Nothing is new of another patient's time.
        """
        if time < self._since:
            return None

        def is_old(key: str, value: float | bool | str | None) -> bool:
            at, known = self._times[_PLACES[key]], self._values[_PLACES[key]]
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
        known = self._values
        if any((value := getattr(reading, key)) is not None and value != known[_PLACES[key]] for key in _HELD) or any(
            known[_PLACES[key]] is not None for key in reading.sensor_off
        ):
            self._changed_at = arrival
        return arrival - max(self._changed_at, still_since) > STALE_AFTER

    def sign(self, key: str) -> tuple[float | None, datetime | None]:
        """Return the last valid value of a sign, and when it was measured; None while its sensor is off."""
        return cast("float | None", self._values[_PLACES[key]]), self._times[_PLACES[key]]

    def measured_at(self, key: str) -> datetime | None:
        """Return when a sign was measured last, or its sensor was off, however long ago."""
        return self._times[_PLACES[key]]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured, and no sensor was off."""
        return not any(self._times)

    def are_measured_since(self, keys: Iterable[str], since: datetime) -> bool:
        """Return whether each of these inputs was measured at this time or later."""
        times = self._times
        for key in keys:
            measured = times[_PLACES[key]]
            if measured is None or measured < since:
                return False
        return True

    def forget_before(self, time: datetime) -> None:
        """Drop the values that are older: they are another patient's."""
        for index, measured in enumerate(self._times):
            if measured is not None and measured < time:
                self._values[index] = self._times[index] = None
        self._valid_until = _NEVER
        self._since = time

    def with_scale(self, scale: int) -> "LastValues":
        """Return a copy with this SpO2 scale."""
        other = LastValues(scale)
        other._values, other._times, other._since = self._values.copy(), self._times.copy(), self._since
        return other

    def scoring_inputs(self) -> list[str]:
        """Return the inputs that have points: those of `score().parts`, in a tenth of the time."""
        if self._valid_until is _NEVER:  # the points are those before a change
            return [key for key, points in self.score().parts.items() if points]
        return [INPUTS[index] for index, points in enumerate(self._points) if points]

    def score_with(self, reading: Reading, time: datetime) -> Score:
        """Return the score that a reading would make, and change nothing."""
        trial = self.with_scale(self._scale)
        trial.update(reading, sign_values(reading), time)
        return trial.score()

    def lacks(self, keys: Iterable[str]) -> bool:
        """Return whether one of these has no valid value."""
        return any(self._values[_PLACES[key]] is None for key in keys)

    def score(self) -> Score:
        """Return the score of the valid values, with its parts."""
        result = score(dict(zip(INPUTS, self._values, strict=False)), scale=self._scale)
        stale = tuple(key for key, time in zip(INPUTS, self._times, strict=False) if time and key in result.missing)
        return result._replace(stale=stale)
