"""`vitalflow alerts watch`: the open alerts, live, in a terminal; where there is none, a line for each change.

The MQTT client has a thread of its own, which only puts messages into a queue; everything else happens in `run`.
"""

import os
import select
import signal
import ssl
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
from rich.console import Console
from rich.live import Live

from alerts.settings import AlertsSettings
from alerts.tui_table import CONNECTING, WAITING, AlertTable, Key, keys, line
from mqtt.endpoint import paho_client
from mqtt.failover import BrokerOrder
from mqtt.tls import describe_tls_error
from mqtt.wake_socket import WakeSocket
from vitals.backoff import Backoff
from vitals.errors import PermanentError
from vitals.reading import MAX_TEXT

FINAL = (0x86, 0x87)  # MQTT 5, section 3.2.2.2: bad user name or password; not authorized. Of 3.1.1, paho says the same
FRAME = 0.5  # seconds between two pictures where nothing happens: ages grow
RECONNECT_S = (1, 2)  # first and maximum pause between two attempts to connect
KEEPALIVE = 10  # seconds; after 1.5 times that without a packet the connection counts as lost


@dataclass(frozen=True, slots=True)
class BrokerEvent:
    """An event of the client's thread: a message, or, without a topic, the state of the connection (`why` it failed).

    `refused`: the broker rejected the login, and a retry does not help.
    """

    topic: str = ""
    payload: bytes = b""
    retained: bool = False
    connected: bool = False
    why: str = ""
    refused: bool = False


