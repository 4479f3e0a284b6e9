"""What `status` shows: each process of the stack, and how far the readings got. Asks and changes nothing."""

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

MEASURED = 0.5  # seconds over which the use of CPU is taken
PATIENCE = 3000  # milliseconds that counting the rows may take


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """What a process and its children take."""

    cpu: float  # percent of one core
    memory: int  # bytes


def expected(state: State) -> list[Running]:
    """Every process that ought to run: the supervisor, then the rest."""
    return [state.supervisor, *state.processes]


def measure_usage(processes: list[Running]) -> dict[str, ResourceUsage]:
    """The use of each process that is alive; takes MEASURED seconds."""
    families = {running.name: _family(process) for running in processes if (process := find(running))}
    before = {name: sum(map(_seconds, family)) for name, family in families.items()}
    time.sleep(MEASURED)
    return {
        name: ResourceUsage((sum(map(_seconds, family)) - before[name]) / MEASURED * 100, sum(map(_memory, family)))
        for name, family in families.items()
    }


def _family(process: psutil.Process) -> list[psutil.Process]:
    # The supervisor is everybody's parent, but only itself in this table.
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
    # The proportional share: the memory that PostgreSQL's processes have in common counts once.
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def table(state: State, used: dict[str, ResourceUsage]) -> Table:
    """One line a process."""
    lines = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("process", "state"):
        lines.add_column(heading)
    for heading in ("pid", "port", "up", "restarts", "cpu", "memory"):
        lines.add_column(heading, justify="right")
    for running in expected(state):
        use = used.get(running.name)
        word = "gone" if use is None else "up" if running.serves else "starting"
        lines.add_row(
            running.name,
            word,
            str(running.pid) if use else "-",
            str(running.port or "-"),
            format_duration(time.time() - running.since) if use else "-",
            str(running.restarts),
            f"{use.cpu:.0f} %" if use else "-",
            f"{use.memory / 2**20:.0f} MB" if use else "-",
        )
    return lines


def rows(home: StackDir, state: State) -> str:
    """How many readings are stored, and how old the newest is."""
    secrets = home.secrets()
    if secrets is None:
        return "readings: the passwords of this stack are missing"
    url = addresses(Ports(state.port_base), secrets, home)["VITALFLOW_READER_URL"]
    try:
        with psycopg.connect(url, connect_timeout=3, options=f"-c statement_timeout={PATIENCE}") as reader:
            newest = reader.execute("SELECT time FROM patient_vitals ORDER BY time DESC LIMIT 1").fetchone()
            if newest is None:
                return "readings: none stored yet"
            age = format_duration((datetime.now(UTC) - newest[0]).total_seconds())
            try:
                counted = reader.execute("SELECT count(*) FROM patient_vitals").fetchone()
            except psycopg.errors.QueryCanceled:
                return f"readings: more stored than can be counted in {PATIENCE // 1000} s, the newest {age} old"
    except psycopg.Error as error:
        return f"readings: the database does not answer: {str(error).strip().splitlines()[0]}"
    return f"readings: {counted[0] if counted else 0:,} stored, the newest {age} old"
