"""Find the columns of the signs of a recording, and make samples of its rows."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

from vitals.reading import Consciousness
from vitals.recording.cells import MISSING, ColumnReader, DecimalMark, InvalidCell
from vitals.recording.choice import NO_SATURATION, choose, unmeasured
from vitals.recording.items import PRESSURES
from vitals.recording.layouts import Format
from vitals.recording.marks import Kind, is_bad, kind_of
from vitals.recording.names import plain, unit_of
from vitals.recording.pressure_pair import PairReader
from vitals.recording.recognition import Header
from vitals.sample import Sample
from vitals.signs import BY_KEY, SIGN_KEYS

_BOOLEANS = {**dict.fromkeys(("t", "true", "yes", "1"), True), **dict.fromkeys(("f", "false", "no", "0"), False)}
_STATES = frozenset(("sensoroff", "onoxygen", "consciousness"))
_MARKED = frozenset((Format.CSV, Format.BIDMC, Format.MIMIC, Format.WFDB))
"""Formats in which a column beside those of the format may mark values."""


@dataclass(frozen=True, slots=True)
class Source:
    """A column of a sign; a smaller rank is preferred."""

    rank: int
    index: int
    reader: ColumnReader | PairReader


@dataclass(frozen=True, slots=True)
class _Mark:
    """A column that marks the values of a sign, or of one of its sensors, or without a sign those of the row."""

    kind: Kind
    index: int
    in_percent: bool
    key: str = ""
    rank: int | None = None


class SignColumns:
    """The columns of the signs, and in an export of VitalFlow those of a patient's state.

    Raises InvalidCell if a sign has two columns of one sensor, or one with a unit that it cannot have.
    """

    def __init__(self, header: Header, mark: DecimalMark) -> None:
        self._layout = header.layout
        self.sources: dict[str, list[Source]] = {}
        for key, column in header.layout.signs.items():
            for rank, names in enumerate(column.sources):
                if (index := _find(header, key, names)) is not None:
                    reader = ColumnReader(BY_KEY[key], header.names[index], header.columns[index][1], mark)
                    self.sources.setdefault(key, []).append(Source(rank, index, reader))
        self._add_pairs(header, mark)
        self.omitted: dict[str, int] = {}
        """What the rows of this pass had without it being a value, and how often."""
        has_states = header.layout.format is Format.CSV
        self._states = {
            plain(name): (name, index)
            for index, name in enumerate(header.names)
            if has_states and plain(name) in _STATES
        }
        self._marks = _marks_of(header)
        self._single = [(key, found[0].index, found[0].reader) for key, found in self.sources.items()]
        is_single = (
            not header.layout.zero_is_missing
            and not self._marks
            and all(len(found) == 1 for found in self.sources.values())
        )
        self._values: Callable[[Sequence[str]], Sample | None] = self._of_single if is_single else self._of_several
        self.read = self._with_state if self._states else self._values
        """Return the sample of a row, None if it has no value; raises InvalidCell."""

    def _add_pairs(self, header: Header, mark: DecimalMark) -> None:
        """Add the columns of both pressures, of sensors that have no column for each."""
        known = {source.rank for key in PRESSURES for source in self.sources.get(key, ())}
        for rank, names in enumerate(header.layout.pairs):
            index = _find(header, "both pressures", names)
            if index is None or rank in known:
                continue
            for key in PRESSURES:
                column = ColumnReader(BY_KEY[key], header.names[index], header.columns[index][1], mark)
                single = partial(self._omit, "single numbers in a column of both pressures, of which neither is read")
                reader = PairReader(column, single, second=key == PRESSURES[1])
                self.sources.setdefault(key, []).append(Source(rank, index, reader))
                self.sources[key].sort(key=lambda source: source.rank)

    @property
    def indexes(self) -> set[int]:
        """The columns that are read."""
        read = {source.index for found in self.sources.values() for source in found}
        return read | {index for _, index in self._states.values()} | {mark.index for mark in self._marks}

    def has_units(self, cells: Sequence[str]) -> bool:
        """Return whether a row below the names holds units."""
        return any(unit_of(cells[source.index]) for found in self.sources.values() for source in found)

    def set_units(self, cells: Sequence[str]) -> None:
        """Use the units in the row below the names; raises InvalidCell."""
        for found in self.sources.values():
            for source in found:
                source.reader.set_unit(cells[source.index])

    def _of_single(self, cells: Sequence[str]) -> Sample | None:
        values = {}
        for key, index, reader in self._single:
            value = reader[cells[index]]
            if value is not None:
                values[key] = value
        return self.measured(Sample(values)) if values else None

    def _of_several(self, cells: Sequence[str]) -> Sample | None:
        found = {
            key: {source.rank: source.reader[cells[source.index]] for source in sources}
            for key, sources in self.sources.items()
        }
        for mark in self._marks:
            if is_bad(mark.kind, cells[mark.index], in_percent=mark.in_percent):
                self._remove(found, mark)
        sample = choose(found, self._layout)
        return sample if sample is None or self._layout.zero_is_missing else self.measured(sample)

    def measured(self, sample: Sample) -> Sample | None:
        """Return a row without the values that no sensor has measured."""
        saturation = sample.values.get("spo2")
        if saturation is None or 0 < saturation <= NO_SATURATION:
            return sample
        left_out = unmeasured(sample.values)
        for key in left_out:
            self._omit(f"values of {key} that mean that there is none")
        sample = replace(sample, values={key: value for key, value in sample.values.items() if key not in left_out})
        return sample if sample != Sample({}) else None

    def _remove(self, found: dict[str, dict[int, float | None]], mark: _Mark) -> None:
        """Remove what a mark says is no value: a sign without any source is neither measured nor off."""
        keys = (mark.key,) if mark.key else tuple(found)
        for key in keys:
            ranks = found.get(key, {})
            for rank in [rank for rank in ranks if mark.rank in (None, rank)] or [*ranks]:
                if ranks.pop(rank) is not None:
                    self._omit("values that the file marks as bad")
            if not ranks:
                found.pop(key, None)

    def _omit(self, reason: str) -> None:
        self.omitted[reason] = self.omitted.get(reason, 0) + 1

    def _with_state(self, cells: Sequence[str]) -> Sample | None:
        sample = self._values(cells) or Sample({})
        for key, (name, index) in self._states.items():
            sample = _add_state(sample, key, name, cells[index].strip())
        off = [key for key in sample.sensor_off if key in sample.values]
        if off:
            self._omit("values of signs whose sensor is off")
            sample = replace(sample, values={key: value for key, value in sample.values.items() if key not in off})
        return sample if sample != Sample({}) else None


def _marks_of(header: Header) -> tuple[_Mark, ...]:
    """Return the columns that mark values: of the row, of a sign, or of one of its sensors."""
    if header.layout.format not in _MARKED:
        return ()
    signs = {
        plain(name): (key, rank)
        for key, column in header.layout.signs.items()
        for rank, names in enumerate(column.sources)
        for name in names
    }
    signs |= {plain(name): ("", rank) for rank, names in enumerate(header.layout.pairs) for name in names}
    marks: list[_Mark] = []
    for index, name in enumerate(header.names):
        if header.columns[index][0] in signs or (found := kind_of(name, {text: text for text in signs})) is None:
            continue
        kind, of, in_percent = found
        if of is None:
            marks.append(_Mark(kind, index, in_percent))
            continue
        key, rank = signs[of]
        marks += [_Mark(kind, index, in_percent, one, rank) for one in ((key,) if key else PRESSURES)]
    return tuple(marks)


def _find(header: Header, key: str, names: Sequence[str]) -> int | None:
    known = {plain(name) for name in names}
    found = [index for index, (name, _) in enumerate(header.columns) if name in known]
    texts = list(dict.fromkeys(header.names[index] for index in found))
    if len({header.columns[index][0] for index in found}) > 1:
        raise InvalidCell(
            f"has {len(texts)} columns of {key}: {', '.join(map(repr, texts))}",
            "one: rename those that are not to be read",
        )
    return found[0] if found else None


def _add_state(sample: Sample, key: str, name: str, text: str) -> Sample:
    if text.casefold() in MISSING:
        return sample
    off = [sign.casefold() for sign in re.split(r"[\s,;|]+", text) if sign]
    if key == "sensoroff" and {*off} <= {*SIGN_KEYS}:
        return replace(sample, sensor_off=tuple(dict.fromkeys(off)))
    if key == "onoxygen" and text.casefold() in _BOOLEANS:
        return replace(sample, on_oxygen=_BOOLEANS[text.casefold()])
    if key == "consciousness" and text.upper() in get_args(Consciousness):
        return replace(sample, consciousness=text.upper())  # type: ignore[arg-type]
    expected = {
        "sensoroff": f"keys of signs, such as {SIGN_KEYS[1]}, separated by blanks",
        "onoxygen": "true or false",
        "consciousness": f"one of {', '.join(get_args(Consciousness))}",
    }
    raise InvalidCell(f"has {text[:100]!r} in column {name!r}", expected[key])
