"""Show what would become of the bytes in a file. Pure but for reading the file."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from edges.config.places import PlacedReading
from edges.config.serial_table import SerialPort
from edges.observations.observed import Reason
from edges.serial.console import find_console
from edges.serial.decoders import make_decoder
from edges.serial.intake import entry_of
from edges.serial.measurement import Measurement
from edges.try_output import printable, show_placed
from vitals.errors import PermanentError
from vitals.signs import BY_KEY

_CHUNK = 65536


def try_file(
    file: Path, table: SerialPort, now: datetime, zone: ZoneInfo, problem: str
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return the measurements in a file, equal neighbours as one, and counts of bytes; raises PermanentError.

    problem   why its readings have no device; empty: they have that of the table
    """
    decoder = make_decoder(table, from_start=True)
    shown: list[dict[str, Any]] = []
    counts = {"bytes": 0, "noise_bytes": 0, "damaged": 0, "measurements": 0}
    before: Measurement | None = None
    console = ""
    for data in _chunks(file):
        console = console or find_console(data if not counts["bytes"] else b"")
        counts["bytes"] += len(data)
        for measurement in [*decoder.feed(data), *([] if data else decoder.flush())]:
            counts["measurements"] += 1
            if measurement == before:
                shown[-1]["times"] += 1
            else:
                shown.append(_show(measurement, len(shown) + 1, table, now, zone, problem))
            before = measurement
    if console and not shown:
        raise PermanentError(f"{file} is of a login console, as it shows {console!a}")
    counts |= {"noise_bytes": decoder.noise, "damaged": decoder.damaged}
    return shown, counts


def _chunks(file: Path) -> Iterator[bytes]:
    """Return the content of a file, and an empty chunk at its end."""
    try:
        with file.open("rb") as opened:
            while data := opened.read(_CHUNK):
                yield data
    except OSError as error:
        raise PermanentError(f"{file}: {error.strerror}") from None
    yield b""


def _show(
    measurement: Measurement, number: int, table: SerialPort, now: datetime, zone: ZoneInfo, problem: str
) -> dict[str, Any]:
    entry = entry_of([measurement], table, now, zone)
    placed = [PlacedReading(item.reading, None, None, problem) if problem else item for item in entry.readings]
    not_used = [
        _not_used(number, sign, "", Reason.NO_VALUE, "the sensor is off") for sign in measurement.sensor_off
    ] + [_not_used(number, item.sign, item.text, item.reason, item.detail) for item in measurement.unmeasured]
    used = sum(value is not None for item in placed for value in item.reading.values)
    counts = {Reason.USED.value: used} if used else {}
    for item in not_used:
        counts[item["reason"]] = counts.get(item["reason"], 0) + 1
    return {
        "readable": True,
        "times": 1,
        "device_time": measurement.clock and measurement.clock.isoformat(),
        **show_placed(placed),
        "not_used": not_used,
        "counts": counts,
    }


def _not_used(number: int, sign: str, text: str, reason: Reason, detail: str) -> dict[str, Any]:
    return {
        "segment": number,
        "code": sign,
        "value": printable(text),
        "unit": BY_KEY[sign].unit,
        "reason": reason.value,
        "detail": printable(detail),
    }
