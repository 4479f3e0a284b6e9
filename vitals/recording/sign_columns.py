"""Find the columns of the signs of a recording, and make samples of its rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from vitals.reading import Consciousness
from vitals.recording.cells import ColumnReader, DecimalMark, InvalidCell
from vitals.recording.choice import choose
from vitals.recording.layouts import Format
from vitals.recording.names import plain, unit_of
from vitals.recording.recognition import Header
from vitals.sample import Sample
from vitals.signs import BY_KEY, SIGN_KEYS

_BOOLEANS = {"": None, "t": True, "true": True, "1": True, "f": False, "false": False, "0": False}
_STATES = ("sensor_off", "on_oxygen", "consciousness")


@dataclass(frozen=True, slots=True)
class Source:
    """A column of a sign; a smaller rank is preferred."""

    rank: int
    index: int
    reader: ColumnReader


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
        has_states = header.layout.format is Format.CSV
        self._states = {
            name: index for index, name in enumerate(header.names) if has_states and name.casefold() in _STATES
        }
        self._single = [(key, found[0].index, found[0].reader) for key, found in self.sources.items()]
        is_single = not header.layout.zero_is_missing and all(len(found) == 1 for found in self.sources.values())
        self._values: Callable[[Sequence[str]], Sample | None] = self._of_single if is_single else self._of_several
        self.read = self._with_state if self._states else self._values
        """Return the sample of a row, None if it has no value; raises InvalidCell."""

    @property
    def indexes(self) -> set[int]:
        """The columns that are read."""
        return {source.index for found in self.sources.values() for source in found} | {*self._states.values()}

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
        return Sample(values) if values else None

    def _of_several(self, cells: Sequence[str]) -> Sample | None:
        found = {
            key: {source.rank: source.reader[cells[source.index]] for source in sources}
            for key, sources in self.sources.items()
        }
        return choose(found, self._layout)

    def _with_state(self, cells: Sequence[str]) -> Sample | None:
        sample = self._values(cells) or Sample({})
        for name, index in self._states.items():
            sample = _add_state(sample, name.casefold(), cells[index].strip())
        return sample if sample != Sample({}) else None


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


def _add_state(sample: Sample, name: str, text: str) -> Sample:
    if not text:
        return sample
    if name == "sensor_off" and {*text.split()} <= {*SIGN_KEYS}:
        return replace(sample, sensor_off=tuple(text.split()))
    if name == "on_oxygen" and text.casefold() in _BOOLEANS:
        return replace(sample, on_oxygen=_BOOLEANS[text.casefold()])
    if name == "consciousness" and text in get_args(Consciousness):
        return replace(sample, consciousness=text)  # type: ignore[arg-type]
    expected = {
        "sensor_off": f"keys of signs, such as {SIGN_KEYS[1]}, separated by blanks",
        "on_oxygen": "true or false",
        "consciousness": f"one of {', '.join(get_args(Consciousness))}",
    }
    raise InvalidCell(f"has {text[:100]!r} in column {name!r}", expected[name])
