"""Watching a running stack: readings and alerts from MQTT, counters from ingest, the lag from the database.

Two threads that survive whatever goes away, and say what is away. `demo` asks them twice a second.
"""

import json
import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, Thread

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from mqtt.endpoint import configure_client
from mqtt.settings import BrokerSettings
from stack.metrics import TIMEOUT_S, counters
from stack.plan import Ports
from vitals.alert import Alert
from vitals.alert_format import sort_alerts
from vitals.bed_snapshot import BedSnapshot
from vitals.codec import TimeWindow, decode
from vitals.errors import PermanentError
from vitals.open_alerts import OpenAlerts
from vitals.topics import DeviceAddress

PAUSE = 1.0  # seconds between two questions to ingest and database
SPAN = 10.0  # seconds over which rates and the lag are taken
ANY_AGE = timedelta(days=36_500)  # the screen refuses no reading; ingest does

# The second condition lets TimescaleDB use its index on time; a backlog older than that has no place in a lag of now.
LAG = """
SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM received_at - time))
FROM patient_vitals
WHERE received_at > now() - %s * interval '1 second' AND time > now() - interval '5 minutes'
"""
ROWS = "SELECT count(*) FROM patient_vitals WHERE received_at >= %s AND time > %s - interval '1 day'"


@dataclass(frozen=True, slots=True)
class Figures:
    """How the readings flow. None where it is not known at the moment; `away` says why, in sentences.

    deaf    whether the alerts that we know may be out of date
    """

    stored: int = 0
    rejected: int = 0
    rate: float | None = None  # readings stored a second
    lag_p95: float | None = None  # seconds
    away: tuple[str, ...] = ()
    deaf: bool = False


@dataclass(slots=True)
class Counter:
    """A Prometheus counter over the restarts of who counts: it begins at 0 again, we do not."""

    total: float = 0.0
    last: float = 0.0

    def feed(self, value: float) -> None:
        """The value as it now stands."""
        self.total += value - self.last if value >= self.last else value
        self.last = value


class Watch:
    """Both threads, from `start` to `stop`. Alerts are counted from `since` on."""

    def __init__(self, settings: BrokerSettings, reader_url: str, ports: Ports, since: datetime) -> None:
        self._topics = settings.topics
        self._broker = settings.broker
        self._reader_url = reader_url
        self._ports = ports
        self._board = OpenAlerts(settings.topics, since)
        self._lock = Lock()
        self._alerts_begin = self._topics.alerts().removesuffix("+/+/+")
        self._beds: dict[DeviceAddress, BedSnapshot] = {}
        self._figures = Figures()
        self._ended = Event()
        self._asking = Thread(target=self._ask, name="ask", daemon=True)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        configure_client(self._client, self._broker)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 2)

    def start(self) -> None:
        """Begin to listen and to ask."""
        self._client.connect_async(self._broker.host, self._broker.port)
        self._client.loop_start()
        self._asking.start()

    def stop(self) -> None:
        """End both."""
        self._ended.set()
        self._client.disconnect()
        self._client.loop_stop()
        self._asking.join(TIMEOUT_S * 3)

    def beds(self) -> list[BedSnapshot]:
        """Every bed heard of so far.

        Not those of which nothing came but a retained "offline": they belong to earlier runs.
        """
        with self._lock:
            return [seen for seen in self._beds.values() if seen.online or seen.last is not None]

    def alerts(self) -> list[Alert]:
        """The open alerts, the most urgent first."""
        with self._lock:
            return sort_alerts(self._board.alerts(datetime.now(UTC), worker_online=not self._figures.deaf))

    def raised(self) -> int:
        """How many alerts were raised since the beginning."""
        with self._lock:
            return self._board.raised

    def figures(self) -> Figures:
        """The latest figures."""
        if self._client.is_connected():
            return self._figures
        return replace(self._figures, away=("the broker is away", *self._figures.away), deaf=True)

    def _on_connect(
        self, client: mqtt.Client, _user: object, _flags: object, code: object, _properties: object
    ) -> None:
        if code == 0:
            with self._lock:
                self._board.connected(datetime.now(UTC))
            client.subscribe([(self._topics.all_status, 1), (self._topics.alerts(), 1), (self._topics.all_vitals, 0)])

    def _on_message(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.startswith(self._alerts_begin):
            with self._lock:
                self._board.update(message.topic, bytes(message.payload))
            return
        try:
            kind, bed = self._topics.parse(message.topic)
        except PermanentError:
            return  # ingest keeps it, with its reason
        with self._lock:
            seen = self._beds.get(bed) or BedSnapshot(bed)
            if kind == "status":
                try:
                    told = json.loads(message.payload)
                    seen = seen.with_status(str(told["state"]), int(told["boot"]))
                except (ValueError, LookupError, TypeError):
                    return
            else:
                for reading in decode(bytes(message.payload), TimeWindow.at(datetime.now(UTC), ANY_AGE)).readings:
                    seen = seen.with_reading(reading, reading.time)
            self._beds[bed] = seen

    def _ask(self) -> None:
        stored, rejected = Counter(), Counter()
        past: deque[tuple[float, float]] = deque()
        reader: psycopg.Connection[tuple[float | None]] | None = None
        while not self._ended.wait(PAUSE):
            away = []
            rate = lag = None
            try:
                values = counters(self._ports.ingest)
            except OSError:
                away.append("ingest is away")
                past.clear()
            else:
                stored.feed(values.get("vitalflow_ingest_readings_stored_total", 0.0))
                rejected.feed(values.get("vitalflow_ingest_messages_rejected_total", 0.0))
                past.append((time.monotonic(), stored.total))
                while past[-1][0] - past[0][0] > SPAN:
                    past.popleft()
                if len(past) > 1:
                    rate = (past[-1][1] - past[0][1]) / (past[-1][0] - past[0][0])
            deaf = False
            try:
                counters(self._ports.alerts)
            except OSError:
                away.append("alerts is away")
                deaf = True
            try:
                if reader is None or reader.closed:
                    reader = psycopg.connect(self._reader_url, autocommit=True, connect_timeout=TIMEOUT_S)
                row = reader.execute(LAG, [SPAN]).fetchone()
                lag = row[0] if row else None
            except psycopg.Error:
                away.append("the database is away")
                if reader is not None:
                    reader.close()
            self._figures = Figures(int(stored.total), int(rejected.total), rate, lag, tuple(away), deaf)
        if reader is not None:
            reader.close()


def rows_since(reader_url: str, began: datetime) -> int | None:
    """How many rows were received since then; None where the database does not answer."""
    try:
        with psycopg.connect(reader_url, connect_timeout=TIMEOUT_S) as reader:
            row = reader.execute(ROWS, [began, began]).fetchone()
            return int(row[0]) if row else 0
    except psycopg.Error:
        return None
