"""Export stored readings as NDJSON of FHIR in the layout of the Bulk Data Access guide.

One file of Observations per day, one of Patients and one of Devices, and a manifest.

The database sends rows through a cursor, and a file is complete before its folder has its name: an export that ends
early leaves nothing under that name. Memory holds the numbers of patients and the names of devices, and no readings.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import msgspec
import psycopg
from psycopg.rows import dict_row

from sql.connection import describe_connect_error
from vitals.errors import PermanentError
from vitals.fhir import Measured, Resource, device, instant, observation, patient

DAY = timedelta(days=1)
CONNECT_S = 5
ROWS_AT_ONCE = 2000

# A reading belongs to the patient that it names, or who was assigned to its bed.
READINGS_SQL = """
SELECT v.*, arrived_at, patient
FROM all_vitals v
CROSS JOIN LATERAL (SELECT arrival_time(v.received_at, v.time, v.arrival_lag_ms) AS arrived_at) AS arrival
CROSS JOIN LATERAL (SELECT patient_of_reading(v.patient_id, v.device_id, v.time, arrived_at) AS patient) AS of_patient
WHERE v.time >= %(start)s AND v.time < %(end)s
"""
DAYS_SQL = "SELECT min(time), max(time) FROM all_vitals WHERE time >= %(start)s AND time < %(end)s"
DEVICES_SQL = "SELECT device_id, ward, model, state, changed_at FROM device"

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Exported:
    """What an export has written: number of resources by file."""

    files: dict[str, int] = field(default_factory=dict)

    @property
    def observations(self) -> int:
        """Number of Observations."""
        return sum(count for name, count in self.files.items() if name.startswith("Observation"))


def export(url: str, since: datetime, until: datetime, folder: Path, command: str) -> Exported:
    """Write the readings from `since` to `until` into a new folder; raises PermanentError.

    url       the database, as vitalflow_reader
    command   for the manifest: what was asked
    """
    if folder.exists():
        raise PermanentError(f"{folder} exists; give a folder that does not")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            found = _write_all(url, since, until, partial, command)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise PermanentError(f"{error.filename or folder}: {error.strerror}") from None
    return found


def _write_all(url: str, since: datetime, until: datetime, folder: Path, command: str) -> Exported:
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_S, autocommit=True) as database:
            return _write_files(database, since, until, folder, command)
    except psycopg.Error as error:
        raise PermanentError(f"the export failed: {describe_connect_error(error, url)}") from None


def _write_files(
    database: psycopg.Connection[Any], since: datetime, until: datetime, folder: Path, command: str
) -> Exported:
    found = Exported()
    patients: set[str] = set()
    devices: dict[str, str] = {}  # name -> last ward

    def note(measured: Measured) -> None:
        devices[measured.device] = measured.ward
        if measured.patient is not None:
            patients.add(measured.patient)

    for start in _days(database, since, until):
        readings = _readings(database, max(start, since), min(start + DAY, until))
        name = f"Observation.{start:%Y-%m-%d}.ndjson"
        _write(folder, name, _observations(readings, note), found)
    _write(folder, "Patient.ndjson", (patient(number) for number in sorted(patients)), found)
    _write(folder, "Device.ndjson", _devices(database, devices), found)
    manifest = {
        "transactionTime": instant(until),
        "request": command,
        "requiresAccessToken": False,
        "output": [
            {"type": name.partition(".")[0], "url": name, "count": count} for name, count in found.files.items()
        ],
        "error": [],
    }
    (folder / "manifest.json").write_bytes(msgspec.json.format(_encode(manifest), indent=2) + b"\n")
    return found


def _days(database: psycopg.Connection[Any], since: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the midnights of the days of UTC that may have readings."""
    row = database.execute(DAYS_SQL, {"start": since, "end": until}).fetchone()
    if row is None or row[0] is None:
        return
    first, last = (time.astimezone(since.tzinfo) for time in row)
    start = first.replace(hour=0, minute=0, second=0, microsecond=0)
    while start <= last:
        yield start
        start += DAY


def _readings(database: psycopg.Connection[Any], start: datetime, end: datetime) -> Iterator[Measured]:
    with database.transaction(), database.cursor("readings", row_factory=dict_row) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(READINGS_SQL, {"start": start, "end": end})
        for row in cursor:
            yield Measured.of_row(row)


def _observations(readings: Iterator[Measured], note: Callable[[Measured], None]) -> Iterator[Resource]:
    for measured in readings:
        note(measured)
        for kind in measured.kinds():
            yield observation(measured, kind)


def _devices(database: psycopg.Connection[Any], wards: dict[str, str]) -> Iterator[Resource]:
    known = {row[0]: row for row in database.execute(DEVICES_SQL)}
    for name, ward in sorted(wards.items()):
        _, _, model, state, changed_at = known.get(name, (name, ward, None, None, None))
        yield device(name, ward, is_removed=state == "forgotten", model=model, patient=None, changed_at=changed_at)


def _write(folder: Path, name: str, resources: Iterator[Resource], found: Exported) -> None:
    """Write a file with one resource per line, unless there is none."""
    count = 0
    path = folder / name
    with path.open("wb") as file:
        count = _write_lines(file, resources)
    if count:
        found.files[name] = count
    else:
        path.unlink()


def _write_lines(file: IO[bytes], resources: Iterator[Resource]) -> int:
    count = 0
    for count, resource in enumerate(resources, 1):  # noqa: B007 - the last count is returned
        file.write(_encode(resource) + b"\n")
    return count
