"""The data dictionary: what each column of readings and rollups means, with unit, LOINC and MDC of the signs.

`vitalflow db migrate` writes it into the database as comments of columns, `vitalflow export` beside each export. Signs
are described from `vitals/signs.py` alone.
"""

from dataclasses import dataclass

from psycopg import sql

from sql.connection import Connection
from vitals.signs import SIGNS, Sign

ROLLUPS = ("vitals_1m", "vitals_1h", "vitals_1d")
RELATIONS = ("patient_vitals", "imported_vitals", "all_vitals", *ROLLUPS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One column.

    unit    in UCUM; empty if it has none
    loinc   codes of a sign, separated by blanks
    mdc     code of a sign in ISO/IEEE 11073-10101, context-free
    low     bounds of the values that a sensor can report; a reading with another value is not stored
    """

    column: str
    description: str
    unit: str = ""
    loinc: str = ""
    mdc: int | None = None
    low: float | None = None
    high: float | None = None

    @property
    def comment(self) -> str:
        """The comment of the column in the database."""
        parts = [self.description]
        if self.unit:
            parts.append(f"unit {self.unit}")
        if self.loinc:
            parts.append(f"LOINC {self.loinc}")
        if self.mdc is not None:
            parts.append(f"MDC {self.mdc}")
        return "; ".join(parts)


_READING = {
    "time": "when it was measured, by the device's clock",
    "device_id": "the device, which stands for the bed",
    "boot": "unix seconds of the device's start; 0 for a device that has none",
    "seq": "1, 2, 3 ... within a boot; 0 for a device that has none; negative for an imported reading",
    "patient_id": "the patient whom the reading names; NULL if it names none",
    "ward": "the ward in which it was measured",
    "on_oxygen": "whether the patient receives oxygen; NULL if not recorded",
    "consciousness": "A alert, C new confusion, V responds to voice, P responds to pain, U unresponsive",
    "sensor_off": "keys of the signs whose sensor was off the patient",
    "status": "CRITICAL where a sign lies beyond its critical limit, else NORMAL",
    "received_at": "time of arrival of a reading stored by an earlier version, otherwise NULL; see arrival_time()",
    "arrival_lag_ms": "milliseconds from time to arrival; negative if the clock is ahead; see arrival_time()",
}
_ROLLUP = {
    "bucket": "the begin of the minute, hour or day of UTC",
    "device_id": "the device, which stands for the bed",
    "patient_id": "the patient whom the readings name; NULL if they name none",
    "ward": "the ward in which they were measured",
    "readings": "number of readings",
    "minutes": "number of minutes with readings",
    "critical": "number of readings with status CRITICAL",
}
_OF_ROLLUP = {
    "avg": "mean of {}",
    "min": "lowest {}",
    "max": "highest {}",
}


def reading_entries() -> dict[str, Entry]:
    """Return the columns of patient_vitals."""
    return {name: Entry(name, text) for name, text in _READING.items()} | {
        sign.key: _of_sign(sign, sign.key, sign.label) for sign in SIGNS
    }


def rollup_entries() -> dict[str, Entry]:
    """Return the columns of the rollups."""
    entries = {name: Entry(name, text) for name, text in _ROLLUP.items()}
    for sign in SIGNS:
        label = sign.label[0].lower() + sign.label[1:]
        for suffix, text in _OF_ROLLUP.items():
            entries[f"{sign.key}_{suffix}"] = _of_sign(sign, f"{sign.key}_{suffix}", text.format(label))
        entries[f"{sign.key}_n"] = Entry(f"{sign.key}_n", f"number of values of {label}")
        entries[f"{sign.key}_off"] = Entry(f"{sign.key}_off", f"share of time with the sensor of {label} off, 0 to 1")
    return entries


def _of_sign(sign: Sign, column: str, description: str) -> Entry:
    return Entry(column, description, sign.unit, " ".join(sign.loinc), sign.mdc, sign.low, sign.high)


def comment_columns(connection: Connection) -> None:
    """Write the comments that differ from the dictionary; each needs a short lock on its relation."""
    found = connection.execute(
        "SELECT c.relname, a.attname, col_description(c.oid, a.attnum) FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%s)",
        [list(RELATIONS)],
    ).fetchall()
    readings, rollups = reading_entries(), rollup_entries()
    for relation, column, comment in found:
        entry = (rollups if relation in ROLLUPS else readings).get(str(column))
        if entry is not None and entry.comment != comment:
            connection.execute(
                sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(
                    sql.Identifier("public", str(relation)), sql.Identifier(str(column)), sql.Literal(entry.comment)
                )
            )
