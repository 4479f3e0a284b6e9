"""`vitalflow edges mqtt`: options of each command; the work is in the other modules."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from edges.config.mqtt_table import MqttSource
from edges.config.settings import HomeAssistantSettings
from edges.config.site import Site, read_site
from edges.home_assistant.service import run_service as run_home_assistant
from edges.input_file import read_input
from edges.listener import listening as shared
from edges.mqtt import simulate_commands
from edges.mqtt.receive import receive
from edges.mqtt.subscriptions import endpoint_of, subscribed
from edges.observations.json_document import InvalidDocument
from edges.service.service import Service
from edges.try_output import line_of_verdict, lines_of_readings, print_document, show_found, show_refused
from vitals.command_line import Verbose, command_group, examples
from vitals.errors import PermanentError
from vitals.time_option import TIME_FORMS, parse_time_option

MODEL = "MQTT"

log = logging.getLogger("edges")
app = command_group("vitalflow edges mqtt")
app.add_typer(simulate_commands.app)


@app.callback()
def about() -> None:
    """Foreign MQTT: read and try messages of other brokers and formats."""


@app.command(epilog=examples("vitalflow edges mqtt run --site site.toml --inbox inbox.db"))
def run(
    site: shared.SiteFile,
    inbox: shared.InboxFile,
    credentials: shared.CredentialsFile = None,
    verbose: Verbose = False,
) -> None:
    """Subscribe to the brokers of the site, and publish the readings of each device.

    A message of QoS 1 is acknowledged after it is kept on disk. Settings are environment variables, listed in
    .env.example.
    """
    shared.configure_log(verbose=verbose)
    options = shared.read_options(site, inbox, credentials)
    if not options.site.mqtt:
        raise PermanentError(f"{site} has no [[mqtt]]: there is no broker to read")
    brokers = {source.name: endpoint_of(source) for source in options.site.mqtt}

    @asynccontextmanager
    async def subscribing(service: Service) -> AsyncIterator[None]:
        async with subscribed(options.site, brokers, service):
            yield

    shared.run_service(options, MODEL, subscribing, right_clock=True)


@app.command("home-assistant", epilog=examples("vitalflow edges mqtt home-assistant"))
def home_assistant(verbose: Verbose = False) -> None:
    """Publish beds and alerts for Home Assistant, by MQTT discovery. It is no alarm system.

    Settings are environment variables, listed in .env.example.
    """
    shared.configure_log(verbose=verbose)
    run_home_assistant(HomeAssistantSettings.read(os.environ))


@app.command(
    "try", epilog=examples("vitalflow edges mqtt try message.json --topic home/ring-12 --site site.toml --json")
)
def try_file(
    file: Annotated[Path, typer.Argument(help="The payload of a message.")],
    site: Annotated[Path, typer.Option(help="The site's configuration, a TOML file.", show_default=False)],
    topic: Annotated[str, typer.Option(help="The topic of the message.", show_default=False)],
    name: Annotated[str, typer.Option(help="The [[mqtt]]. Default: the only one of the site.")] = "",
    at: Annotated[str, typer.Option(help=f"The time of receipt: {TIME_FORMS}. Default: now.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what would become of a message in a file: readings, what is not used and why.

    Nothing is sent and nothing is stored. Exit code 2 if the message cannot be read.
    """
    configuration = read_site(site)
    received = parse_time_option("--at", at).astimezone(UTC) if at else datetime.now(UTC)
    source = _find(configuration, name)
    payload = read_input(file)
    shown = _try(configuration, source, topic, payload, received)
    print_document(file, shown, _lines, as_json=as_json)


def _find(site: Site, name: str) -> MqttSource:
    found = [source for source in site.mqtt if name in ("", source.name)]
    if len(found) != 1:
        names = ", ".join(source.name for source in site.mqtt) or "none"
        raise PermanentError(f"--name is {name[:60]!r}; expected one [[mqtt]] of the site: {names}")
    return found[0]


def _try(site: Site, source: MqttSource, topic: str, payload: bytes, received: datetime) -> dict[str, Any]:
    try:
        found = receive(topic, payload, source, site, received)
    except InvalidDocument as error:
        return show_refused(str(error))
    return show_found(found, type="MQTT", source=source.name)


def _lines(shown: dict[str, Any]) -> list[str]:
    if not shown["readable"]:
        return [f"not readable: {shown['error']}"]
    lines = [f"{shown['type']}: {shown['outcome']}", *lines_of_readings(shown)]
    return lines + [line_of_verdict("", item) for item in shown["not_used"]]
