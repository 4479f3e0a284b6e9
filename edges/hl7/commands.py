"""`vitalflow edges hl7`: options of each command; the work is in the other modules."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from edges.admissions.admissions import Beds
from edges.config.site import Site, read_site
from edges.hl7 import listen_commands, out_commands, send_commands
from edges.hl7.adt import AdmissionReport
from edges.hl7.er7 import InvalidMessage
from edges.hl7.oru import Report
from edges.hl7.receive import Received, receive
from edges.hl7.sender import read_messages
from edges.hl7.try_admission import lines_of_admissions, show_admission
from edges.observations.episodic import History
from edges.try_output import line_of_verdict, lines_of_readings, printable, show_placed, show_unused
from vitals.command_line import command_group, examples
from vitals.log import write_fatal

PROGRAM = "vitalflow edges hl7"

app = command_group(PROGRAM)
app.add_typer(listen_commands.app)
app.add_typer(send_commands.app)
app.add_typer(out_commands.app)


@app.callback()
def about() -> None:
    """HL7 v2: try and send messages."""


@app.command("try", epilog=examples("vitalflow edges hl7 try message.hl7 --site site.toml --json"))
def try_file(
    file: Annotated[Path, typer.Argument(help="A message or a batch of messages in the ER7 encoding.")],
    site: Annotated[Path, typer.Option(help="The site's configuration, a TOML file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what would become of the messages in a file: readings, what is not used and why, acknowledgements.

    Nothing is sent and nothing is stored. The time of receipt is now. Exit code 2 if a message cannot be read.
    """
    configuration = read_site(site)
    parts = read_messages(file)
    now = datetime.now(UTC)
    beds, known = Beds(), History(all_measured=True)
    shown = [_try_message(part, configuration, now, beds, known) for part in parts]
    if as_json:
        print(json.dumps({"file": str(file), "messages": shown}, indent=2))
    else:
        print("\n".join(line for number, message in enumerate(shown, 1) for line in _lines(number, message)))
    failed = [(number, message["error"]) for number, message in enumerate(shown, 1) if not message["readable"]]
    for number, text in failed:
        write_fatal(PROGRAM, f"{file}{f', message {number}' if len(parts) > 1 else ''}: {text}")
    if failed:
        raise SystemExit(2)


def _try_message(content: bytes, site: Site, now: datetime, beds: Beds, known: History) -> dict[str, Any]:
    try:
        received = receive(content, site, now, known)
    except InvalidMessage as error:
        return {"readable": False, "error": str(error), "error_code": error.code}
    report = received.report
    if isinstance(report, AdmissionReport):
        return {**_show_answer(received), **show_admission(report, beds)}
    known.add(report.episodes, report.measured)
    return {**_show_answer(received), **_show_readings(report)}


def _show_answer(received: Received) -> dict[str, Any]:
    message, report = received.message, received.report
    header = message.header
    return {
        "readable": True,
        "control_id": printable(header.raw(10)),
        "type": printable(header.raw(9)),
        "source": report.source or None,
        "outcome": f"A{report.outcome}",
        "error": report.error and report.error.text,
        "error_code": report.error and report.error.code,
        "acknowledgements": [printable(answer.decode(message.codec, "replace")) for answer in received.answers],
        "bytes_outside_character_set": message.unfit,
    }


def _show_readings(report: Report) -> dict[str, Any]:
    return {
        **show_placed(report.readings),
        "not_used": show_unused(report.verdicts),
        "counts": report.counts,
    }


def _lines(number: int, message: dict[str, Any]) -> list[str]:
    if not message["readable"]:
        return [f"message {number}: not readable: {message['error']}"]
    lines = [f"message {number}: {message['type']}, control id {message['control_id']!a}, answer {message['outcome']}"]
    if message["error"]:
        lines.append(f"  {message['error']}")
    if "admissions" in message:
        return lines + lines_of_admissions(message["admissions"])
    lines += lines_of_readings(message)
    return lines + [line_of_verdict(f"segment {item['segment']}, ", item) for item in message["not_used"]]
