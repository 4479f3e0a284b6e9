"""`python -m sql`: what a person, a start script or a one-shot container tells the database to be."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit

import psycopg
import typer
from pydantic import Field

from sql.backfill import backfill as refresh_range
from sql.migrate import INGEST_ROLE, READER_ROLE, Connection, connect, find_edition
from sql.migrate import migrate as bring_up_to_date
from sql.retention import RetentionSettings
from sql.settings import DatabaseSettings, DatabaseUrl
from sql.status import status as lines_of_status
from sql.wards import grant_ward as let_read
from sql.wards import revoke_ward as let_read_no_more
from sql.wards import wards_of
from vitals.errors import PermanentError, exit_on_error

LEAST_PASSWORD = 12  # characters

app = typer.Typer(no_args_is_help=True, add_completion=False)


class SqlSettings(DatabaseSettings):
    """Where the database is, as its owner, the two logins that migrate makes, and how long things are kept."""

    database_url: DatabaseUrl = Field(description="The database, as its owner: only `python -m sql` uses it.")
    ingest_url: DatabaseUrl | None = Field(None, description="The database, as vitalflow_ingest.")
    reader_url: DatabaseUrl | None = Field(None, description="The database, as vitalflow_reader (Grafana, you).")
    raw_retention_days: int = Field(30, ge=1, le=36_500, description="Readings older than this are dropped.")
    minute_retention_days: int = Field(365, ge=1, le=36_500, description="Averages per minute are kept as long.")
    compress_after_days: int = Field(7, ge=1, le=36_500, description="Older chunks go to the columnstore (Community).")
    late_after_hours: int = Field(6, ge=1, le=8_760, description="How far back the refresh policies look (Community).")

    @property
    def periods(self) -> RetentionSettings:
        """The periods that migrate applies; raises PermanentError where they do not go together."""
        return RetentionSettings(
            timedelta(days=self.raw_retention_days),
            timedelta(days=self.minute_retention_days),
            timedelta(days=self.compress_after_days),
            timedelta(hours=self.late_after_hours),
        )


@app.callback()
def about() -> None:
    """The database of VitalFlow: its tables, views, functions and roles."""


@app.command()
def migrate() -> None:
    """Bring the database to the present schema. Safe at every start.

    Connects as the owner (VITALFLOW_DATABASE_URL), says which edition of TimescaleDB it found, applies what is new,
    sets the periods of retention, columnstore and refresh, and gives the roles vitalflow_ingest and vitalflow_reader
    the passwords that VITALFLOW_INGEST_URL and VITALFLOW_READER_URL carry.
    """
    with exit_on_error("vitalflow sql"):
        settings = SqlSettings.read(os.environ)
        periods = settings.periods
        wanted = {INGEST_ROLE: settings.ingest_url, READER_ROLE: settings.reader_url}
        logins = {role: url for role, url in wanted.items() if url is not None}
        with connect(settings.database_url) as connection:
            print(f"database {urlsplit(settings.database_url).path[1:]!r}:")
            bring_up_to_date(connection, logins, lambda line: print(f"  {line}", flush=True), periods)


@app.command()
def status() -> None:
    """What the database holds: edition, sizes, columnstore, jobs with their last run, and late readings."""
    with exit_on_error("vitalflow sql"), _migrated() as connection:
        for line in lines_of_status(connection):
            print(line)


@app.command()
def backfill(
    since: Annotated[str, typer.Option("--from", help="First moment, such as 2026-11-22 or 2026-11-22T10:00Z.")],
    until: Annotated[str | None, typer.Option("--to", help="Where to stop; left out, now.")] = None,
) -> None:
    """Refresh the rollups over a range of time, a day at a time (Community edition).

    Seldom needed: the refresh policies and the job for late readings do it by themselves. For rows that were written
    past ingest, or after the policies had been off.
    """
    with exit_on_error("vitalflow sql"):
        start = _moment("--from", since)
        end = datetime.now(UTC) if until is None else _moment("--to", until)
        with _migrated() as connection:
            if find_edition(connection).community:
                refresh_range(connection, start, end, print)
            else:
                print("nothing to do: on the Apache edition the rollups are views, computed when asked")


Reader = Annotated[str, typer.Argument(help="The role to log in with, such as icu1_desk.")]


@app.command()
def grant_ward(
    name: Reader,
    ward: Annotated[list[str], typer.Option(help="A ward it may read; once for each.")],
    password_file: Annotated[
        Path | None, typer.Option(help="Its password; left out, a new role gets one that is printed once.")
    ] = None,
) -> None:
    """Make a reader of some wards only, or let one read more wards.

    It sees the tables, views and functions that vitalflow_reader sees, under the same names, with the rows of its
    wards: dashboards work unchanged. Prints the address to connect with.
    """
    with exit_on_error("vitalflow sql"), _migrated() as connection:
        made = let_read(connection, name, ward, None if password_file is None else _password(password_file))
        print(f"{name} reads {', '.join(wards_of(connection)[name])}")
        print(_as(SqlSettings.read(os.environ).database_url, name, made or "PASSWORD"))
        if made:
            print("this password is shown once; grant-ward with --password-file gives another one")


@app.command()
def revoke_ward(
    name: Reader,
    ward: Annotated[list[str] | None, typer.Option(help="A ward to take away; left out, all and the role.")] = None,
) -> None:
    """Take wards from a reader, or all of them and its login; then its connections end at once."""
    with exit_on_error("vitalflow sql"), _migrated() as connection:
        if let_read_no_more(connection, name, ward or []):
            print(f"{name} is gone")
        else:
            print(f"{name} reads {', '.join(wards_of(connection)[name]) or 'no ward'}")


@app.command()
def wards() -> None:
    """List the readers of some wards only, with their wards."""
    with exit_on_error("vitalflow sql"), _migrated() as connection:
        for name, read in wards_of(connection).items():
            print(f"{name:<24} {', '.join(read) or 'no ward'}")


def _password(path: Path) -> str:
    try:
        password = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise PermanentError(f"--password-file {str(path)!r} cannot be read: {reason}") from None
    if len(password) < LEAST_PASSWORD:
        raise PermanentError(
            f"the password in {str(path)!r} has {len(password)} characters; {LEAST_PASSWORD} are the least"
        )
    return password


def _as(url: str, user: str, password: str) -> str:
    """The address of the database for another user."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}").geturl()


@contextmanager
def _migrated() -> Iterator[Connection]:
    """The database, as its owner; raises PermanentError where it was not migrated."""
    settings = SqlSettings.read(os.environ)
    with connect(settings.database_url) as connection:
        try:
            yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction) as error:
            words = str(error).partition("\n")[0]
            raise PermanentError(f"{words}; run python -m sql migrate") from error
        except psycopg.Error as error:
            raise PermanentError(f"the database: {' '.join(str(error).split())}") from error


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise PermanentError(f"{option} {text!r} is no moment; write it like 2026-11-22 or 2026-11-22T10:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == "__main__":
    app(prog_name="python -m sql")
