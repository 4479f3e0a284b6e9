"""`vitalflow alerts`: options and settings of each command; the work is in the other modules."""

import json
import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from alerts.backtest import comparison, report
from alerts.backtest.history import read_recordings, read_table
from alerts.metrics import Metrics
from alerts.rulefile.parser import DEFAULT, load
from alerts.settings import AlertsSettings
from alerts.tui import AlertView
from alerts.worker import Worker
from vitals import log
from vitals.command_line import Verbose, command_group
from vitals.errors import PermanentError, login_name
from vitals.garbage_collection import make_full_collections_rare
from vitals.recording.options import DateOrderOption, FormatOption, OnlyPatientOption, ZoneOption, open_recordings
from vitals.time_option import TIME_FORMS, parse_time_option

app = command_group("vitalflow alerts")


@app.callback()
def about() -> None:
    """Check every reading against the rules of a rule file, and publish alerts. Needs the broker and no database."""


@app.command()
def run(
    verbose: Verbose = False,
    standby: Annotated[
        bool, typer.Option("--standby", help="If another one is active, wait until it is gone, then take over.")
    ] = False,
) -> None:
    """Run the alert worker.

    The broker retains the current state of each alert, so a worker that was killed continues from there. SIGHUP
    reloads the rule file. Settings are environment variables, listed in .env.example.
    """
    log.configure("alerts", verbose, os.environ)
    settings = AlertsSettings.read(os.environ)
    metrics = Metrics()
    worker = Worker(settings, metrics, standby=standby)
    host, port = settings.alerts_metrics_host, settings.alerts_metrics_port
    metrics.serve(host, port, settings.broker, worker.health)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    signal.signal(signal.SIGHUP, lambda *_: worker.reload())
    make_full_collections_rare()
    worker.run()


@app.command()
def watch(
    ward: Annotated[str | None, typer.Option(help="Show one ward only. Default: all.")] = None,
    by: Annotated[
        str | None, typer.Option(help="Name for acknowledgements. Default: the user at the broker, or the login name.")
    ] = None,
) -> None:
    """Show the open alerts live; acknowledge (a), pause the audio (p) and resume it (r).

    Up and down, or k and j, select; q quits. Without a terminal, print a line for each change. If several workers share
    the wards, VITALFLOW_ALERTS_CLIENT_ID selects the worker whose heartbeat and answers are shown.
    """
    settings = AlertsSettings.read(os.environ)
    watching = AlertView(settings, signature(settings.broker.username, by), ward)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: watching.stop())
    watching.run()


@app.command()
def check(
    file: Annotated[
        Path, typer.Argument(help="A rule file. Default: VitalFlow's rules.", show_default=False)
    ] = DEFAULT,
) -> None:
    """Print a rule file as a table, or every mistake with its line and exit with code 2."""
    rules = load(file)
    console().print(report.rules_table(rules))


@app.command()
def backtest(
    recordings: Annotated[list[Path] | None, typer.Argument(help="Recordings. Default: the hypertable.")] = None,
    start: Annotated[str, typer.Option("--from", help=f"Start of the range in the hypertable: {TIME_FORMS}.")] = "",
    end: Annotated[str, typer.Option("--to", help="End of the range, exclusive, in the same form.")] = "",
    rules: Annotated[
        list[Path] | None, typer.Option(help="A rule file; repeat to compare several. Default: VitalFlow's rules.")
    ] = None,
    format: FormatOption = None,
    zone: ZoneOption = None,
    date_order: DateOrderOption = None,
    only_patient: OnlyPatientOption = None,
    plot: Annotated[Path | None, typer.Option(help="Draw alarms against delay, 0 to 30 s, as a PNG.")] = None,
    curve: Annotated[bool, typer.Option("--curve", help="Print alarms against delay, 0 to 30 s.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON only.")] = False,
) -> None:
    """Count the alarms that rules would have raised in the past, and those that their delays remove.

    Reads recordings in the formats of `vitalflow devices replay`, or the hypertable at VITALFLOW_READER_URL from --from
    to --to. Next to each rule file it shows the same limits with every crossing as an alarm, and which episodes of
    20 s or longer would have been missed.
    """
    rule_sets = [load(path) for path in rules or [DEFAULT]]
    if plot is not None:
        try:
            from alerts.backtest.plot import draw  # imported here: only this option needs the image library
        except ModuleNotFoundError:
            needed = '--plot needs Pillow, the optional extra "plot": pip install -e ".[plot]"'
            raise PermanentError(needed) from None
    if recordings:
        stays = read_recordings(open_recordings(recordings, format, zone, date_order, only_patient))
    else:
        from alerts.backtest.settings import ReaderSettings  # imported here: loads psycopg

        url = ReaderSettings.read(os.environ).reader_url
        since, until = range_end("--from", start), range_end("--to", end)
        if until <= since:
            raise PermanentError(f"--to is {end}, which is not after --from, {start}")
        stays = read_table(url, since, until)
    outcome = comparison.run(stays, rule_sets, curve=as_json or curve or plot is not None)
    if plot is not None:
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
    """Return the name for acknowledgements; raises PermanentError for a name that the broker would reject."""
    if user is None:
        return login_name("pass it with --by NAME") if by is None else by
    if by is not None and by != user:
        raise PermanentError(f"--by is {by[:40]!r}, but the broker accepts only the user name {user!r}")
    return user


def console() -> Console:
    """Return a console on standard output, wide enough for the tables if that is a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=140)


def range_end(option: str, text: str) -> datetime:
    """Return one end of the range of the hypertable; raises PermanentError, also if it is missing."""
    if not text:
        raise PermanentError(f"give recordings, or {option}: {TIME_FORMS}")
    return parse_time_option(option, text)


if __name__ == "__main__":
    app(prog_name="python -m alerts")
