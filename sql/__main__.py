"""Command line `vitalflow db`: create, update and inspect the database."""

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

import sql.backfill
import sql.migrate
import sql.time_zone
import sql.wards
from sql.connection import Connection
from sql.migrate import IMPORT_ROLE, INGEST_ROLE, NAMES_ROLE, READER_ROLE, RESEARCH_ROLE, connect, find_edition
from sql.retention import RetentionSettings
from sql.settings import DatabaseSettings, DatabaseUrl
from sql.status import status as status_lines
from sql.wards import wards_of
from vitals.command_line import command_group
from vitals.errors import PermanentError
from vitals.time_option import TIME_FORMS, parse_time_option

MIN_PASSWORD_LENGTH = 12  # characters

app = command_group("vitalflow db")


class SqlSettings(DatabaseSettings):
    """The database as its owner, the logins that migrate creates, and the retention periods."""

    database_url: DatabaseUrl = Field(description="The database as its owner; only `vitalflow db` uses it.")
    ingest_url: DatabaseUrl | None = Field(None, description="The database as vitalflow_ingest.")
    reader_url: DatabaseUrl | None = Field(
        None, description="The database as vitalflow_reader: Grafana, station, psql."
    )
    names_url: DatabaseUrl | None = Field(
        None, description="The database as vitalflow_names: the station, for the names of patients."
    )
    research_url: DatabaseUrl | None = Field(
        None, description="The database as vitalflow_research: `vitalflow export`, and queries that take an hour."
    )
    import_url: DatabaseUrl | None = Field(None, description="The database as vitalflow_import: `vitalflow import`.")
    raw_retention_days: int = Field(30, ge=1, le=36_500, description="Readings older than this are dropped.")
    minute_retention_days: int = Field(
        365, ge=1, le=36_500, description="Averages per minute older than this are dropped."
    )
    compress_after_days: int = Field(
        7, ge=1, le=36_500, description="Older chunks move to the columnstore (Community)."
    )
    late_after_hours: int = Field(
        6, ge=1, le=8_760, description="How far behind its progress each refresh of the rollups begins (Community)."
    )

    @property
    def retention(self) -> RetentionSettings:
        """The retention settings; raises PermanentError if they contradict each other."""
        return RetentionSettings(
            timedelta(days=self.raw_retention_days),
            timedelta(days=self.minute_retention_days),
            timedelta(days=self.compress_after_days),
            timedelta(hours=self.late_after_hours),
        )


@app.callback()
def about() -> None:
    """Create, update and inspect the database: tables, views, functions and roles."""


@app.command()
def migrate() -> None:
    """Bring the database up to date. Safe at every start.

    Connects as the owner (VITALFLOW_DATABASE_URL), applies new migrations, sets the periods of retention, columnstore
    and refresh, and gives the roles vitalflow_ingest, vitalflow_reader, vitalflow_names, vitalflow_research and
    vitalflow_import the passwords in VITALFLOW_INGEST_URL, VITALFLOW_READER_URL and so on.
    """
    settings = SqlSettings.read(os.environ)
    retention = settings.retention
    urls = {
        INGEST_ROLE: settings.ingest_url,
        READER_ROLE: settings.reader_url,
        NAMES_ROLE: settings.names_url,
        RESEARCH_ROLE: settings.research_url,
        IMPORT_ROLE: settings.import_url,
    }
    logins = {role: url for role, url in urls.items() if url is not None}
    with connect(settings.database_url) as connection:
        print(f"database {urlsplit(settings.database_url).path[1:]!r}:")
        sql.migrate.migrate(connection, logins, lambda line: print(f"  {line}", flush=True), retention)


@app.command()
def status() -> None:
    """Show edition, sizes, columnstore, jobs with their last run, and late readings."""
    with _migrated() as connection:
        for line in status_lines(connection):
            print(line)


