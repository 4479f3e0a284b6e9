"""What each command that sends alerts or readings shares: its options, and the life of its process."""

import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edges.config.settings import EdgesOutSettings
from edges.outgoing.delivery import Delivery, Sender
from edges.outgoing.exporter import Exporter, Source
from edges.outgoing.metrics import Metrics
from edges.outgoing.queue import Queue
from vitals.alert import MAX_ALERT, Alert, decode_alert
from vitals.errors import PermanentError

QueueFile = Annotated[
    Path, typer.Option("--queue", help="The file that keeps messages until they are acknowledged.", show_default=False)
]
Ward = Annotated[str | None, typer.Option(help="Send what concerns this ward only. Default: all.")]
AlertFile = Annotated[Path, typer.Argument(help="An alert as it is published over MQTT, a JSON object.")]

log = logging.getLogger("edges")


def export(
    settings: EdgesOutSettings, source: Source, queue: Queue, senders: Sequence[Sender], metrics: Metrics
) -> None:
    """Receive, queue and send until SIGTERM or SIGINT; closes the queue."""
    for sender in senders:
        if sender.queued():
            log.info("%d messages of earlier runs are queued for %s", sender.queued(), sender.name)
    exporter = Exporter(settings, source, queue, Delivery(senders, metrics), metrics)
    host, port = settings.edges_out_metrics_host, settings.edges_out_metrics_port
    metrics.serve(host, port, settings.broker, exporter.health)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: exporter.stop())
    try:
        exporter.run()
    finally:
        queue.close()


def read_alert(file: Path) -> Alert:
    """Read an alert; raises PermanentError."""
    try:
        with file.open("rb") as stream:
            return decode_alert(stream.read(MAX_ALERT + 1))
    except OSError as error:
        raise PermanentError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise PermanentError(f"{file}: {error}") from None
