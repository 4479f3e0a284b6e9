"""Command line `vitalflow edges`: check a site's configuration and try messages with it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edges.config.site import read_site
from edges.inbox.inbox import read_unused
from edges.webhook.secrets import find_problems
from vitals.command_line import command_group, examples

app = command_group(
    "vitalflow edges",
    hl7="edges.hl7.commands",
    fhir="edges.fhir.commands",
    mqtt="edges.mqtt.commands",
    webhook="edges.webhook.commands",
    serial="edges.serial.commands",
    senders="edges.sender_commands",
)


@app.callback()
def about() -> None:
    """Receive what other systems send, and publish its readings. `try` shows what would become of a file."""


@app.command(epilog=examples("vitalflow edges check site.toml"))
def check(site: Annotated[Path, typer.Argument(help="The site's configuration, a TOML file.")]) -> None:
    """Check a site's configuration: each mistake is named with its key."""
    found = read_site(site)
    places, devices = len(found.place), len({place.device for place in found.place})
    print(f"{site}: no mistakes; zone {found.zone}, production {', '.join(found.production)}")
    print(f"{places} places of {devices} devices, {len(found.source)} sources")
    if found.serial:
        print(f"{len(found.serial)} serial ports")
    if found.webhook:
        print(f"{len(found.webhook)} webhooks")
        for problem in find_problems(found):
            print(problem)
    if not found.place and not found.serial and not any(webhook.device for webhook in found.webhook):
        print("no place: no reading has a device")
    if not found.patients.authority:
        print("patients.authority is empty: no reading names its patient")


@app.command(epilog=examples("vitalflow edges unused --inbox inbox.db"))
def unused(
    inbox: Annotated[Path, typer.Option(help="The file of `listen`.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print a list in JSON.")] = False,
) -> None:
    """List the observations that were not used, the most frequent code first, with the reason.

    The service may run meanwhile. No value and no patient is listed.
    """
    found = read_unused(inbox)
    for row in found:
        row["first"], row["last"] = (datetime.fromtimestamp(row[key], UTC).isoformat() for key in ("first", "last"))
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for row in found:
        detail = f": {row['detail']}" if row["detail"] else ""
        code, unit = row["code"] or "no code", row["unit"] or "no unit"
        print(f"{row['count']:>8}  {row['reason']}  {code!a}  {unit!a}  {row['source'] or 'unlisted'}{detail}")


if __name__ == "__main__":
    app(prog_name="python -m edges")
