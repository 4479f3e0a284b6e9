"""Command line `vitalflow edges`: check a site's configuration and try messages with it."""

from pathlib import Path
from typing import Annotated

import typer

from edges import sender_commands as senders
from edges.fhir import commands as fhir
from edges.hl7 import commands as hl7
from edges.site import read_site
from vitals.command_line import command_group, examples
from vitals.errors import exit_on_error

PROGRAM = "vitalflow edges"

app = command_group()
app.add_typer(hl7.app, name="hl7")
app.add_typer(fhir.app, name="fhir")
app.add_typer(senders.app, name="senders")


@app.callback()
def about() -> None:
    """Decode what other systems send. Nothing is received or sent yet: messages are read from files."""


@app.command(epilog=examples("vitalflow edges check site.toml"))
def check(site: Annotated[Path, typer.Argument(help="The site's configuration, a TOML file.")]) -> None:
    """Check a site's configuration: each mistake is named with its key."""
    with exit_on_error(PROGRAM):
        found = read_site(site)
        places, devices = len(found.place), len({place.device for place in found.place})
        print(f"{site}: no mistakes; zone {found.zone}, production {', '.join(found.production)}")
        print(f"{places} places of {devices} devices, {len(found.source)} sources")
        if not found.place:
            print("no place: no reading has a device")
        if not found.patients.authority:
            print("patients.authority is empty: no reading names its patient")


if __name__ == "__main__":
    app(prog_name="python -m edges")
