"""Read MIMIC chartevents: one value in a row, named by its item.

Items of MIMIC-IV and of MIMIC-III (CareVue and MetaVision), after the concepts of the MIT Laboratory for Computational
Physiology (mimic-code, `vitalsign`). Items of a mean pressure are no sign of ours.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vitals.recording.cells import ColumnReader, DecimalMark, InvalidCell
from vitals.recording.marks import is_bad, kind_of
from vitals.recording.names import unit_of
from vitals.signs import BY_KEY
from vitals.units import agree


@dataclass(frozen=True, slots=True)
class Item:
    """What an item measures. `rank`: the smaller one is taken where a time has several; pressures go in pairs."""

    sign: str
    rank: int
    unit: str = ""


_F, _C = "[degF]", "Cel"
ITEMS: dict[str, Item] = {
    **dict.fromkeys(("220045", "211"), Item("heart_rate", 0)),
    **dict.fromkeys(("220277", "646"), Item("spo2", 0)),
    **dict.fromkeys(("220210", "618"), Item("resp_rate", 0)),
    **dict.fromkeys(("224690", "615"), Item("resp_rate", 1)),
    **dict.fromkeys(("223762", "676", "677"), Item("temperature", 0, _C)),
    **dict.fromkeys(("223761", "678", "679"), Item("temperature", 1, _F)),
    **dict.fromkeys(("220179", "455"), Item("systolic_bp", 0)),
    **dict.fromkeys(("220180", "8441"), Item("diastolic_bp", 0)),
    "442": Item("systolic_bp", 1),
    "8440": Item("diastolic_bp", 1),
    **dict.fromkeys(("220050", "51"), Item("systolic_bp", 2)),
    **dict.fromkeys(("220051", "8368"), Item("diastolic_bp", 2)),
    **dict.fromkeys(("225309", "6701"), Item("systolic_bp", 3)),
    **dict.fromkeys(("225310", "8555"), Item("diastolic_bp", 3)),
}
ITEM_COLUMNS = frozenset(("itemid", "valuenum", "valueuom"))
PRESSURES = ("systolic_bp", "diastolic_bp")
Measured = tuple[Item, float]


class ItemReader:
    """Read the value of a row; raises InvalidCell."""

    def __init__(self, columns: Mapping[str, int]) -> None:
        self._item, self._value = columns["itemid"], columns["valuenum"]
        self._unit = columns.get("valueuom")
        self._marks = [(found[0], index) for name, index in columns.items() if (found := kind_of(name, {}))]
        mark = DecimalMark()
        self._readers = {
            item: ColumnReader(BY_KEY[known.sign], f"valuenum of item {item}", known.unit, mark)
            for item, known in ITEMS.items()
        }
        self.omitted: dict[str, int] = {}

    def read(self, cells: Sequence[str]) -> Measured | None:
        """Return the item and its value; None if it is no sign of ours, has no number, or is marked as bad."""
        name = cells[self._item].strip()
        item = ITEMS.get(name)
        if item is None:
            self._omit("rows of items that are no supported vital sign")
            return None
        if any(is_bad(kind, cells[index]) for kind, index in self._marks):
            self._omit("rows that the file marks as bad")
            return None
        reader = self._readers[name]
        stated = unit_of(cells[self._unit]) if self._unit is not None else None
        if stated is not None and agree(stated, reader.unit) is None and agree(reader.unit, stated) is None:
            raise InvalidCell(f"has the unit {cells[self._unit or 0][:100]!r} for item {name}", reader.unit)
        value = reader[cells[self._value]]
        if value is None:
            self._omit("rows without a number")
            return None
        return item, value

    def _omit(self, reason: str) -> None:
        self.omitted[reason] = self.omitted.get(reason, 0) + 1


def together(measured: Iterable[Measured]) -> Iterator[dict[str, float]]:
    """Yield the values of one time by sign: the best rank of each, and further values of the same rank after it."""
    by_sign: dict[str, dict[int, list[float]]] = {}
    for item, value in measured:
        found = by_sign.setdefault(item.sign, {}).setdefault(item.rank, [])
        if value not in found:
            found.append(value)
    cuff = min((rank for key in PRESSURES for rank in by_sign.get(key, {})), default=0)
    chosen = {key: ranks.get(cuff, []) if key in PRESSURES else ranks[min(ranks)] for key, ranks in by_sign.items()}
    for at in range(max(map(len, chosen.values()), default=0)):
        yield {key: values[at] for key, values in chosen.items() if at < len(values)}
