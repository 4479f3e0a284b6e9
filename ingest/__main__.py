"""Command line of the ingest service: `vitalflow ingest`."""

import os
import signal
import sys
from typing import Annotated

import typer

from ingest.metrics import Metrics
from ingest.pipeline import Pipeline
from ingest.settings import IngestSettings
from vitals import log
from vitals.command_line import Verbose, single_command
from vitals.errors import PermanentError, exit_on_error
from vitals.garbage_collection import make_full_collections_rare

app = single_command()

SWITCH_INTERVAL_S = 0.0005
"""Within this time the thread that writes gets the interpreter from the one that decodes. By Python's default it waits
5 ms, after each answer of the database."""


@app.command()
def ingest(
    verbose: Verbose = False,
    drain: Annotated[
        bool,
        typer.Option(
            "--drain",
            help="Store what the broker holds for an ingest that is gone for good, under its client id, and end.",
        ),
    ] = False,
    standby: Annotated[
        bool, typer.Option("--standby", help="If another one is active, wait until it is gone, then take over.")
    ] = False,
) -> None:
    """Receive readings from the MQTT broker and store them in TimescaleDB.

    Each message is acknowledged to the broker after its COMMIT, so the broker redelivers what this process had not
    stored when it stopped. While the broker or the database is unavailable, it retries and logs the reason.

    Settings are environment variables, all described in .env.example. Only VITALFLOW_INGEST_URL has no default.
    """
    log.configure("ingest", verbose, os.environ)
    with exit_on_error("vitalflow ingest"):
        if standby and drain:
            raise PermanentError("--standby and --drain exclude each other; give one of them")
        settings = IngestSettings.read(os.environ)
        metrics = Metrics()
        pipeline = Pipeline(settings, metrics, standby=standby, drain=drain)
        host, port = settings.ingest_metrics_host, settings.ingest_metrics_port
        metrics.serve(host, port, settings.broker, pipeline.health)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: pipeline.stop())
        make_full_collections_rare()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        pipeline.run()


if __name__ == "__main__":
    app(prog_name="python -m ingest")
