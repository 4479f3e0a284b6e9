"""The command line of the bedside monitors: `python -m devices simulate` and `python -m devices replay`.

Reads options and settings, makes the sources, runs the fleet, and shows its counts. No option and no broker
that is away ends in a traceback.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from devices.fleet import run_fleet
from devices.outbox import CAPACITY
from devices.outbox_file import OutboxFile
from devices.replay import prepare, sources_of, told
from devices.scenario import Scenario
from devices.simulation import ward_of
from devices.source import Source
from devices.tally import Tally
from vitals.errors import told_in_one_sentence
from vitals.recording import Format, Recording
from vitals.settings import Settings

PROGRAM = "vitalflow devices"
REWRITE_S, REPEAT_S = 1.0, 10.0  # seconds between progress lines: rewritten on a terminal, repeated in a log

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def about() -> None:
    """Bedside monitors, simulated or replayed from recordings, that publish readings over MQTT.

    The broker is VITALFLOW_MQTT_URL (default mqtt://127.0.0.1:1883). While it is away every device keeps its
    readings and sends them afterwards, in order. Where ingest gives receipts, a device keeps each reading until it
    is stored (docs/receipts.md). Ctrl-C ends tidily.
    """


OutboxReadings = Annotated[
    int, typer.Option(min=1, help="Readings that each device keeps until they are stored; the oldest go first.")
]
OutboxPath = Annotated[
    Path | None,
    typer.Option("--outbox", help="Keep them in this file too, so that they survive this process.", dir_okay=False),
]
Seconds = Annotated[float | None, typer.Option(min=0.1, max=1e9, help="Stop by itself after so many seconds.")]


@app.command(
    epilog="""Examples:

    python -m devices simulate

    python -m devices simulate --count 1 --scenario sepsis --ward icu-2

    python -m devices simulate --count 2000 --seconds 60

    python -m devices simulate --outbox ward.db
    """
)
def simulate(
    count: Annotated[int, typer.Option(min=1, max=50_000, help="How many devices, each with one patient.")] = 20,
    interval: Annotated[float, typer.Option(min=0.05, max=3600, help="Seconds between two readings.")] = 1.0,
    ward: Annotated[str, typer.Option(help="The ward, a level of the topic.")] = "icu-1",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same patients.")] = 7,
    scenario: Annotated[
        Scenario, typer.Option(help="What happens to the patients; mixed gives most of them a quiet day.")
    ] = Scenario.MIXED,
    name_prefix: Annotated[
        str | None, typer.Option(help="Devices are named PREFIX01, PREFIX02 ...; default WARD-bed-.")
    ] = None,
    outbox: OutboxPath = None,
    outbox_readings: OutboxReadings = CAPACITY,
    seconds: Seconds = None,
) -> None:
    """Simulate patients whose signs waver, drift and move together as a scenario has it."""
    sources = ward_of(
        count,
        ward=ward,
        boot=int(time.time()),
        seed=seed,
        scenario=scenario,
        interval_s=interval,
        prefix=name_prefix,
    )
    raise typer.Exit(asyncio.run(_run(sources, outbox_readings, outbox, seconds)))


@app.command(
    epilog="""Examples:

    python -m devices replay recordings/*.csv --speed 60

    python -m devices replay my-own.csv --loop --ward icu-2
    """
)
def replay(
    files: Annotated[list[Path], typer.Argument(help="Recordings: a device for each.", metavar="FILE")],
    format: Annotated[
        Format | None, typer.Option(help="The format of all files; without it each file's header tells.")
    ] = None,
    ward: Annotated[str, typer.Option(help="The ward, a level of the topic.")] = "icu-1",
    speed: Annotated[float, typer.Option(min=0.001, max=1e6, help="So many times as fast as it was recorded.")] = 1.0,
    loop: Annotated[
        bool, typer.Option("--loop", help="Begin again at the end; each reading has the time of its sending.")
    ] = False,
    outbox: OutboxPath = None,
    outbox_readings: OutboxReadings = CAPACITY,
    seconds: Seconds = None,
) -> None:
    """Replay recordings of patients, one device a file. The last reading of each is from now (docs/replay.md)."""
    parts = prepare([Recording(path, format) for path in files])
    readings = sum(part.summary.readings for part in parts)
    longest = max(part.summary.duration_s for part in parts)
    print(f"{PROGRAM}: {readings} readings in {len(parts)} recordings; {longest / speed:.0f} s at this speed")
    for sentence in told(parts):
        print(f"{PROGRAM}: {sentence}")
    sources = sources_of(parts, ward=ward, now=datetime.now(UTC), speed=speed, loop=loop)
    raise typer.Exit(asyncio.run(_run(sources, outbox_readings, outbox, seconds)))


async def _run(sources: Sequence[Source], outbox: int, path: Path | None, seconds: float | None) -> int:
    """Run the fleet until its end, a signal or the time; returns the exit code."""
    settings = Settings.read(os.environ)
    stop = asyncio.Event()
    code = 0

    def interrupted() -> None:
        nonlocal code
        code = 130  # what a shell expects of Ctrl-C
        stop.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    tally = Tally(len(sources))
    screen = Screen()
    file = None if path is None else OutboxFile(path, screen.say)
    devices = "1 device" if len(sources) == 1 else f"{len(sources)} devices"
    screen.say(f"{devices}, publishing to {settings.broker} below {settings.topics.root}/")
    showing = asyncio.create_task(_show(tally, screen))
    try:
        await run_fleet(
            sources,
            settings.broker,
            settings.topics,
            stop=stop,
            outbox=outbox,
            file=file,
            tell=screen.say,
            tally=tally,
        )
    finally:
        showing.cancel()
    kept = "" if file is None else f"; {file.close()} kept in {path} for the next start"
    screen.say(f"ended: {tally.summary()}{kept}")
    return code


async def _show(tally: Tally, screen: "Screen") -> None:
    while True:
        await asyncio.sleep(REWRITE_S if screen.is_terminal else REPEAT_S)
        screen.progress(tally.line())


class Screen:
    """Standard output: one line that is rewritten on a terminal, plain lines anywhere else."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()

    def say(self, sentence: str) -> None:
        """A line that stays."""
        erase = "\r\x1b[K" if self.is_terminal else ""
        print(f"{erase}{PROGRAM}: {sentence}", flush=True)

    def progress(self, line: str) -> None:
        """A line that the next one replaces."""
        if self.is_terminal:
            print(f"\r\x1b[K{line}", end="", flush=True)
        else:
            self.say(line)


if __name__ == "__main__":
    with told_in_one_sentence(PROGRAM):
        app()
