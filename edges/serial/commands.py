"""`vitalflow edges serial`: options of each command; the work is in the other modules."""

import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import ValidationError

from devices.scenario import Scenario
from devices.simulated_ward import simulated_ward
from edges.config.serial_table import DecoderName, SerialPort
from edges.config.settings import EdgesSettings
from edges.config.site import Site, describe_mistakes, read_site
from edges.listener.listening import CredentialsFile, InboxFile, Options, configure_log, run_service
from edges.serial.identify import find_ports, listen
from edges.serial.pseudo_terminal import PseudoTerminal
from edges.serial.run import reading
from edges.serial.simulate import second_of
from edges.serial.try_file import try_file
from edges.try_output import line_of_verdict, lines_of_readings
from vitals.command_line import Verbose, command_group, examples
from vitals.errors import PermanentError

MODEL = "serial port"

app = command_group("vitalflow edges serial")

MaybeSite = Annotated[Path | None, typer.Option("--site", help="The site's configuration, a TOML file.")]
Decoder = Annotated[str, typer.Option("--decoder", metavar="NAME", help=f"One of {', '.join(get_args(DecoderName))}.")]
PortOption = Annotated[str, typer.Option("--port", metavar="PATH", help="The port, best below /dev/serial/by-id.")]
Ward = Annotated[str, typer.Option("--ward", help="Of the device.")]
Device = Annotated[str, typer.Option("--device", help="Its name as a bed.")]
Line = Annotated[str, typer.Option("--line", help="Such as 9600 8N1. Default: that of the decoder.")]


@app.callback()
def about() -> None:
    """Serial ports: read pulse oximeters and sketches on a cable. Nothing is written to a port."""


@app.command(
    epilog=examples(
        "vitalflow edges serial read --site site.toml --inbox inbox.db",
        "vitalflow edges serial read --port /dev/ttyUSB0 --decoder nonin-7 --ward icu-1 --device icu-1-bed-44 "
        "--inbox inbox.db",
    )
)
def read(
    inbox: InboxFile,
    site: MaybeSite = None,
    port: PortOption = "",
    decoder: Decoder = "",
    ward: Ward = "",
    device: Device = "",
    line: Line = "",
    credentials: CredentialsFile = None,
    verbose: Verbose = False,
) -> None:
    """Read the ports of a site, or one port, and publish the readings of each as a device.

    A device that is unplugged is read again within 2 s of plugging it in. Settings are environment variables, listed
    in .env.example.
    """
    configure_log(verbose=verbose)
    found = _site(site)
    if port:
        table = _checked(port=port, decoder=decoder, ward=ward, device=device, line=line)
        found = found.model_copy(update={"serial": (table,)})
    if not found.serial:
        raise PermanentError("no port: the site has no [[serial]], and there is no --port")
    options = Options(EdgesSettings.read(os.environ), found, inbox, credentials)

    run_service(options, MODEL, lambda service: reading(found, service))


@app.command("list", epilog=examples("vitalflow edges serial list --listen 3"))
def list_ports(
    seconds: Annotated[
        float,
        typer.Option("--listen", min=0, max=60, help="Seconds to receive with each line setting. 0: do not open."),
    ] = 0,
    port: Annotated[list[Path] | None, typer.Option("--port", help="Only this port; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list in JSON.")] = False,
) -> None:
    """List the serial ports with the names that stay, and with --listen the decoder that knows what each sends.

    Listening takes a port from no other process, and writes nothing. Many boards restart when their port is opened.
    """
    found = [{"port": one.port, "by_id": one.by_id, "description": one.description} for one in find_ports()]
    if port:
        known = {one["port"]: one for one in found}
        found = [known.get(str(path), {"port": str(path), "by_id": "", "description": ""}) for path in port]
    for one in found:
        if seconds:
            one["sends"] = listen(Path(one["port"]), seconds)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for one in found:
        print("  ".join(filter(None, (one["by_id"] or one["port"], one["description"], one.get("sends")))))
    if not found:
        print("no serial port; is the cable plugged in, and may this user see it (group dialout)?")


