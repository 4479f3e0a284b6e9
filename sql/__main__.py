"""`python -m sql`: what a person, a start script or a one-shot container tells the database to be."""

import os
from urllib.parse import urlsplit

import typer
from pydantic import Field

from sql.migrate import INGEST_ROLE, READER_ROLE, connect
from sql.migrate import migrate as bring_up_to_date
from vitals.errors import told_in_one_sentence
from vitals.settings import DatabaseUrl, Settings

app = typer.Typer(no_args_is_help=True, add_completion=False)


class SqlSettings(Settings):
    """Where the database is, as its owner, and the two logins that migrate makes."""

    database_url: DatabaseUrl = Field(description="The database, as its owner: only `python -m sql` uses it.")
    ingest_url: DatabaseUrl | None = Field(None, description="The database, as vitalflow_ingest.")
    reader_url: DatabaseUrl | None = Field(None, description="The database, as vitalflow_reader (Grafana, you).")


@app.callback()
def about() -> None:
    """The database of VitalFlow: its tables, views, functions and roles."""


@app.command()
def migrate() -> None:
    """Bring the database to the present schema. Safe at every start.

    Connects as the owner (VITALFLOW_DATABASE_URL), says which edition of TimescaleDB it found, applies what is new, and
    gives the roles vitalflow_ingest and vitalflow_reader the passwords that VITALFLOW_INGEST_URL and
    VITALFLOW_READER_URL carry.
    """
    with told_in_one_sentence("vitalflow sql"):
        settings = SqlSettings.read(os.environ)
        wanted = {INGEST_ROLE: settings.ingest_url, READER_ROLE: settings.reader_url}
        logins = {role: url for role, url in wanted.items() if url is not None}
        with connect(settings.database_url) as connection:
            print(f"database {urlsplit(settings.database_url).path[1:]!r}:")
            bring_up_to_date(connection, logins, lambda line: print(f"  {line}"))


if __name__ == "__main__":
    app(prog_name="python -m sql")
