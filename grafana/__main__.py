"""Command line `vitalflow grafana`: check the dashboards after a change."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from pydantic import Field

from grafana.canonical import canonical
from grafana.execute import Finding, check_results, check_rules
from grafana.files import DASHBOARDS, PROVISIONING, Json, read_dashboards, text_of
from grafana.lint import check_dashboards
from grafana.queries import Query, queries
from sql.address import without_password
from sql.settings import DatabaseSettings, DatabaseUrl
from vitals.command_line import command_group
from vitals.errors import PermanentError, TransientError

app = command_group("vitalflow grafana")


class GrafanaSettings(DatabaseSettings):
    """The database on which the queries are executed."""

    reader_url: DatabaseUrl | None = Field(
        None, description="The database as vitalflow_reader: Grafana, station, psql."
    )


@app.callback()
def about() -> None:
    """Check the Grafana dashboards in grafana/dashboards and the provisioning."""


@app.command()
def check(
    write: Annotated[bool, typer.Option("--write", help="First rewrite the files in canonical form.")] = False,
    dashboards: Annotated[
        Path, typer.Option(help="Folder of the dashboards. Default: VitalFlow's own.", show_default=False)
    ] = DASHBOARDS,
    provisioning: Annotated[
        Path, typer.Option(help="Folder of the provisioning files. Default: VitalFlow's own.", show_default=False)
    ] = PROVISIONING,
) -> None:
    """Check every dashboard and the provisioning; exit code 1 if there is a finding.

    Without a database: canonical form, schema, positions, units, colours, variables, links, macros, provisioning. With
    VITALFLOW_READER_URL it also executes every query as Grafana would, over ranges from 5 minutes to 90 days and with
    unusual values of the variables.

    After a change in Grafana: Save dashboard, Save JSON to file, copy it to grafana/dashboards, then check --write.
    """
    try:
        from grafana.provisioning import check_provisioning, read_provisioning, rule_queries
        from grafana.schema import check_shape
    except ModuleNotFoundError as missing:
        raise PermanentError(
            f"{missing.name} is not installed; pip install -r requirements-dev.txt installs it"
        ) from None
    settings = GrafanaSettings.read(os.environ)
    found = read_dashboards(dashboards)
    if write:
        found = {path: _write_canonical(path, dashboard) for path, dashboard in found.items()}
    provisioned = read_provisioning(provisioning)
    findings = [f"{path.name}: {message}" for path, read in found.items() for message in check_shape(read)]
    if not findings:  # the other checks need a valid schema
        findings += check_dashboards(found, {path: path.read_text(encoding="utf-8") for path in found})
        findings += check_provisioning(provisioned, found)
    executed = "; not executed: VITALFLOW_READER_URL is not set"
    if settings.reader_url is not None and not findings:
        findings += map(str, _execute(settings.reader_url, found, list(rule_queries(provisioned))))
        executed = f", executed on {without_password(settings.reader_url)}"
    for message in findings:
        print(message)
    if findings:
        raise SystemExit(1)
    count = sum(len(list(queries(dashboard))) for dashboard in found.values())
    print(f"{len(found)} dashboards, {count} queries{executed}: no findings")


def _write_canonical(path: Path, dashboard: Json) -> Json:
    rewritten = canonical(dashboard)
    if path.read_text(encoding="utf-8") != text_of(rewritten):
        path.write_text(text_of(rewritten), encoding="utf-8")
        print(f"{path.name}: written")
    return rewritten


def _execute(url: str, found: dict[Path, Json], rules: list[Query]) -> list[Finding]:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            now = datetime.now(UTC)
            findings = [finding for d in found.values() for finding in check_results(connection, d, now)]
            return findings + list(check_rules(connection, rules, now))
    except psycopg.OperationalError as error:
        raise TransientError(f"cannot connect to {without_password(url)}: {' '.join(str(error).split())}") from None
    except psycopg.Error as error:
        raise PermanentError(f"{without_password(url)}: {' '.join(str(error).split())}") from None


if __name__ == "__main__":
    app(prog_name="python -m grafana")
