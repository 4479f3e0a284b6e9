"""`vitalflow alerts`: options, settings, start. A command is a function here; what it does is in its own module."""

import json
import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from alerts import lab, report
from alerts.history import of_recordings, of_table
from alerts.metrics import Metrics
from alerts.rulefile import DEFAULT, load
from alerts.settings import AlertsSettings, ReaderSettings
from alerts.watch import Watch
from alerts.worker import Worker
from vitals import log
from vitals.errors import PermanentError, exit_on_error, login_name
from vitals.recording import Format

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def about() -> None:
    """Watch every reading by the rules of a rule file, and publish alerts. Needs the broker and no database."""


@app.command()
def run(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Watch the wards: the alert worker.

    An alert stays on its topic as it now stands, so a worker that was killed goes on where it was. SIGHUP reads the
    rule file again. Its settings are environment variables, all listed in .env.example.
    """
    log.configure(verbose)
    with exit_on_error("vitalflow alerts"):
        settings = AlertsSettings.read(os.environ)
        metrics = Metrics()
        worker = Worker(settings, metrics)
        if settings.alerts_metrics_port:
            metrics.serve(settings.alerts_metrics_host, settings.alerts_metrics_port)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        signal.signal(signal.SIGHUP, lambda *_: worker.reload())
        worker.run()


@app.command()
def watch(
    ward: Annotated[str | None, typer.Option(help="One ward; without it, all.")] = None,
    by: Annotated[
        str | None, typer.Option(help="Who acknowledges; by default your name at the broker, or at this machine.")
    ] = None,
) -> None:
    """The open alerts, live: see, acknowledge (a), pause the audio (p) and resume it (r).

    Up and down, or k and j, select; q quits. Without a terminal, a line for each change. Several workers share the
    wards under client ids of their own: VITALFLOW_ALERTS_CLIENT_ID says whose heartbeat and answers to listen to.
    """
    with exit_on_error("vitalflow alerts"):
        settings = AlertsSettings.read(os.environ)
        watching = Watch(settings, signature(settings.broker.username, by), ward)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: watching.stop())
        watching.run()


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A rule file; the default rules where none is given.")] = DEFAULT,
) -> None:
    """Print a rule file as a table; or every mistake in it, with its line, and exit code 2."""
    with exit_on_error("vitalflow alerts"):
        rules = load(file)
    console().print(report.rules_table(rules))


@app.command()
def replay(
    recordings: Annotated[list[Path] | None, typer.Argument(help="Recordings; none: the hypertable.")] = None,
    start: Annotated[str, typer.Option("--from", help="Of the hypertable: the first moment, RFC 3339.")] = "",
    end: Annotated[str, typer.Option("--to", help="Of the hypertable: the moment after the last, RFC 3339.")] = "",
    rules: Annotated[
        list[Path] | None, typer.Option(help="A rule file; again for one beside it. Default: the default rules.")
    ] = None,
    format: Annotated[Format | None, typer.Option(help="Insist on a format of the recordings.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw alarms against delay, 0 to 30 s, as a PNG.")] = None,
    curve: Annotated[bool, typer.Option("--curve", help="Print alarms against delay, 0 to 30 s.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """The alarm-load laboratory: how many alarms rules would have made of the past, and what their delays remove.

    Over recordings in the formats that `vitalflow devices replay` reads, or over the hypertable from --from to --to,
    which VITALFLOW_READER_URL names. Beside each file's rules stands what the same limits do with every crossing an
    alarm, and which episodes of 20 s or longer would have been missed.
    """
    with exit_on_error("vitalflow alerts"):
        rule_sets = [load(path) for path in rules or [DEFAULT]]
        if recordings:
            stays = of_recordings(recordings, format)
        else:
            url = ReaderSettings.read(os.environ).reader_url
            since, until = moment("--from", start), moment("--to", end)
            if until <= since:
                raise PermanentError(f"--to is {end}, which is not after --from, {start}")
            stays = of_table(url, since, until)
        outcome = lab.run(stays, rule_sets, curve=as_json or curve or plot is not None)
        if plot is not None:
            # Only here, because nothing else needs a library of images.
            from alerts.plot import draw

            draw(report.curves(outcome), plot)
    if as_json:
        print(json.dumps(report.as_json(outcome)))
        return
    out = console()
    for tried in outcome.files:
        out.print(report.load_table(tried, outcome.bed_days))
        out.print(report.summary(outcome, tried), "\n")
    if curve:
        out.print(report.curve_table(outcome))


def signature(user: str | None, by: str | None) -> str:
    """Who acknowledges. A broker that knows its users vouches for one name only; raises PermanentError for another."""
    if user is None:
        return login_name("say it with --by NAME") if by is None else by
    if by is not None and by != user:
        raise PermanentError(
            f"--by is {by[:40]!r}, but the broker knows you as {user!r} and lets you sign as nobody else"
        )
    return user


def console() -> Console:
    """Where tables go; into a file or a pipe as wide as they are."""
    return Console() if sys.stdout.isatty() else Console(width=140)


def moment(option: str, text: str) -> datetime:
    """A moment given on the command line; raises PermanentError."""
    expected = "RFC 3339 with an offset, like 2026-11-22T10:00:00Z"
    if not text:
        raise PermanentError(f"give recordings, or {option}: {expected}")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise PermanentError(f"{option} has the value {text[:100]!r}; expected {expected}")
    return found


if __name__ == "__main__":
    app(prog_name="python -m alerts")
