"""Ours beside what most tutorials write: how fast a backlog is in the table, and what two kills cost.

All three do the same work one after the other in one run: the same broker, the same database server, the same
readings. The tutorials are in `tutorials`; read there what they are.
"""

import os
import sys
import time
from dataclasses import dataclass

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import sql

from bench import tutorials
from bench.environment import Environment
from bench.queue_filler import fill_queues
from bench.report import Log, Result
from bench.services import service
from mqtt.endpoint import BrokerEndpoint
from stack.servers import Server, Service
from vitals.errors import PermanentError
from vitals.topics import Topics

STILL_S = 6.0  # seconds without a new row after which no more is expected
AWAY_S = 3.0  # seconds that the database has been stopped when the kill comes


@dataclass(frozen=True)
class ClientResult(Result):
    """What one of the three did. `per_s` is from the first stored row to the last, so starting costs nothing."""

    name: str
    drained: int
    per_s: int
    killed_while_catching_up: int
    stored_when_killed: int
    lost_then: int
    doubled_then: int
    killed_while_database_stopped: int
    lost_there: int
    doubled_there: int


@dataclass(frozen=True)
class CompareResult(Result):
    """The figures of one run; `times` is how much faster ours is."""

    clients: list[ClientResult]
    times: dict[str, float]
    machine: dict[str, str]

    def text(self) -> str:
        """Format the figures for a terminal."""
        lines = [f"{'':<32}{'messages/s':>12}{'lost, killed while':>22}{'lost, killed while':>22}"]
        lines.append(f"{'':<32}{'':>12}{'catching up':>22}{'database stopped':>22}")
        for client in self.clients:
            then = f"{client.lost_then} of {client.killed_while_catching_up}"
            there = f"{client.lost_there} of {client.killed_while_database_stopped}"
            lines.append(f"{client.name:<32}{client.per_s:>12}{then:>22}{there:>22}")
        lines += [f"ingest is {times} times as fast as {name}" for name, times in self.times.items()]
        doubled = {client.name: client.doubled_then + client.doubled_there for client in self.clients}
        lines.append("stored more than once: " + ", ".join(f"{name} {number}" for name, number in doubled.items()))
        return "\n".join([*lines, ", ".join(self.machine.values())])


class Subscriber:
    """One of the three, started and killed as a supervisor would."""

    def __init__(self, environment: Environment, name: str, program: Server, table: str, client_id: str) -> None:
        self.environment = environment
        self.name = name
        self.program = program
        self._table = table
        self._client_id = client_id

    def open_session(self) -> None:
        """Subscribe and leave: from now on the broker queues for it."""
        self.program.start()
        time.sleep(1.0)
        self.program.kill()

    def close_session(self) -> None:
        """Let the broker forget it."""
        self.program.kill()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self._client_id, clean_session=True)
        client.connect("127.0.0.1", self.environment.broker.port)
        client.loop_start()
        while not client.is_connected():
            time.sleep(0.02)
        client.disconnect()
        client.loop_stop()

    def rows(self) -> tuple[int, int]:
        """How many rows there are, and of how many readings."""
        rows, readings = self._ask("count(*), count(DISTINCT (device_id, boot, seq))")
        return int(rows), int(readings)

    def count(self) -> int:
        """How many rows there are; quick enough to ask often."""
        return int(self._ask("count(*)")[0])

    def seconds(self) -> float:
        """From the first row to the last COMMIT."""
        moment = "stored_at" if self._table == "tutorial" else "pg_xact_commit_timestamp(xmin)"
        return float(self._ask(f"extract(epoch FROM max({moment}) - min({moment}))")[0])

    def forget(self) -> None:
        """Empty the table."""
        with psycopg.connect(self.environment.database.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(self._table)))

    def _ask(self, what: str) -> tuple[float, ...]:
        with psycopg.connect(self.environment.database.url(), autocommit=True) as connection:
            row = connection.execute(f"SELECT {what} FROM {self._table}".encode()).fetchone()  # noqa: S608
        assert row is not None
        return row


