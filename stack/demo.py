"""`make demo`: a stack with one live screen of the ward, until Ctrl-C or for a number of seconds.

The supervisor runs in a thread beside the screen, so that one process is the whole demo and its end the end of all.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Thread

from rich.console import Console
from rich.live import Live

from mqtt.settings import BrokerSettings
from stack.binaries import set_up
from stack.plan import Ports, addresses
from stack.screen import Known, line, render
from stack.shell import sign_in_hint
from stack.stack_dir import StackDir
from stack.supervisor import Supervisor
from stack.watch import Watch, rows_since

FRAME = 0.5  # seconds between two pictures; the devices publish once a second
LINE = 5.0  # seconds between two lines where there is no terminal
EVENT_FOR = 15.0  # seconds that an event stays on the screen
GRACE = 10.0  # seconds to wait for the database's last word


class Events:
    """What the supervisor says: printed while it starts and stops, kept for the screen in between."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self.on_screen = False
        self._emit = emit
        self._kept: deque[tuple[float, str]] = deque(maxlen=3)

    def __call__(self, sentence: str) -> None:
        """One sentence of the supervisor."""
        if self.on_screen:
            self._kept.append((time.monotonic(), sentence))
        else:
            self._emit(sentence)

    def recent(self) -> list[str]:
        """Those of the last seconds."""
        return [sentence for at, sentence in self._kept if time.monotonic() - at < EVENT_FOR]


def demo(home: StackDir, devices: int, port_base: int, seconds: float | None) -> int:
    """Run it; returns the exit code: 0 after Ctrl-C or where rows flowed, 1 where none did.

    1. Set up what is missing, and start everything, telling each step.
    2. Show the ward until Ctrl-C, the time is over, or the supervisor fails.
    3. Ask the database how many rows came, while it still runs.
    4. Stop everything, and say in a line how it was.
    """
    console = Console(highlight=False)
    with home.lock():
        pass  # raises where one runs, before anything is installed
    binaries = set_up(console.print)
    stop, interrupted = Event(), Event()

    def interrupt(*_: object) -> None:
        interrupted.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    since = datetime.now(UTC)
    events = Events(console.print)
    supervisor = Supervisor(home, binaries, Ports(port_base), devices, events)
    failures: list[BaseException] = []

    def supervise() -> None:
        try:
            supervisor.run(stop)
        except BaseException as error:  # told by the main thread
            failures.append(error)
        finally:
            stop.set()

    thread = Thread(target=supervise, name="supervisor")
    thread.start()
    rows: int | None = None
    raised = 0
    flowed = 0.0
    try:
        while not supervisor.up.wait(FRAME / 5) and not stop.is_set():
            pass
        if not stop.is_set():
            told = f"the ward in a browser: {Ports(port_base).page} ({sign_in_hint(home)}); Ctrl-C ends everything"
            console.print(told, soft_wrap=True)
            started = time.monotonic()
            reader, raised = _show(console, home, port_base, events, stop, seconds, since)
            flowed = time.monotonic() - started
            rows = None if failures else _rows(reader, since)
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]
    if flowed == 0:
        told = "ended before everything was up"
    elif rows is None:
        told = f"the database did not say how many readings were stored; {_alerts(raised)} raised"
    else:
        told = f"{rows:,} readings stored in {flowed:.0f} s, {_alerts(raised)} raised"
    console.print(f"demo: {told}; everything is stopped")
    return 0 if rows or interrupted.is_set() else 1


def _show(
    console: Console,
    home: StackDir,
    port_base: int,
    events: Events,
    stop: Event,
    seconds: float | None,
    since: datetime,
) -> tuple[str, int]:
    """The screen, or lines; returns the address for the reader of the database, and how many alerts were raised."""
    ports = Ports(port_base)
    where = addresses(ports, home.make_secrets(), home)
    watch = Watch(BrokerSettings.read({**os.environ, **where}), where["VITALFLOW_READER_URL"], ports, since)
    watch.start()
    started = time.monotonic()
    page = (ports.page, sign_in_hint(home))

    def over() -> bool:
        return stop.is_set() or (seconds is not None and time.monotonic() - started >= seconds)

    def known() -> Known:
        now, elapsed = datetime.now(UTC), time.monotonic() - started
        return Known(watch.beds(), watch.alerts(), watch.figures(), events.recent(), now, elapsed, page)

    try:
        if console.is_terminal:
            events.on_screen = True
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while not over():
                    live.update(render(known(), console.size.width, console.size.height), refresh=True)
                    stop.wait(FRAME)
        else:
            while not over():
                stop.wait(LINE if seconds is None else min(LINE, max(seconds - (time.monotonic() - started), 0)))
                console.print(line(known()), soft_wrap=True)
    finally:
        events.on_screen = False
        watch.stop()
    return where["VITALFLOW_READER_URL"], watch.raised()


def _alerts(number: int) -> str:
    return "1 alert" if number == 1 else f"{number:,} alerts"


def _rows(reader: str, since: datetime) -> int | None:
    deadline = time.monotonic() + GRACE
    while (rows := rows_since(reader, since)) is None and time.monotonic() < deadline:
        time.sleep(FRAME)
    return rows
