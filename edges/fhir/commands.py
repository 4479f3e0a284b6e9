"""`vitalflow edges fhir`: options of each command; the work is in the other modules."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from edges.config.settings import ExportSettings
from edges.config.site import UNKNOWN_SOURCE, Site, Source, read_site
from edges.fhir import listen_commands
from edges.fhir.answers import answer_invalid
from edges.fhir.export import export
from edges.fhir.receive import Received, receive
from edges.input_file import read_input
from edges.observations.json_document import InvalidDocument
from edges.observations.observed import Reason
from edges.try_output import (
    line_of_verdict,
    lines_of_readings,
    print_document,
    show_placed,
    show_refused,
    show_verdict,
)
from vitals.command_line import command_group, examples
from vitals.errors import PermanentError
from vitals.fhir import instant
from vitals.time_option import TIME_FORMS, parse_time_option

app = command_group("vitalflow edges fhir")
app.add_typer(listen_commands.app)


@app.callback()
def about() -> None:
    """FHIR R4: receive, try and export resources."""


@app.command("try", epilog=examples("vitalflow edges fhir try observation.json --site site.toml --json"))
def try_file(
    file: Annotated[Path, typer.Argument(help="An Observation, a Bundle, or NDJSON with one resource per line.")],
    site: Annotated[Path, typer.Option(help="The site's configuration, a TOML file.", show_default=False)],
    source: Annotated[str, typer.Option(help="The name of the sender in the site's configuration.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what would become of the resources in a file: readings, what is not used and why, the answer.

    Nothing is sent and nothing is stored. The time of receipt is now. Exit code 2 if the file cannot be read.
    """
    configuration = read_site(site)
    sender = configuration.source_named(source)
    if source and sender is UNKNOWN_SOURCE:
        raise PermanentError(f"the site has no source {source[:60]!r}")
    shown = _try_document(read_input(file), configuration, sender)
    print_document(file, shown, _lines, as_json=as_json)


@app.command("export", epilog=examples("vitalflow edges fhir export --since 2026-11-22 --out export"))
def export_files(
    since: Annotated[str, typer.Option(help=f"The time of the first readings: {TIME_FORMS}.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder to create.", show_default=False)],
) -> None:
    """Write stored readings as NDJSON: Observations by day, Patients, Devices, and manifest.json.

    All wards are read. The folder appears when it is complete. VITALFLOW_READER_URL is the database.
    """
    begin = parse_time_option("--since", since).astimezone(UTC)
    settings = ExportSettings.read(os.environ)
    request = f"vitalflow edges fhir export --since {instant(begin)}"
    found = export(settings.reader_url, begin, datetime.now(UTC), out, request)
    print(f"{out}: {found.observations} Observations in {len(found.files)} files")


def _try_document(content: bytes, site: Site, source: Source) -> dict[str, Any]:
    try:
        received = receive(content, site, source, datetime.now(UTC))
    except InvalidDocument as error:
        answer = answer_invalid(error)
        return show_refused(str(error), status=answer.status, answer=json.loads(answer.body))
    return {
        "readable": True,
        "type": received.document.bundle or "Observation",
        "source": source.name or None,
        "outcome": received.report.outcome.value,
        "status": received.answer.status,
        "answer": json.loads(received.answer.body),
        **_show_observations(received),
    }


def _show_observations(received: Received) -> dict[str, Any]:
    report = received.report
    return {
        **show_placed(report.readings),
        "not_used": [
            {"path": report.paths[verdict.observation.segment], **show_verdict(verdict)}
            for verdict in report.verdicts
            if verdict.reason is not Reason.USED
        ],
        "counts": report.counts,
    }


def _lines(shown: dict[str, Any]) -> list[str]:
    if not shown["readable"]:
        return [f"not readable, answer {shown['status']}: {shown['error']}"]
    lines = [f"{shown['type']}: {shown['outcome']}, answer {shown['status']}", *lines_of_readings(shown)]
    return lines + [line_of_verdict(f"{item['path']}, " if item["path"] else "", item) for item in shown["not_used"]]
