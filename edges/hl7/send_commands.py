"""`vitalflow edges hl7 send` and `simulate`: options of the commands that send messages."""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from devices.scenario import Scenario
from edges.hl7.client import Receiver, parse_receiver
from edges.hl7.sender import send_files
from edges.hl7.simulate import SimulationStats, simulate, simulated_beds, site_file
from mqtt.tls import client_context
from vitals.command_line import command_group, examples
from vitals.errors import PermanentError
from vitals.log import configure

To = Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="The receiver's address.", show_default=False)]
Ca = Annotated[Path | None, typer.Option(help="Encrypt; the CA that signed the receiver's certificate.")]
Certificate = Annotated[Path | None, typer.Option(help="The certificate to show to the receiver, with --key.")]
Key = Annotated[Path | None, typer.Option(help="The private key of that certificate.")]

app = command_group()


def find_receiver(to: str, ca: Path | None, certificate: Path | None, key: Path | None) -> Receiver:
    """Return the receiver that the options of a command name; raises PermanentError if they do not fit together."""
    if (certificate is None) != (key is None) or (certificate is not None and ca is None):
        raise PermanentError("--ca, --certificate and --key go together; --ca alone encrypts without a certificate")
    return parse_receiver(to, None if ca is None else client_context(ca, certificate, key), ca)


@app.command(epilog=examples("vitalflow edges hl7 send message.hl7 --to 127.0.0.1:2575"))
def send(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Messages or batches in the ER7 encoding.")],
    to: To,
    ca: Ca = None,
    certificate: Certificate = None,
    key: Key = None,
) -> None:
    """Send the messages in files over MLLP, in order, each until it is accepted or rejected.

    A message without an answer, and one with an error that may pass (AE, CE), is sent again. Exit code 2 if one is
    rejected.
    """
    configure("edges", False, os.environ)
    rejected = asyncio.run(send_files(files, find_receiver(to, ca, certificate, key), print))
    if rejected:
        raise SystemExit(2)


@app.command(
    "simulate",
    epilog=examples(
        "vitalflow edges hl7 simulate --beds 2 --print-site > site.toml",
        "vitalflow edges hl7 simulate --beds 2 --to 127.0.0.1:2575",
    ),
)
def simulate_beds(
    to: Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="The receiver's address.")] = "127.0.0.1:2575",
    beds: Annotated[int, typer.Option(min=1, max=2000, help="Number of beds, each with its own connection.")] = 2,
    ward: Annotated[str, typer.Option(help="Ward of the beds in the site's configuration.")] = "icu-1",
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between two messages of a bed.")] = 5.0,
    scenario: Annotated[Scenario, typer.Option(help="What happens to the patients.")] = Scenario.MIXED,
    seed: Annotated[int, typer.Option(help="The same number gives the same patients.")] = 0,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds.")] = None,
    print_site: Annotated[bool, typer.Option("--print-site", help="Print the beds as a site's configuration.")] = False,
    ca: Ca = None,
    certificate: Certificate = None,
    key: Key = None,
) -> None:
    """Send what simulated monitors measure as HL7 messages (IHE PCD-01), until Ctrl-C."""
    sources = simulated_beds(beds, ward, seed=seed, scenario=scenario, interval_s=interval)
    if print_site:
        print(site_file(sources), end="")
        return
    configure("edges", False, os.environ)
    receiver = find_receiver(to, ca, certificate, key)
    stats = SimulationStats()
    print(f"{len(sources)} beds, sending to {receiver} every {interval:g} s", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(simulate(sources, receiver, stats, logging.getLogger("edges.hl7").warning, seconds))
    finally:
        print(f"ended: {stats.summary()}", flush=True)
