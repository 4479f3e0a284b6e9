"""`vitalflow edges webhook alerts`, `dead`, `resend` and `try-alert`: options of the commands that send alerts."""

import json
import logging
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edges.alert_webhooks.client import Target, read_target
from edges.alert_webhooks.sender import WebhookSender
from edges.alert_webhooks.templates import Style, write_body
from edges.config.receiver_table import Template
from edges.config.settings import EdgesOutSettings
from edges.config.site import Site, read_site
from edges.listener.listening import SiteFile, configure_log
from edges.outgoing.alert_reports import Report, phase_of
from edges.outgoing.alert_source import AlertSource
from edges.outgoing.metrics import Metrics
from edges.outgoing.queue import Message, Queue, Rejected, read_rejected, resend
from edges.outgoing.running import AlertFile, QueueFile, Ward, export, read_alert
from vitals.command_line import Verbose, command_group, examples
from vitals.errors import PermanentError

PROGRAM = "vitalflow edges webhook"

To = Annotated[list[str] | None, typer.Option("--to", metavar="NAME", help="A receiver of the site. Default: all.")]

log = logging.getLogger("edges")
app = command_group()


@app.command(epilog=examples("vitalflow edges webhook alerts --site site.toml --queue webhooks.db"))
def alerts(site: SiteFile, queue: QueueFile, to: To = None, ward: Ward = None, verbose: Verbose = False) -> None:
    """Send each change of an alert to the receivers of the site over HTTP, in order, until it is accepted.

    Settings are environment variables, listed in .env.example.
    """
    configure_log(verbose=verbose)
    settings = EdgesOutSettings.read(os.environ)
    targets = _targets(read_site(site), to)
    outgoing, metrics = Queue(queue, log.warning), Metrics()
    for name in outgoing.counts().keys() - {target.name for target in targets}:
        log.warning("%d messages wait for %s, to which this process does not send", outgoing.count(name), name)

    def write(report: Report, now: datetime) -> list[Message]:
        return [message_for(target, report, now) for target in targets]

    source = AlertSource(settings.topics, ward, outgoing.read_reported(datetime.now(UTC)), write)
    senders = [WebhookSender(target, outgoing, metrics) for target in targets]
    export(settings, source, outgoing, senders, metrics)


@app.command("try-alert", epilog=examples("vitalflow edges webhook try-alert alert.json --template slack"))
def try_alert(
    file: AlertFile,
    template: Annotated[Template, typer.Option(help="The shape of the message.")],
    site: Annotated[Path | None, typer.Option(help="The site's configuration, for its zone. Default: UTC.")] = None,
    patient: Annotated[bool, typer.Option("--patient", help="With the patient's number, as json has it.")] = False,
) -> None:
    """Print the message that an alert would become. Nothing is sent."""
    alert, now = read_alert(file), datetime.now(UTC)
    style = Style(template, read_site(site).tz if site else UTC, patient or template == "json", "TOPIC")
    body = write_body(Report(alert, phase_of(alert.change)), style, now)
    print(json.dumps(json.loads(body), indent=2, ensure_ascii=False))


@app.command(epilog=examples("vitalflow edges webhook dead --queue webhooks.db"))
def dead(
    queue: QueueFile,
    to: To = None,
    content: Annotated[bool, typer.Option("--content", help="Print the messages too.")] = False,
) -> None:
    """List the messages that receivers rejected, oldest first; the newest 10,000 are kept."""
    for item in _dead(queue, to):
        reason = f", {ascii(item.reason)[1:-1]}" if item.reason else ""
        print(
            f"{item.number} {item.rejected:%Y-%m-%dT%H:%M:%SZ} {item.message.receiver} {item.message.id}: "
            f"{item.code}{reason}"
        )
        if content:
            print(item.message.content.decode())


@app.command("resend", epilog=examples("vitalflow edges webhook resend --queue webhooks.db --to nurses-phone"))
def send_again(
    queue: QueueFile,
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[NUMBER]...", help="Of the list of `dead`. Default: all.")
    ] = None,
    to: To = None,
) -> None:
    """Queue messages again that receivers rejected. The process that sends may run meanwhile.

    A message states the alert as it was: later changes may have been sent.
    """
    found = {item.number for item in _dead(queue, to)}
    unknown = sorted(set(numbers or ()) - found)
    if unknown:
        raise PermanentError(f"no rejected message has the number {', '.join(map(str, unknown))}")
    try:
        count = resend(queue, numbers or found, datetime.now(UTC))
    except sqlite3.Error as error:
        raise PermanentError(f"{queue} cannot be written: {error}") from None
    print(f"{PROGRAM}: {count} messages are queued")


def message_for(target: Target, report: Report, now: datetime) -> Message:
    """Return the message that reports an alert to a receiver. All alerts of a bed by one rule are one series."""
    alert = report.alert
    series = f"{alert.device_id}/{alert.rule}"
    return Message(write_body(report, target.style, now), target.name, series, report.identify(now, "_"))


def _targets(site: Site, to: list[str] | None) -> list[Target]:
    names = [receiver.name for receiver in site.receiver]
    for name in to or ():
        if name not in names:
            raise PermanentError(f"the site has no [[receiver]] {name!r}; it has {', '.join(names) or 'none'}")
    chosen = [receiver for receiver in site.receiver if not to or receiver.name in to]
    if not chosen:
        raise PermanentError("the site has no [[receiver]], so nothing would be sent")
    return [read_target(receiver, site) for receiver in chosen]


def _dead(queue: Path, to: list[str] | None) -> list[Rejected]:
    return [item for item in read_rejected(queue) if not to or item.message.receiver in to]
