"""Report of `vitalflow dev status`: each process of the stack, and the readings stored. Reads only."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil
import psycopg
from rich.table import Table

from stack.plan import Ports, addresses
from stack.processes import find
from stack.stack_dir import Running, StackDir, State
from vitals.alert_format import format_duration

CPU_INTERVAL_S = 0.5
COUNT_TIMEOUT_MS = 3000


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """CPU and memory of a process and its children."""

    cpu: float  # percent of one core
    memory: int  # bytes


def expected(state: State) -> list[Running]:
    """Return every process that should run, the supervisor first."""
    return [state.supervisor, *state.processes]


def measure_usage(processes: list[Running]) -> dict[str, ResourceUsage]:
    """Return the usage of each process that is alive; takes CPU_INTERVAL_S."""
    families = {running.name: _family(process) for running in processes if (process := find(running))}
    before = {name: sum(map(_seconds, family)) for name, family in families.items()}
    time.sleep(CPU_INTERVAL_S)
    return {
        name: ResourceUsage(
            (sum(map(_seconds, family)) - before[name]) / CPU_INTERVAL_S * 100, sum(map(_memory, family))
        )
        for name, family in families.items()
    }


def _family(process: psutil.Process) -> list[psutil.Process]:
    # All processes are children of the supervisor, which has a line of its own.
    try:
        return [process, *(process.children() if process.name() == "postgres" else [])]
    except psutil.NoSuchProcess:
        return []


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
        return float(times.user + times.system)
    except psutil.NoSuchProcess:
        return 0.0


def _memory(process: psutil.Process) -> int:
    # The proportional set size counts memory that PostgreSQL's processes share once.
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def table(state: State, used: dict[str, ResourceUsage]) -> Table:
    """Return a table with one line per process."""
    lines = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("process", "state"):
        lines.add_column(heading)
    for heading in ("pid", "port", "up", "restarts", "cpu", "memory"):
        lines.add_column(heading, justify="right")
    for running in expected(state):
        use = used.get(running.name)
        status = "gone" if use is None else "up" if running.serves else "starting"
        lines.add_row(
            running.name,
            status,
            str(running.pid) if use else "-",
            str(running.port or "-"),
            format_duration(time.time() - running.since) if use else "-",
            str(running.restarts),
            f"{use.cpu:.0f} %" if use else "-",
            f"{use.memory / 2**20:.0f} MB" if use else "-",
        )
    return lines


def rows(home: StackDir, state: State) -> str:
    """Return a line with the number of readings stored and the age of the newest."""
    secrets = home.secrets()
    if secrets is None:
        return "readings: the passwords of this stack are missing"
    url = addresses(Ports(state.port_base), secrets, home)["VITALFLOW_READER_URL"]
    try:
        with psycopg.connect(url, connect_timeout=3, options=f"-c statement_timeout={COUNT_TIMEOUT_MS}") as reader:
            newest = reader.execute("SELECT time FROM patient_vitals ORDER BY time DESC LIMIT 1").fetchone()
            if newest is None:
                return "readings: none stored yet"
            age = format_duration((datetime.now(UTC) - newest[0]).total_seconds())
            try:
                counted = reader.execute("SELECT count(*) FROM patient_vitals").fetchone()
            except psycopg.errors.QueryCanceled:
                return (
                    f"readings: more stored than can be counted in {COUNT_TIMEOUT_MS // 1000} s, the newest {age} old"
                )
    except psycopg.Error as error:
        return f"readings: the database does not answer: {str(error).strip().splitlines()[0]}"
    return f"readings: {counted[0] if counted else 0:,} stored, the newest {age} old"