@app.command("try", epilog=examples("vitalflow edges serial try capture.bin --decoder nonin-7 --site site.toml --json"))
def try_command(
    file: Annotated[Path, typer.Argument(help="Bytes as the port gives them.")],
    decoder: Decoder = "",
    site: MaybeSite = None,
    port: PortOption = "",
    ward: Ward = "",
    device: Device = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what would become of the bytes in a file: measurements, equal neighbours as one, and what is not used.

    Labels, patterns and device are those of the site's port with this decoder. Nothing is sent and nothing is stored.
    The time of receipt is now. Exit code 2 if no measurement is found.
    """
    found = _site(site)
    table, problem = _table_to_try(found, decoder, port, ward, device)
    shown, counts = try_file(file, table, datetime.now(UTC), found.tz, problem)
    if as_json:
        print(json.dumps({"file": str(file), "decoder": table.decoder, **counts, "messages": shown}, indent=2))
    else:
        print("\n".join(line for number, message in enumerate(shown, 1) for line in _lines(number, message)))
        print(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))
    if not shown:
        raise PermanentError(f"{file}: the decoder {table.decoder} finds no measurement")


@app.command(epilog=examples("vitalflow edges serial simulate nonin-7 --link /tmp/oximeter"))
def simulate(
    decoder: Annotated[str, typer.Argument(metavar="DECODER", help="The format, by the name of its decoder.")],
    link: Annotated[Path | None, typer.Option(help="A path that points at the port, as in /dev/serial/by-id.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="How long. Default: until Ctrl-C.")] = None,
    scenario: Annotated[Scenario, typer.Option(help="The course of the patient.")] = Scenario.STABLE,
    seed: Annotated[int, typer.Option(help="Another patient.")] = 0,
) -> None:
    """Send what a device of a simulated patient sends, at a pseudo-terminal whose path is printed."""
    name = _checked(port="-", decoder=decoder, ward="-", device="-").decoder
    [source] = simulated_ward(1, ward="-", boot=0, seed=seed, scenario=scenario)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the link is removed then too
    try:
        terminal = PseudoTerminal(link)
    except OSError as error:
        raise PermanentError(f"{link}: {error.strerror}") from None
    try:
        print(link or terminal.path, flush=True)
        begin = time.monotonic()
        for due, sample in source.samples:
            if seconds is not None and due >= seconds:
                break
            time.sleep(max(0.0, begin + due - time.monotonic()))
            if sample is not None:
                terminal.send(second_of(sample, name, datetime.now()))  # noqa: DTZ005  as the device shows it
    finally:
        terminal.unplug()


def _site(path: Path | None) -> Site:
    return read_site(path) if path else Site(zone="UTC")


def _checked(**keys: Any) -> SerialPort:
    """Return a table of options; raises PermanentError that names each mistake."""
    try:
        return SerialPort(**{key: value for key, value in keys.items() if value})
    except ValidationError as error:
        raise PermanentError(describe_mistakes("--", error)) from None


def _table_to_try(site: Site, decoder: str, port: str, ward: str, device: str) -> tuple[SerialPort, str]:
    """Return the table that applies, and why its readings have no device; empty if they have one."""
    fitting = [one for one in site.serial if decoder in ("", one.decoder) and port in ("", one.port)]
    if len(fitting) == 1 and not ward and not device:
        return fitting[0], ""
    if not decoder:
        raise PermanentError("--decoder is missing, or --port that names one [[serial]] of the site")
    named = bool(ward and device)
    table = _checked(port=port or "-", decoder=decoder, ward=ward if named else "-", device=device if named else "-")
    if named:
        return table, ""
    which = "several ports of the site have" if fitting else "no port of the site has"
    return table, f"{which} the decoder {decoder}; give --port, or --ward and --device"


def _lines(number: int, message: dict[str, Any]) -> list[str]:
    times = f", {message['times']} times" if message["times"] > 1 else ""
    clock = f", device clock {message['device_time']}" if message["device_time"] else ""
    lines = [f"measurement {number}{times}{clock}", *lines_of_readings(message)]
    return lines + [line_of_verdict("", item) for item in message["not_used"]]
