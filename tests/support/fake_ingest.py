"""A simple ingest for the tests of devices: it keeps readings in a set and publishes receipts, or does not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.fleet import Name
from tests.support.servers import eventually
from vitals.receipt import Receipt, encode_receipt, ranges
from vitals.topics import Topics


class FakeIngest:
    """Keeps readings on a clean session, and tells every `every_s` seconds what is new.

    received  names of all readings, as often and in the order they came
    stored    their names, once
    values    by name: the reading as it came first, alone or in an array
    blind     decides which readings never arrived: (name, how often it was received before)
    silent    no receipts are given
    """

    def __init__(self, port: int, every_s: float) -> None:
        self.received: list[Name] = []
        self.payloads: list[tuple[str, Any]] = []
        self.stored: set[Name] = set()
        self.values: dict[Name, Any] = {}
        self.blind: Callable[[Name, int], bool] = lambda name, before: False
        self.silent = False
        self._new: dict[tuple[str, str, int], set[int]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._every_s = every_s
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(Topics().all_vitals, 1) and None
        self._client.on_message = self._keep
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._tell, name="receipts")
        self._thread.start()
        eventually(self._client.is_connected, 20, "the played ingest connects")

    def _keep(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        values = msgspec.json.decode(message.payload)
        ward, device = message.topic.split("/")[-2:]
        with self._lock:
            self.payloads.append((message.topic, values))
            for one in values if isinstance(values, list) else [values]:
                name = (device, one["boot"], one["seq"])
                before = self.received.count(name) if len(self.received) < 5000 else 0
                self.received.append(name)
                self.values.setdefault(name, one)
                if not self.blind(name, before):
                    self.stored.add(name)
                    self._new.setdefault((ward, device, one["boot"]), set()).add(one["seq"])

    def _tell(self) -> None:
        while not self._over.wait(self._every_s):
            if self.silent:
                continue
            with self._lock:
                new, self._new = self._new, {}
            for (ward, device, boot), seqs in new.items():
                self.give(ward, device, encode_receipt(Receipt(boot=boot, stored=ranges(seqs))))

    def give(self, ward: str, device: str, payload: bytes) -> None:
        """Publish a receipt, or what is to be taken for one."""
        self._client.publish(Topics().receipts(ward, device), payload, qos=1)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def fake_ingest(port: int, every_s: float = 0.5) -> Iterator[FakeIngest]:
    """An ingest for the time of the block."""
    played = FakeIngest(port, every_s)
    try:
        yield played
    finally:
        played.close()
