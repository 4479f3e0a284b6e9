"""`vitalflow edges fhir`: options of each command; the work is in the other modules."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from edges.fhir.answers import answer_invalid
from edges.fhir.content import InvalidDocument
from edges.fhir.receive import Received, receive
from edges.observed import Reason
from edges.site import UNKNOWN_SOURCE, Site, Source, read_site
from edges.try_output import line_of_verdict, lines_of_readings, printable, show_placed, show_verdict
from vitals.command_line import command_group, examples
from vitals.errors import PermanentError, exit_on_error
from vitals.log import write_fatal

PROGRAM = "vitalflow edges fhir"
MAX_FILE = 64 * 1024 * 1024  # bytes

app = command_group()


@app.callback()
def about() -> None:
    """FHIR R4: try resources."""


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
    with exit_on_error(PROGRAM):
        configuration = read_site(site)
        sender = configuration.named_source(source) if source else UNKNOWN_SOURCE
        try:
            with file.open("rb") as stream:
                content = stream.read(MAX_FILE + 1)
        except OSError as error:
            raise PermanentError(f"{file}: {error.strerror}") from None
        if len(content) > MAX_FILE:
            raise PermanentError(f"{file} has more than {MAX_FILE} bytes")
        shown = _try_document(content, configuration, sender)
        if as_json:
            print(json.dumps({"file": str(file), "messages": [shown]}, indent=2))
        else:
            print("\n".join(_lines(shown)))
        if not shown["readable"]:
            write_fatal(PROGRAM, f"{file}: {shown['error']}")
            raise SystemExit(2)


def _try_document(content: bytes, site: Site, source: Source) -> dict[str, Any]:
    try:
        received = receive(content, site, source, datetime.now(UTC))
    except InvalidDocument as error:
        answer = answer_invalid(error)
        return {
            "readable": False,
            "outcome": "refused",
            "error": printable(str(error)),
            "status": answer.status,
            "answer": json.loads(answer.body),
            "readings": [],
            "without_device": [],
            "not_used": [],
            "counts": {},
        }
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
