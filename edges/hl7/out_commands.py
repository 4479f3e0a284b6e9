"""`vitalflow edges hl7 alerts`, `readings` and `rejected`: options of the commands that export."""

import logging
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from edges.config.settings import EdgesOutSettings
from edges.config.site import read_site
from edges.hl7.delivery import Hl7Sender
from edges.hl7.er7 import parse_header
from edges.hl7.pcd04 import write_alert
from edges.hl7.reading_source import ReadingSource
from edges.hl7.send_commands import Ca, Certificate, Key, To, find_receiver
from edges.hl7.write import APPLICATION, find_origin
from edges.listener.listening import SiteFile, configure_log
from edges.outgoing.alert_reports import Report, phase_of
from edges.outgoing.alert_source import AlertSource
from edges.outgoing.metrics import Metrics
from edges.outgoing.queue import Message, Queue, read_rejected
from edges.outgoing.running import AlertFile, QueueFile, Ward, export, read_alert
from vitals.command_line import Verbose, command_group, examples

log = logging.getLogger("edges.hl7")
app = command_group()


@app.command(epilog=examples("vitalflow edges hl7 alerts --to 127.0.0.1:2576 --site site.toml --queue alerts.db"))
def alerts(
    to: To,
    site: SiteFile,
    queue: QueueFile,
    ward: Ward = None,
    ca: Ca = None,
    certificate: Certificate = None,
    key: Key = None,
    verbose: Verbose = False,
) -> None:
    """Send each change of an alert as an IHE PCD-04 message over MLLP, in order, until it is acknowledged.

    Settings are environment variables, listed in .env.example.
    """
    configure_log(verbose=verbose)
    settings = EdgesOutSettings.read(os.environ)
    configuration = read_site(site)
    receiver = find_receiver(to, ca, certificate, key)
    outgoing, metrics = Queue(queue, log.warning), Metrics()

    def write(report: Report, now: datetime) -> list[Message]:
        origin = find_origin(configuration, APPLICATION, report.alert.ward, report.alert.device_id)
        return [Message(write_alert(report, origin, now))]

    source = AlertSource(settings.topics, ward, outgoing.read_reported(datetime.now(UTC)), write)
    export(settings, source, outgoing, [Hl7Sender(receiver, outgoing, metrics)], metrics)


@app.command(epilog=examples("vitalflow edges hl7 readings --to 127.0.0.1:2576 --site site.toml --queue readings.db"))
def readings(
    to: To,
    site: SiteFile,
    queue: QueueFile,
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
    configure_log(verbose=verbose)
    settings = EdgesOutSettings.read(os.environ)
    configuration = read_site(site)
    receiver = find_receiver(to, ca, certificate, key)
    outgoing, metrics = Queue(queue, log.warning), Metrics()
    source = ReadingSource(
        settings.topics,
        configuration,
        ward,
        timedelta(seconds=interval),
        int(time.time()),
        outgoing.count,
        metrics.skipped.inc,
    )
    export(settings, source, outgoing, [Hl7Sender(receiver, outgoing, metrics)], metrics)


@app.command("try-alert", epilog=examples("vitalflow edges hl7 try-alert alert.json --site site.toml"))
def try_alert(file: AlertFile, site: SiteFile) -> None:
    """Print the message that an alert would become. Nothing is sent."""
    alert = read_alert(file)
    origin = find_origin(read_site(site), APPLICATION, alert.ward, alert.device_id)
    _print_message(write_alert(Report(alert, phase_of(alert.change)), origin, datetime.now(UTC)))


@app.command(epilog=examples("vitalflow edges hl7 rejected --queue alerts.db"))
def rejected(
    queue: QueueFile, content: Annotated[bool, typer.Option("--content", help="Print the messages too.")] = False
) -> None:
    """List the messages that the receiver rejected, oldest first; the newest 10,000 are kept."""
    for item in read_rejected(queue):
        control_id = parse_header(item.message.content).header.raw(10)
        reason = ascii(item.reason)[1:-1] or "without a reason"
        print(f"{item.rejected:%Y-%m-%dT%H:%M:%SZ} control id {control_id}: {item.code}, {reason}")
        if content:
            _print_message(item.message.content)


def _print_message(content: bytes) -> None:
    print(content.decode().replace("\r", "\n"), end="")
