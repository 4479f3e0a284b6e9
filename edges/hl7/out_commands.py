"""`vitalflow edges hl7 alerts`, `readings` and `rejected`: options of the commands that export."""

import logging
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from edges.hl7.alert_source import AlertSource
from edges.hl7.client import Receiver
from edges.hl7.delivery import Delivery
from edges.hl7.er7 import parse_header
from edges.hl7.exporter import Exporter, Source
from edges.hl7.outgoing import Outgoing, read_rejected
from edges.hl7.outgoing_metrics import Metrics
from edges.hl7.pcd04 import phase_of, write_alert
from edges.hl7.reading_source import ReadingSource
from edges.hl7.send_commands import Ca, Certificate, Key, To, find_receiver
from edges.hl7.write import APPLICATION, find_origin
from edges.settings import EdgesOutSettings
from edges.site import read_site
from mqtt.certificate_expiry import CertificateExpiry
from mqtt.metrics import serve
from vitals import log as vitals_log
from vitals.alert import MAX_ALERT, decode_alert
from vitals.command_line import command_group, examples
from vitals.errors import PermanentError, exit_on_error

PROGRAM = "vitalflow edges hl7"

SiteFile = Annotated[Path, typer.Option("--site", help="The site's configuration, a TOML file.", show_default=False)]
Queue = Annotated[Path, typer.Option(help="The file that keeps messages until they are acknowledged.")]
Ward = Annotated[str | None, typer.Option(help="Send what concerns this ward only. Default: all.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log debug messages too.")]

log = logging.getLogger("edges.hl7")
app = command_group()


@app.command(epilog=examples("vitalflow edges hl7 alerts --to 127.0.0.1:2576 --site site.toml --queue alerts.db"))
def alerts(
    to: To,
    site: SiteFile,
    queue: Queue,
    ward: Ward = None,
    ca: Ca = None,
    certificate: Certificate = None,
    key: Key = None,
    verbose: Verbose = False,
) -> None:
    """Send each change of an alert as an IHE PCD-04 message over MLLP, in order, until it is acknowledged.

    Settings are environment variables, listed in .env.example.
    """
    vitals_log.configure("edges", verbose, os.environ)
    with exit_on_error(PROGRAM):
        settings = EdgesOutSettings.read(os.environ)
        configuration = read_site(site)
        receiver = find_receiver(to, ca, certificate, key)
        outgoing = Outgoing(queue, log.warning)
        source = AlertSource(settings.topics, configuration, ward, outgoing.read_reported(datetime.now(UTC)))
        _export(settings, receiver, source, outgoing, Metrics())


@app.command(epilog=examples("vitalflow edges hl7 readings --to 127.0.0.1:2576 --site site.toml --queue readings.db"))
def readings(
    to: To,
    site: SiteFile,
    queue: Queue,
    interval: Annotated[float, typer.Option(min=1, help="Seconds between two messages of a bed.")] = 60.0,
    ward: Ward = None,
    ca: Ca = None,
    certificate: Certificate = None,
    key: Key = None,
    verbose: Verbose = False,
) -> None:
    """Send the newest value of each sign of each bed as an IHE PCD-01 message over MLLP, at an interval.

    A value is sent once. Settings are environment variables, listed in .env.example.
    """
    vitals_log.configure("edges", verbose, os.environ)
    with exit_on_error(PROGRAM):
        settings = EdgesOutSettings.read(os.environ)
        configuration = read_site(site)
        receiver = find_receiver(to, ca, certificate, key)
        outgoing = Outgoing(queue, log.warning)
        metrics = Metrics()
        source = ReadingSource(
            settings.topics,
            configuration,
            ward,
            timedelta(seconds=interval),
            int(time.time()),
            lambda: outgoing.count,
            metrics.skipped.inc,
        )
        _export(settings, receiver, source, outgoing, metrics)


@app.command("try-alert", epilog=examples("vitalflow edges hl7 try-alert alert.json --site site.toml"))
def try_alert(
    file: Annotated[Path, typer.Argument(help="An alert as it is published over MQTT, a JSON object.")], site: SiteFile
) -> None:
    """Print the message that an alert would become. Nothing is sent."""
    with exit_on_error(PROGRAM):
        try:
            with file.open("rb") as stream:
                alert = decode_alert(stream.read(MAX_ALERT + 1))
        except OSError as error:
            raise PermanentError(f"{file}: {error.strerror}") from None
        except ValueError as error:
            raise PermanentError(f"{file}: {error}") from None
        origin = find_origin(read_site(site), APPLICATION, alert.ward, alert.device_id)
        _print_message(write_alert(alert, phase_of(alert.change), origin, datetime.now(UTC)))


@app.command(epilog=examples("vitalflow edges hl7 rejected --queue alerts.db"))
def rejected(
    queue: Queue, content: Annotated[bool, typer.Option("--content", help="Print the messages too.")] = False
) -> None:
    """List the messages that the receiver rejected, oldest first; the newest 10,000 are kept."""
    with exit_on_error(PROGRAM):
        for item in read_rejected(queue):
            control_id = parse_header(item.content).header.raw(10)
            reason = ascii(item.reason)[1:-1] or "without a reason"
            print(f"{item.rejected:%Y-%m-%dT%H:%M:%SZ} control id {control_id}: {item.code}, {reason}")
            if content:
                _print_message(item.content)


def _print_message(content: bytes) -> None:
    print(content.decode().replace("\r", "\n"), end="")


def _export(
    settings: EdgesOutSettings, receiver: Receiver, source: Source, outgoing: Outgoing, metrics: Metrics
) -> None:
    if outgoing.count:
        log.info("%d messages of earlier runs are queued for %s", outgoing.count, receiver)
    exporter = Exporter(settings, source, outgoing, Delivery(receiver, outgoing, metrics), metrics)
    if settings.edges_out_metrics_port:
        CertificateExpiry(metrics.registry, "vitalflow_edges_out_", settings.broker, {}).start()
        host, port = settings.edges_out_metrics_host, settings.edges_out_metrics_port
        serve(metrics.registry, host, port, "VITALFLOW_EDGES_OUT_METRICS_PORT", exporter.health)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: exporter.stop())
    try:
        exporter.run()
    finally:
        outgoing.close()