@app.command()
def backfill(
    since: Annotated[str, typer.Option("--from", help=f"Start: {TIME_FORMS}.")],
    until: Annotated[str | None, typer.Option("--to", help="End, in the same form. Default: now.")] = None,
) -> None:
    """Refresh the rollups over a time range, one day at a time (Community edition).

    Only needed for rows that were not written by ingest, or for a day that `db status` names.
    """
    start = parse_time_option("--from", since)
    end = datetime.now(UTC) if until is None else parse_time_option("--to", until)
    with _migrated() as connection:
        if find_edition(connection).community:
            sql.backfill.backfill(connection, start, end, print)
        else:
            print("nothing to do: on the Apache edition the rollups are views, computed when queried")


Reader = Annotated[str, typer.Argument(help="Name of the login, such as icu1_desk.")]


@app.command()
def grant_ward(
    name: Reader,
    ward: Annotated[list[str], typer.Option(help="A ward to grant; repeat for more.")],
    password_file: Annotated[
        Path | None,
        typer.Option(help="File with its password. Default: a new login gets a generated one, printed once."),
    ] = None,
) -> None:
    """Create a login that reads only some wards, or grant one more wards.

    It can query the same tables, views and functions as vitalflow_reader and gets the rows of its wards only, so
    dashboards work unchanged. Prints the URL to connect with. A ward of which no device is known is refused.
    """
    with _migrated() as connection:
        sql.wards.require_known_wards(connection, ward)
        generated = sql.wards.grant_ward(
            connection, name, ward, None if password_file is None else _password(password_file)
        )
        print(f"{name} reads {', '.join(wards_of(connection)[name])}")
        print(_url_of(SqlSettings.read(os.environ).database_url, name, generated or "PASSWORD"))
        if generated:
            print("this password is shown only once; grant-ward with --password-file sets another one")


@app.command()
def revoke_ward(
    name: Reader,
    ward: Annotated[list[str] | None, typer.Option(help="A ward to revoke. Default: all, and the login.")] = None,
) -> None:
    """Revoke wards from a login, or drop the login and disconnect it."""
    with _migrated() as connection:
        if sql.wards.revoke_ward(connection, name, ward or []):
            print(f"{name} is dropped")
        else:
            print(f"{name} reads {', '.join(wards_of(connection)[name]) or 'no ward'}")


@app.command()
def wards() -> None:
    """List the logins that read only some wards, with their wards."""
    with _migrated() as connection:
        for name, read in wards_of(connection).items():
            print(f"{name:<24} {', '.join(read) or 'no ward'}")


@app.command()
def set_time_zone(
    time_zone: Annotated[str, typer.Argument(help="An IANA name, such as Europe/Berlin.")],
    ward: Annotated[str, typer.Option(help="The only ward that it is for. Default: all that have none.")] = "",
) -> None:
    """Set the time zone in which `vitals_by_day` counts the days of a ward. Without it they are UTC days."""
    with _migrated() as connection:
        sql.time_zone.set_time_zone(connection, time_zone, ward)
        print(f"the days of {f'ward {ward}' if ward else 'all other wards'} begin at midnight in {time_zone}")


def _password(path: Path) -> str:
    try:
        password = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise PermanentError(f"--password-file {str(path)!r} cannot be read: {reason}") from None
    if len(password) < MIN_PASSWORD_LENGTH:
        raise PermanentError(
            f"the password in {str(path)!r} has {len(password)} characters; at least {MIN_PASSWORD_LENGTH} are required"
        )
    return password


def _url_of(url: str, user: str, password: str) -> str:
    """Return the URL of the same database for another user."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()


@contextmanager
def _migrated() -> Iterator[Connection]:
    """Connect as the owner; raises PermanentError if the database was not migrated."""
    settings = SqlSettings.read(os.environ)
    with connect(settings.database_url) as connection:
        try:
            yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction) as error:
            message = str(error).partition("\n")[0]
            raise PermanentError(f"{message}; run vitalflow db migrate") from error
        except psycopg.Error as error:
            raise PermanentError(f"the database: {' '.join(str(error).split())}") from error


if __name__ == "__main__":
    app(prog_name="python -m sql")
