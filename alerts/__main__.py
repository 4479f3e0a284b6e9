"""`python -m alerts`: options, settings, start. A command is a function here; what it does is in a module of its
own."""

import logging
import os
import signal
import sys
from typing import Annotated

import typer

from alerts.metrics import Metrics
from alerts.settings import AlertsSettings
from alerts.worker import Worker
from vitals.errors import told_in_one_sentence

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def about() -> None:
    """Watch every reading by the rules of a rule file, and publish alerts. Needs the broker and no database."""


@app.command()
def run(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Watch the wards: the alert worker.

    An alert stays on its topic as it now stands, so a worker that was killed goes on where it was. SIGHUP reads the
    rule
    file again. Its settings are environment variables, all listed in .env.example.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    with told_in_one_sentence("vitalflow alerts"):
        settings = AlertsSettings.read(os.environ)
        metrics = Metrics()
        worker = Worker(settings, metrics)
        if settings.alerts_metrics_port:
            metrics.serve(settings.alerts_metrics_host, settings.alerts_metrics_port)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        signal.signal(signal.SIGHUP, lambda *_: worker.reload())
        worker.run()


if __name__ == "__main__":
    app(prog_name="python -m alerts")
