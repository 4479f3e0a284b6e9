"""`vitalflow export`: options; the work is in the other modules."""

import os
import sys
import time
from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from sql.export.deidentify import DEFAULT_KEY, Pseudonyms, read_key
from sql.export.formats import Format
from sql.export.readings import READINGS, Rollup, Selection, of_rollup
from sql.export.write_export import Progress, write_export
from sql.settings import DatabaseSettings, DatabaseUrl, first_url
from vitals.command_line import examples, single_command
from vitals.errors import PermanentError, exit_on_error
from vitals.time_option import TIME_FORMS, parse_time_option

PROGRAM = "vitalflow export"
PROGRESS_INTERVAL_S = 5.0

app = single_command()


class ExportSettings(DatabaseSettings):
    """The database of an export."""

    research_url: DatabaseUrl | None = Field(None, description="The database as vitalflow_research.")
    reader_url: DatabaseUrl | None = Field(None, description="The database as vitalflow_reader.")

    @property
    def url(self) -> str:
        """The login for research, if there is one, else the reader; raises PermanentError."""
        return first_url(research_url=self.research_url, reader_url=self.reader_url)


@app.command(
    epilog=examples(
        "vitalflow export --from 2026-11-01 --to 2026-12-01 --format parquet --deidentify --out november",
        "vitalflow export --from 2026-11-22T10:00Z --to 2026-11-22T11:00Z --format csv --bed bed-3 --out bed-3",
        "vitalflow export --from 2026-01-01 --to 2026-12-01 --rollup 1h --format csv --out hours",
    )
)
def export(
    since: Annotated[
        str, typer.Option("--from", help=f"Time of the first readings: {TIME_FORMS}.", show_default=False)
    ],
    until: Annotated[str, typer.Option("--to", help="End, in the same form; not included.", show_default=False)],
    format: Annotated[Format, typer.Option(help="Format of the readings.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder to create.", show_default=False)],
    ward: Annotated[list[str] | None, typer.Option(help="Only this ward; repeat for more.")] = None,
    bed: Annotated[list[str] | None, typer.Option(help="Only this device; repeat for more.")] = None,
    patient: Annotated[list[str] | None, typer.Option(help="Only this patient; repeat for more.")] = None,
    rollup: Annotated[
        Rollup | None, typer.Option(help="Averages of minutes or hours instead of readings; not as wfdb.")
    ] = None,
    deidentify: Annotated[
        bool, typer.Option("--deidentify", help="Replace patients, devices and wards by keyed hashes, and shift times.")
    ] = False,
    key: Annotated[
        Path, typer.Option(help="With --deidentify: the file with the secret key, created if it does not exist.")
    ] = DEFAULT_KEY,
) -> None:
    """Write stored readings into a new folder, sorted by bed and time, with a data dictionary.

    The folder appears when it is complete. VITALFLOW_RESEARCH_URL is the database, else VITALFLOW_READER_URL; the login
    decides which wards are read.
    """
    with exit_on_error(PROGRAM):
        start = parse_time_option("--from", since).astimezone(UTC)
        end = parse_time_option("--to", until).astimezone(UTC)
        if end <= start:
            raise PermanentError(f"--to {until} is not after --from {since}")
        if rollup is not None and format is Format.WFDB:
            raise PermanentError("--rollup has no format wfdb; expected csv or parquet")
        content = READINGS if rollup is None else of_rollup(rollup)
        selection = Selection(start, end, ward or (), bed or (), patient or ())
        url = ExportSettings.read(os.environ).url
        pseudonyms = _pseudonyms(key, out) if deidentify else None
        count = write_export(
            url, selection, content, format, out, pseudonyms, _progress(), lambda note: print(note, file=sys.stderr)
        )
        noun = "readings" if rollup is None else "averages"
        print(f"{out}: {count:,} {noun}{', de-identified' if deidentify else ', with identities'}")


def _pseudonyms(path: Path, out: Path) -> Pseudonyms:
    path = path.expanduser()
    if path.resolve().is_relative_to(out.resolve()):
        raise PermanentError(f"the key {path} must not lie in the export")
    key, is_new = read_key(path)
    if is_new:
        print(f"{path}: new key; keep it secret, and keep it for exports that must agree with this one")
    return Pseudonyms(key)


def _progress() -> Progress:
    """Return a function that prints what is done, every few seconds."""
    began = shown = time.monotonic()

    def show(done: int, beds: int, readings: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= PROGRESS_INTERVAL_S:
            shown = now
            print(
                f"{done} of {beds} beds, {readings:,} readings, {readings / (now - began):,.0f}/s",
                file=sys.stderr,
                flush=True,
            )

    return show


if __name__ == "__main__":
    app(prog_name="python -m sql.export")
