"""Compare ingest with two clients as most tutorials write them: the speed of storing a backlog, losses at two kills.

All three do the same work one after the other in one run: the same broker, the same database server, the same
readings. The tutorials are in `tutorials`; read there what they are.
"""

import os
import sys
import time

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import sql

from bench import tutorials
from bench.environment import Environment, settle
from bench.queue_filler import fill_queues
from bench.report import Figures, Log
from bench.services import service
from mqtt.endpoint import BrokerEndpoint
from stack.servers import Server, Service
from vitals.errors import PermanentError
from vitals.topics import Topics

STILL_S = 6.0  # seconds without a new row after which no more is expected
TIMEOUT_S = 120.0  # seconds without which something is broken
AWAY_S = 3.0  # seconds that the database has been stopped when the kill comes


class Subscriber:
    """One of the three, started and killed as a supervisor would."""

    def __init__(self, environment: Environment, name: str, program: Server, table: str, client_id: str) -> None:
        self.environment = environment
        self.name = name
        self.program = program
        self._table = sql.Identifier(table)
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

    def fill(self, messages: int) -> None:
        """Empty the table, and let the broker queue so many readings for it."""
        with psycopg.connect(self.environment.database.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("TRUNCATE {}").format(self._table))
        self.open_session()
        fill_queues(BrokerEndpoint.parse(self.environment.broker.url), Topics(), messages)

    def start_until(self, rows: int) -> None:
        """Start it and wait for so many rows."""
        self.program.start()
        deadline = time.monotonic() + TIMEOUT_S
        while self.count() < rows:
            if time.monotonic() > deadline:
                raise PermanentError(f"{self.name} does not come to {rows} rows:\n{self.program.tail()}")
            time.sleep(0.05)

    def settle(self, messages: int) -> dict[str, int]:
        """Start it, wait until no more rows come, and count what is missing and what is there twice."""
        self.program.start()
        settle(self.count, -1, STILL_S)
        query = sql.SQL("SELECT count(*), count(DISTINCT (device_id, boot, seq)) FROM {}").format(self._table)
        rows, readings = self.environment.ask(query)
        self.close_session()
        return {"of": messages, "lost": messages - readings, "doubled": rows - readings}

    def count(self) -> int:
        """How many rows there are; quick enough to ask often."""
        return int(self.environment.ask(sql.SQL("SELECT count(*) FROM {}").format(self._table))[0])

    def seconds(self) -> float:
        """From the first COMMIT to the last."""
        moment = sql.SQL("pg_xact_commit_timestamp(xmin)")
        query = sql.SQL("SELECT extract(epoch FROM max({0}) - min({0})) FROM {1}").format(moment, self._table)
        return float(self.environment.ask(query)[0])


def compare(environment: Environment, messages: int, log: Log) -> Figures:
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
        try:
            found.append(_measure(subscriber, number, log))
        finally:
            subscriber.program.kill()
    times = {client["name"]: round(found[0]["per_s"] / client["per_s"], 1) for client in found[1:]}
    return {"clients": found, "ingest_is_faster_by": times, "machine": environment.machine}


def _measure(subscriber: Subscriber, messages: int, log: Log) -> Figures:
    log(f"{subscriber.name}: draining {messages}")
    subscriber.fill(messages)
    subscriber.start_until(messages)
    per_s = round(subscriber.count() / subscriber.seconds())
    subscriber.close_session()
    log(f"{subscriber.name}: {per_s}/s; killed while it catches up")
    subscriber.fill(messages)
    subscriber.start_until(messages // 3)
    subscriber.program.kill()
    catching_up = subscriber.settle(messages)
    log(f"{subscriber.name}: {catching_up}; killed while the database is stopped")
    subscriber.fill(messages)
    subscriber.start_until(messages // 10)
    subscriber.environment.database.stop_at_once()
    time.sleep(AWAY_S)
    subscriber.program.kill()
    subscriber.environment.database.start()
    stopped = subscriber.settle(messages)
    log(f"{subscriber.name}: {stopped}")
    return {
        "name": subscriber.name,
        "per_s": per_s,
        "killed while catching up": catching_up,
        "killed while the database is stopped": stopped,
    }


def _tutorial(environment: Environment, which: str) -> Server:
    line = [sys.executable, "-m", "bench.tutorials", which, str(environment.broker.port), environment.database.url()]
    return Service(which, line, environment.folder / f"{which}.log", os.environ)
