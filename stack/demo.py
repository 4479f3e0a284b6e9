"""`make demo`: a stack in the foreground, with a line of status every few seconds, until Ctrl-C or for some seconds.

The supervisor runs in a thread, so that stopping the process stops everything. To see the ward, open the station in a
browser, or run `vitalflow alerts watch` in another terminal.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Thread

import psycopg
from rich.console import Console

from stack.binaries import set_up
from stack.plan import Ports, addresses
from stack.shell import eval_line, hint_commands, sign_in_hint
from stack.stack_dir import StackDir
from stack.supervisor import Supervisor
from vitals.stop_signals import WITH_HANGUP, set_on_signals

POLL_S = 0.1
LINE_S = 10.0  # seconds between two lines of status
LAST_QUERY_S = 10.0  # how long the last count is tried
QUERY = """
SELECT (SELECT count(*) FROM patient_vitals
        WHERE arrival_time(received_at, time, arrival_lag_ms) >= %(since)s AND time > %(since)s - interval '1 day'),
       (SELECT count(*) FROM rejected_message WHERE received_at >= %(since)s),
       (SELECT count(DISTINCT alert_id) FROM alert_event WHERE change = 'raised' AND changed_at >= %(since)s),
       (SELECT coalesce(string_agg(beds || ' ' || condition, ', ' ORDER BY condition), 'none')
        FROM (SELECT condition, count(*) AS beds FROM ward_condition GROUP BY condition) AS grouped),
       (SELECT coalesce(string_agg(alerts || ' ' || priority, ', ' ORDER BY priority_rank(priority) DESC), 'none')
        FROM (SELECT priority, count(*) AS alerts FROM alert_active GROUP BY priority) AS grouped)
"""


@dataclass(frozen=True, slots=True)
class Status:
    """What has come since the demo was started, and the ward as it is now."""

    stored: int
    rejected: int
    raised: int
    beds: str
    open_alerts: str

    def __str__(self) -> str:
        rejected = f", {self.rejected:,} messages rejected" if self.rejected else ""
        return f"{self.stored:,} readings stored{rejected}; beds: {self.beds}; open alerts: {self.open_alerts}"


def query(reader_url: str, since: datetime) -> Status | None:
    """Return the status; None if the database does not answer."""
    try:
        with psycopg.connect(reader_url, connect_timeout=3) as reader:
            row = reader.execute(QUERY, {"since": since}).fetchone()
    except psycopg.Error:
        return None
    return None if row is None else Status(*row)


def demo(home: StackDir, devices: int, ports: Ports, seconds: float | None) -> int:
    """Run it; return the exit code: 0 after Ctrl-C or if readings were stored, 1 if none were.

    1. Set up what is missing, and start everything, reporting each step.
    2. Print the status until Ctrl-C, until the time is over, or until the supervisor fails.
    3. Count what was stored while the database still runs.
    4. Stop everything, and print one line of summary.
    """
    console = Console(highlight=False, soft_wrap=True)
    with home.lock():
        pass  # raises if a stack runs, before anything is installed
    binaries = set_up(console.print)
    stop, interrupted = Event(), Event()
    set_on_signals(interrupted, stop, numbers=WITH_HANGUP)
    since = datetime.now(UTC)
    supervisor = Supervisor(home, binaries, ports, devices, console.print, with_edges=devices > 0)
    failures: list[BaseException] = []

    def supervise() -> None:
        try:
            supervisor.run(stop)
        except BaseException as error:  # raised by the main thread
            failures.append(error)
        finally:
            stop.set()

    thread = Thread(target=supervise, name="supervisor")
    thread.start()
    last: Status | None = None
    elapsed = 0.0
    try:
        while not supervisor.up.wait(POLL_S) and not stop.is_set():
            pass
        if not stop.is_set():
            started = time.monotonic()
            _print_hints(console, home, ports)
            reader_url = addresses(ports, home.make_secrets(), home)["VITALFLOW_READER_URL"]
            _print_status(console, reader_url, since, stop, seconds)
            elapsed = time.monotonic() - started
            last = None if failures else _last_status(reader_url, since)
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]
    if elapsed == 0:
        summary = "ended before everything was up"
    elif last is None:
        summary = "the database did not answer with the number of readings stored"
    else:
        alerts = "1 alert" if last.raised == 1 else f"{last.raised:,} alerts"
        summary = f"{last.stored:,} readings stored in {elapsed:.0f} s, {alerts} raised"
    console.print(f"demo: {summary}; everything is stopped")
    return 0 if interrupted.is_set() or (last is not None and last.stored) else 1


def _print_hints(console: Console, home: StackDir, ports: Ports) -> None:
    console.print(f"the ward in a browser: {ports.page} ({sign_in_hint(home)}); Ctrl-C stops everything")
    console.print(f"in another terminal: {eval_line()}, and then")
    for command in hint_commands():
        console.print(f"    {command}")


def _print_status(console: Console, reader_url: str, since: datetime, stop: Event, seconds: float | None) -> None:
    ends = None if seconds is None else time.monotonic() + seconds
    while not stop.is_set() and (ends is None or time.monotonic() < ends):
        stop.wait(LINE_S if ends is None else max(0.0, min(LINE_S, ends - time.monotonic())))
        console.print(str(query(reader_url, since) or "the database does not answer"))


def _last_status(reader_url: str, since: datetime) -> Status | None:
    deadline = time.monotonic() + LAST_QUERY_S
    while (status := query(reader_url, since)) is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return status