def compare(environment: Environment, messages: int, log: Log) -> CompareResult:
    """Measure the three, one after the other.

    1. Drain: its session is opened, the broker's queue filled, the subscriber started; rows are waited for.
    2. The same, and killed when a third is stored; started again; what never came is lost.
    3. The same, and killed when the database has been stopped for some seconds; both started again.
    """
    with psycopg.connect(environment.database.url(), autocommit=True) as connection:
        connection.execute(tutorials.TABLE)
    ours = service(environment, "ingest")
    one, many = _tutorial(environment, "insert"), _tutorial(environment, "queue")
    subscribers = {
        Subscriber(environment, "ingest", ours, "patient_vitals", "ingest"): messages,
        # The slow one on fewer: its rate does not depend on it.
        Subscriber(environment, "paho, one INSERT a message", one, "tutorial", "tutorial"): messages // 5,
        Subscriber(environment, "aiomqtt, queue, executemany", many, "tutorial", "tutorial"): messages,
    }
    found = []
    for subscriber, number in subscribers.items():
        log(f"{subscriber.name}: draining {number}")
        try:
            found.append(_measure(subscriber, number, log))
        finally:
            subscriber.program.kill()
    times = {client.name: round(found[0].per_s / client.per_s, 1) for client in found[1:]}
    return CompareResult(found, times, environment.machine)


def _measure(subscriber: Subscriber, messages: int, log: Log) -> ClientResult:
    _fill(subscriber, messages)
    subscriber.program.start()
    _until(subscriber, messages)
    drained, _ = subscriber.rows()
    per_s = round(drained / subscriber.seconds())
    subscriber.close_session()
    log(f"{subscriber.name}: {per_s}/s; killed while it catches up")
    _fill(subscriber, messages)
    subscriber.program.start()
    _until(subscriber, messages // 3)
    subscriber.program.kill()
    at_kill = subscriber.count()
    subscriber.program.start()
    rows, stored = _settled(subscriber)
    then = (messages - stored, rows - stored)
    subscriber.close_session()
    log(f"{subscriber.name}: lost {then[0]}, doubled {then[1]}; killed while the database is stopped")
    _fill(subscriber, messages)
    subscriber.program.start()
    _until(subscriber, messages // 10)
    subscriber.environment.database.stop_at_once()
    time.sleep(AWAY_S)
    subscriber.program.kill()
    subscriber.environment.database.start()
    subscriber.program.start()
    rows, stored = _settled(subscriber)
    there = (messages - stored, rows - stored)
    subscriber.close_session()
    log(f"{subscriber.name}: lost {there[0]}, doubled {there[1]}")
    return ClientResult(subscriber.name, drained, per_s, messages, at_kill, *then, messages, *there)


def _fill(subscriber: Subscriber, messages: int) -> None:
    subscriber.forget()
    subscriber.open_session()
    fill_queues(BrokerEndpoint.parse(subscriber.environment.broker.url), Topics(), messages, lambda _: None)


def _until(subscriber: Subscriber, rows: int) -> None:
    deadline = time.monotonic() + 120
    while subscriber.count() < rows:
        if time.monotonic() > deadline:
            raise PermanentError(f"{subscriber.name} does not come to {rows} rows:\n{subscriber.program.tail()}")
        time.sleep(0.05)


def _settled(subscriber: Subscriber) -> tuple[int, int]:
    """The rows and readings once no more come."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < STILL_S:
        count = subscriber.count()
        if count != seen:
            seen, since = count, time.monotonic()
        time.sleep(0.2)
    return subscriber.rows()


def _tutorial(environment: Environment, which: str) -> Server:
    line = [sys.executable, "-m", "bench.tutorials", which, str(environment.broker.port), environment.database.url()]
    return Service(which, line, environment.folder / f"{which}.log", os.environ)
