"""`python -m ingest`: options, settings, start."""

import gc
import os
import signal
from typing import Annotated

import typer

from ingest.metrics import Metrics
from ingest.pipeline import Pipeline
from ingest.settings import IngestSettings
from vitals import log
from vitals.errors import exit_on_error

app = typer.Typer(add_completion=False)


@app.command()
def ingest(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Store every reading that devices publish: from the MQTT broker into the hypertable patient_vitals.

    Readings are acknowledged to the broker only after their COMMIT, so what this process holds when it dies comes
    again.
    While broker or database are away it waits and says for what. Its settings are environment
    variables, all listed in .env.example; VITALFLOW_INGEST_URL is the one that has no default.
    """
    log.configure(verbose)
    with exit_on_error("vitalflow ingest"):
        settings = IngestSettings.read(os.environ)
        metrics = Metrics()
        if settings.ingest_metrics_port:
            metrics.serve(settings.ingest_metrics_host, settings.ingest_metrics_port)
        pipeline = Pipeline(settings, metrics)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: pipeline.stop())
        # What was loaded until now is never garbage. Looking at it again and again took a tenth of a drain's time.
        gc.freeze()
        pipeline.run()


if __name__ == "__main__":
    app(prog_name="python -m ingest")
