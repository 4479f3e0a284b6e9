"""Command line `vitalflow import`: store recordings of the past with their original times."""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from ingest.importing.report import Progress, describe
from ingest.importing.rows import Counts, RowConverter
from ingest.importing.store import ImportStore, Stored
from sql.settings import DatabaseSettings, DatabaseUrl, first_url
from vitals.command_line import examples, single_command
from vitals.device_names import device_name, unique_names
from vitals.errors import PermanentError, VitalFlowError, exit_on_error, login_name
from vitals.recording import Recording
from vitals.recording.options import DateOrderOption, FormatOption, OnlyPatientOption, ZoneOption, open_recordings
from vitals.time_option import TIME_FORMS, parse_time_option
from vitals.topics import DeviceAddress, InvalidTopic, Topics

MAX_PENDING = 2  # batches that wait for the database while the next one is read

app = single_command()


class ImportSettings(DatabaseSettings):
    """The database of an import."""

    import_url: DatabaseUrl | None = Field(None, description="The database as vitalflow_import.")
    database_url: DatabaseUrl | None = Field(None, description="The database as its owner.")

    @property
    def url(self) -> str:
        """The login for imports, if there is one, else the owner; raises PermanentError."""
        return first_url(import_url=self.import_url, database_url=self.database_url)


@app.command(
    "import",
    epilog=examples(
        "vitalflow import 2024/*.csv --ward icu-1",
        "vitalflow import stay.csv --ward icu-1 --device icu-1-bed-04 --patient 4711",
        "vitalflow import bidmc_01_Numerics.csv --ward research --start 2019-05-01T08:00Z",
    ),
)
def import_files(
    files: Annotated[list[Path], typer.Argument(help="Recordings, in the formats of devices replay.", metavar="FILE")],
    ward: Annotated[str, typer.Option(help="Ward in which the readings were measured.")],
    device: Annotated[
        str | None, typer.Option(help="Device of all files. Default: one per file, named like the file.")
    ] = None,
    patient: Annotated[
        str | None,
        typer.Option(
            help="Number of the patient of all files. Default: the patient or stay that a file names in a column."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help=f"Time of the first row of each file, for files without dates: {TIME_FORMS}."),
    ] = None,
    format: FormatOption = None,
    zone: ZoneOption = None,
    date_order: DateOrderOption = None,
    only_patient: OnlyPatientOption = None,
) -> None:
    """Store recordings of the past in the database, with their original times and with averages.

    Files that were imported before, or whose import was interrupted, can be imported again: each reading is stored
    once. The readings raise no alert; those of the last 24 hours are rejected, because screens would show them as the
    present state of a bed. VITALFLOW_IMPORT_URL is the database, else, as its owner, VITALFLOW_DATABASE_URL.

    Exit code 1: some readings were not stored; the output has the reason and the first line of each kind.
    """
    with exit_on_error("vitalflow import"):
        settings = ImportSettings.read(os.environ)
        first = None if start is None else parse_time_option("--start", start)
        recordings = open_recordings(files, format, zone, date_order, only_patient)
        undated = next((recording.path for recording in recordings if not recording.has_moments), None)
        if first is None and undated is not None:
            raise PermanentError(
                f"{undated} has times without a date; give the time of its first row with --start TIME"
            )
        names = [device] * len(files) if device is not None else unique_names([device_name(path) for path in files])
        beds = [_bed(ward, name) for name in names]
        actor = login_name()
        complete = True
        with closing(ImportStore(settings.url)) as store:
            for recording, bed in zip(recordings, beds, strict=True):
                converter = RowConverter(
                    str(recording.path), bed, _patient_of(recording, patient), first, datetime.now(UTC)
                )
                stored = _import(recording, converter, bed, store, actor)
                for line in describe(recording, bed, converter.counts, stored):
                    typer.echo(line)
                complete = complete and not converter.counts.rejected and not stored.refused
            store.refresh(lambda minutes: typer.echo(f"averages: {minutes:,} minutes to refresh", err=True))
        raise typer.Exit(0 if complete else 1)


def _bed(ward: str, device: str) -> DeviceAddress:
    """Return the address of a device; raises PermanentError for names that no topic can have."""
    topics = Topics()
    try:
        _, bed = topics.parse(topics.vitals(ward, device))
    except InvalidTopic:
        bed = None
    if bed != DeviceAddress(ward, device) or set("+#") & set(ward + device):
        raise PermanentError(
            f"ward {ward!r} or device {device!r} is no valid name; expected 1 to 200 printable characters without / + #"
        )
    return bed


def _patient_of(recording: Recording, given: str | None) -> Callable[[], str | None]:
    """Return a function that returns the patient: the given one, else the one that the file names by then."""
    return lambda: recording.patient if given is None else given


def _import(
    recording: Recording, converter: RowConverter, bed: DeviceAddress, store: ImportStore, actor: str
) -> Stored:
    """Read a file in this thread and store its batches in another one."""
    total = Stored()
    progress = Progress(recording.path, time.monotonic(), sys.stderr)
    begun: dict[str, object] = {"file": recording.path.name, "format": str(recording.layout.format)}
    store.record(actor, bed, begun, is_complete=False)
    pending: list[Future[Stored]] = []
    with ThreadPoolExecutor(1) as executor:
        try:
            for lines in converter.batches(recording.rows()):
                pending.append(executor.submit(store.write, lines))
                while len(pending) > MAX_PENDING or (pending and pending[0].done()):
                    total.add(pending.pop(0).result())
                progress.show(converter.counts.rows, time.monotonic())
            while pending:
                total.add(pending.pop(0).result())
        except VitalFlowError as error:
            for future in pending:
                if not future.cancel() and future.exception() is None:
                    total.add(future.result())
            if total.stored + total.duplicates == 0:
                raise
            known = f"{total.stored + total.duplicates:,} readings of {recording.path.name} are stored"
            raise type(error)(f"{error}; {known}, and a further import of it stores the others") from error
        finally:
            progress.end()
    store.record(actor, bed, begun | _figures(converter.counts, total), is_complete=True)
    return total


def _figures(counts: Counts, stored: Stored) -> dict[str, object]:
    """Return the figures of the audit record."""
    figures: dict[str, object] = {
        "rows": counts.rows,
        "stored": stored.stored,
        "duplicates": stored.duplicates,
        "rejected": sum(count.number for count in counts.rejected.values()) + stored.refused,
    }
    if counts.first_time is not None and counts.last_time is not None:
        figures |= {"from": counts.first_time.isoformat(), "to": counts.last_time.isoformat()}
    return figures


if __name__ == "__main__":
    app(prog_name="python -m ingest.importing")
