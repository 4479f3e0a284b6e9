"""`vitalflow grafana`: what a person runs who has changed a dashboard, and what the tests run."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from pydantic import Field

from grafana.asking import Mistake, check_answers, check_rules
from grafana.canonical import canonical
from grafana.files import DASHBOARDS, PROVISIONING, Json, read_dashboards, text_of
from grafana.lint import check_dashboards
from grafana.questions import Question, questions
from sql.settings import DatabaseSettings, DatabaseUrl
from vitals.errors import PermanentError, TransientError, exit_on_error
from vitals.urls import without_password

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


class GrafanaSettings(DatabaseSettings):
    """Where to ask the queries."""

    reader_url: DatabaseUrl | None = Field(None, description="The database, as vitalflow_reader (Grafana, you).")


@app.callback()
def about() -> None:
    """The dashboards of VitalFlow: JSON below grafana/dashboards, which Grafana reads and this checks."""


@app.command()
def check(
    write: Annotated[bool, typer.Option("--write", help="Bring the files into the form that is kept, first.")] = False,
    dashboards: Annotated[Path, typer.Option(help="The folder with the dashboards.")] = DASHBOARDS,
    provisioning: Annotated[Path, typer.Option(help="The folder with what Grafana reads at its start.")] = PROVISIONING,
) -> None:
    """Look for everything that can be wrong with a dashboard; exit code 1 where something is.

    Without a database: form, shape, places, units, colours, variables, links, macros, the YAML. With
    VITALFLOW_READER_URL every query is asked too, as Grafana would ask it, over ranges from 5 minutes to 90 days and
    with awkward values in the variables.

    After a change in Grafana: Save dashboard, Save JSON, put the file into grafana/dashboards, then check --write.
    """
    with exit_on_error("vitalflow grafana"):
        try:
            from grafana.provisioning import check_provisioning, read_provisioning, rule_questions
            from grafana.schema import check_shape
        except ModuleNotFoundError as missing:
            raise PermanentError(
                f"{missing.name} is not installed; pip install -r requirements-dev.txt brings it"
            ) from None
        settings = GrafanaSettings.read(os.environ)
        found = read_dashboards(dashboards)
        if write:
            found = {path: _written(path, dashboard) for path, dashboard in found.items()}
        told = read_provisioning(provisioning)
        mistakes = [f"{path.name}: {sentence}" for path, read in found.items() for sentence in check_shape(read)]
        if not mistakes:  # of another shape nothing else can be asked
            mistakes += check_dashboards(found, {path: path.read_text(encoding="utf-8") for path in found})
            mistakes += check_provisioning(told, found)
        asked = "; not asked: VITALFLOW_READER_URL is not set"
        if settings.reader_url is not None and not mistakes:
            mistakes += map(str, _answers(settings.reader_url, found, list(rule_questions(told))))
            asked = f", asked {without_password(settings.reader_url)}"
        for sentence in mistakes:
            print(sentence)
        if mistakes:
            raise SystemExit(1)
        queries = sum(len(list(questions(dashboard))) for dashboard in found.values())
        print(f"{len(found)} dashboards, {queries} queries{asked}: as they should be")


def _written(path: Path, dashboard: Json) -> Json:
    kept = canonical(dashboard)
    if path.read_text(encoding="utf-8") != text_of(kept):
        path.write_text(text_of(kept), encoding="utf-8")
        print(f"{path.name}: written")
    return kept


def _answers(url: str, found: dict[Path, Json], rules: list[Question]) -> list[Mistake]:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            now = datetime.now(UTC)
            mistakes = [mistake for d in found.values() for mistake in check_answers(connection, d, now)]
            return mistakes + list(check_rules(connection, rules, now))
    except psycopg.OperationalError as error:
        raise TransientError(f"cannot ask {without_password(url)}: {' '.join(str(error).split())}") from None
    except psycopg.Error as error:
        raise PermanentError(f"{without_password(url)}: {' '.join(str(error).split())}") from None


if __name__ == "__main__":
    app(prog_name="python -m grafana")