class AlertView:
    """One person at one terminal, or one pipe."""

    def __init__(self, settings: AlertsSettings, by: str, ward: str | None) -> None:
        if not by.strip() or len(by) > MAX_TEXT or not by.isprintable():
            raise PermanentError(f"--by is {by[:40]!r}; expected a name of 1 to {MAX_TEXT} printable characters")
        if ward is not None and (not ward or any(mark in ward for mark in "+#/")):
            raise PermanentError(f"--ward is {ward[:40]!r}; expected the name of one ward")
        self._settings = settings
        user = settings.broker.username
        self._list = AlertTable(settings.topics, settings.alerts_client_id, by, ward, _now(), user=user is not None)
        self._events: SimpleQueue[BrokerEvent] = SimpleQueue()
        self._stopping = False
        self._wake = WakeSocket()
        topics = settings.topics
        self._filters = [
            (topics.alerts(ward or "+"), 1),
            (topics.service(settings.alerts_client_id), 0),
            # The worker sends a rejection only to the user whose command it rejects.
            (topics.rejections(settings.alerts_client_id, user), 1),
        ]
        self._order = BrokerOrder(settings.broker, Backoff(*RECONNECT_S))
        self._connected_at: float | None = None
        self._closing = False
        self._client = self._make_client()

    def stop(self) -> None:
        """End; may be called from a signal handler."""
        self._stopping = True
        self._wake.wake()

    def run(self) -> None:
        """Watch until `q` or a signal; with a terminal on both sides as a screen, else as lines."""
        broker = self._order.current
        self._client.connect_async(broker.host, broker.port, KEEPALIVE)
        self._client.loop_start()
        try:
            with suppress(BrokenPipeError):  # the reader of the output has closed it
                if sys.stdin.isatty() and sys.stdout.isatty():
                    self._run_on_screen()
                else:
                    self._run_in_lines()
        finally:
            self._closing = True
            self._client.disconnect()
            self._client.loop_stop()

    # --- the two ways to show it ---

    def _run_on_screen(self) -> None:
        console = Console(highlight=False)
        keyboard = sys.stdin.fileno()
        typed = b""
        # A new size of the terminal is drawn at once, and Ctrl-Z would leave the alternate screen active.
        signal.signal(signal.SIGWINCH, lambda *_: self._wake.wake())
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        with key_by_key(keyboard), Live(console=console, screen=True, auto_refresh=False) as live:
            while not self._stopping:
                self._take_what_was_heard(lambda _: None)
                live.update(self._list.render(_now(), console.size.width, console.size.height), refresh=True)
                if keyboard not in self._wait(keyboard):
                    continue
                got = os.read(keyboard, 1024)
                if not got:
                    return  # the terminal has gone
                pressed, typed = keys(typed + got)
                self._press(pressed)

    def _run_in_lines(self) -> None:
        said = None

        def say(sentence: str) -> None:
            sys.stdout.write(f"{sentence}\n")
            sys.stdout.flush()

        while not self._stopping:
            self._take_what_was_heard(say)
            problem = self._list.problem(_now())
            if problem not in (said, CONNECTING, WAITING):
                said = problem
                say(f"{datetime.now().astimezone():%H:%M:%S}  {problem or 'the alert worker is running'}")
            self._wait()

    # --- the steps ---

    def _take_what_was_heard(self, say: Callable[[str], None]) -> None:
        now = _now()
        with suppress(Empty):
            while True:
                event = self._events.get_nowait()
                if event.topic:
                    alert = self._list.take(event.topic, event.payload, event.retained, now)
                    if alert is not None:
                        say(line(alert))
                elif event.connected:
                    self._list.connected(now)
                elif event.refused:
                    raise PermanentError(
                        f"the broker at {self._settings.broker} rejects the login ({event.why}); "
                        "expected user and password of an enrolled person in VITALFLOW_MQTT_URL"
                    )
                else:
                    self._list.disconnected(event.why)
        self._list.tick(now)

    def _press(self, pressed: list[Key]) -> None:
        for key in pressed:
            asked = self._list.press(key, _now())
            if asked is not None:
                self._client.publish(asked.topic, asked.payload, qos=1)
            self._stopping = self._stopping or key == "quit"

    def _wait(self, *readers: int) -> list[WakeSocket | int]:
        watched: list[WakeSocket | int] = [self._wake, *readers]
        ready, _, _ = select.select(watched, [], [], FRAME)
        if self._wake in ready:
            self._wake.drain()
        return ready

    # --- the client, in its own thread ---

    def _make_client(self) -> mqtt.Client:
        broker = self._settings.broker
        # An id of the broker's choosing, no session.
        client = paho_client(broker)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.reconnect_delay_set(*RECONNECT_S)
        return client

    def _enqueue(self, event: BrokerEvent) -> None:
        self._events.put(event)
        self._wake.wake()

    def _on_connect(self, client: mqtt.Client, _user: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._enqueue(BrokerEvent(why=f"connection refused: {reason}", refused=reason.value in FINAL))
            return
        self._connected_at = time.monotonic()
        self._order.connected()
        self._enqueue(BrokerEvent(connected=True))
        client.subscribe(self._filters)

    def _on_connect_fail(self, *_: Any) -> None:
        broker, error = self._order.current, sys.exception()  # paho calls this while it handles the exception
        if isinstance(error, ssl.SSLError):
            why = f"{broker}: {describe_tls_error(error, broker.host, broker.port, broker.ca)}"
        else:
            why = f"no answer from {broker}"
        self._enqueue(BrokerEvent(why=why))
        self._select_next()

    def _on_disconnect(self, *_: Any) -> None:
        self._enqueue(BrokerEvent(why="the connection ended"))
        if not self._closing:
            self._select_next(time.monotonic() - self._connected_at if self._connected_at is not None else 0.0)
            self._connected_at = None

    def _select_next(self, lasted_s: float = 0.0) -> None:
        """Let the client's next attempt be at the broker whose turn it is."""
        before = self._order.current
        self._order.ended(time.monotonic(), lasted_s)
        broker = self._order.current
        if broker != before:
            self._client.connect_async(broker.host, broker.port, KEEPALIVE)

    def _on_message(self, _client: Any, _user: Any, message: mqtt.MQTTMessage) -> None:
        self._enqueue(BrokerEvent(message.topic, bytes(message.payload), message.retain))


@contextmanager
def key_by_key(terminal: int) -> Iterator[None]:
    """Let keys come one by one and unseen, and put the terminal back as it was, whatever happens."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        with suppress(termios.error):  # it has gone
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _now() -> datetime:
    return datetime.now(UTC)
