"""Options of the commands that read recordings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from vitals.errors import PermanentError
from vitals.recording.layouts import DateOrder, Format
from vitals.recording.recording import Recording

FormatOption = Annotated[
    Format | None, typer.Option("--format", help="Format of all files; by default each file's columns decide.")
]
ZoneOption = Annotated[str | None, typer.Option(help="Zone of times without an offset, such as Europe/Berlin.")]
DateOrderOption = Annotated[
    DateOrder | None, typer.Option(help="Order of day and month in dates such as 03/04/2026; it is never guessed.")
]
OnlyPatientOption = Annotated[
    str | None, typer.Option(help="Read only this patient, or this stay, of a file that holds several.")
]


def open_recordings(
    paths: Sequence[Path],
    format: Format | None = None,
    zone: str | None = None,
    date_order: DateOrder | None = None,
    only_patient: str | None = None,
) -> list[Recording]:
    """Return the recordings of files; raises PermanentError if one has no supported format."""
    try:
        tz = ZoneInfo(zone) if zone is not None else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PermanentError(f"--zone {zone} is no time zone; expected one such as Europe/Berlin or UTC") from None
    return [Recording(path, format, zone=tz, date_order=date_order, only_patient=only_patient) for path in paths]
