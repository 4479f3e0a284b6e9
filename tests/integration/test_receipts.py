"""Receipts with a real broker: a device learns what is committed and what is rejected, and not before the COMMIT."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from stack.servers import BrokerServer, DatabaseServer
from tests.fixtures.ingest import MakeIngest
from tests.support.servers import Db, eventually
from vitals.codec import encode, encode_many
from vitals.reading import reading
from vitals.receipt import Receipt, decode_receipt


class Monitor:
    """A minimal device that records its receipts."""

    def __init__(self, port: int) -> None:
        self.receipts: list[tuple[float, Receipt]] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bed-1")
        self.client.on_connect = lambda client, *_: client.subscribe("vitalflow/receipts/icu-1/bed-1", 1) and None
        self.client.on_message = self._keep
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        eventually(self.client.is_connected, 10, "the monitor connects")

    def _keep(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self.receipts.append((time.monotonic(), decode_receipt(bytes(message.payload))))

    def send(self, payload: bytes) -> None:
        self.client.publish("vitalflow/vitals/icu-1/bed-1", payload, qos=1).wait_for_publish(10)

    def confirmed(self) -> tuple[set[int], set[int]]:
        """Return the seqs of boot 1 that receipts name as stored and as rejected."""
        stored: set[int] = set()
        rejected: set[int] = set()
        for _, receipt in self.receipts:
            assert receipt.boot == 1
            for first, last in receipt.stored:
                stored |= set(range(first, last + 1))
            for first, last in receipt.rejected:
                rejected |= set(range(first, last + 1))
        return stored, rejected


@contextmanager
def monitor(port: int) -> Iterator[Monitor]:
    device = Monitor(port)
    try:
        yield device
    finally:
        device.client.disconnect()
        device.client.loop_stop()


def a_reading(seq: int, patient: str = "p-1") -> bytes:
    now = datetime.now(UTC)
    return encode(reading(now, {"spo2": 97.0}, boot=1, seq=seq, patient_id=patient))


def test_a_device_learns_what_is_stored_and_what_is_rejected(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    with psycopg.connect(db.owner_url) as connection:
        connection.execute("ALTER TABLE patient_vitals ADD CONSTRAINT unlucky CHECK (patient_id <> 'bad')")
    make_ingest(broker.url, db, ingest_receipt_every_s=0.5)
    with monitor(broker.port) as device:
        for seq in (1, 2, 4):
            device.send(a_reading(seq))
        device.send(a_reading(5, "bad"))
        device.send(b'{"boot":1,"seq":6,"time":"1970-01-01T00:00:00Z","spo2":97}')
        device.send(b'{"boot":1,"seq":7,"spo2":97}')
        device.send(b"rubbish")
        now = datetime.now(UTC)
        backlog = [reading(now + timedelta(milliseconds=i), {"spo2": 97.0}, boot=1, seq=i) for i in range(10, 60)]
        device.send(encode_many(backlog))
        device.send(a_reading(1))  # the same boot and seq at another time: a row of its own
        eventually(lambda: device.confirmed() == ({1, 2, 4, *range(10, 60)}, {5, 6, 7}), 15, "what became of each")


def test_a_device_gets_at_most_one_receipt_per_interval(broker: BrokerServer, db: Db, make_ingest: MakeIngest) -> None:
    make_ingest(broker.url, db, ingest_receipt_every_s=2)
    with monitor(broker.port) as device:
        for seq in range(1, 41):
            device.send(a_reading(seq))
            time.sleep(0.1)
        eventually(lambda: device.confirmed()[0] == set(range(1, 41)), 15, "all forty")
        times = [at for at, _ in device.receipts]
    assert len(times) <= 5
    assert all(later - earlier > 1.5 for earlier, later in pairwise(times))


def test_no_receipt_names_a_reading_before_its_commit(
    broker: BrokerServer, own_database: tuple[DatabaseServer, Db], make_ingest: MakeIngest
) -> None:
    server, db = own_database
    ingest = make_ingest(broker.url, db, ingest_receipt_every_s=0.2)
    with monitor(broker.port) as device:
        server.stop_at_once()
        device.send(a_reading(1))
        eventually(lambda: ingest.metric("inflight_messages") == 1, 10, "it is in flight")
        time.sleep(1)
        assert device.receipts == []
        server.start()
        eventually(lambda: device.confirmed()[0] == {1}, 15, "the receipt")
        assert db.count() == 1


def test_sigterm_sends_all_pending_receipts(broker: BrokerServer, db: Db, make_ingest: MakeIngest) -> None:
    ingest = make_ingest(broker.url, db, ingest_receipt_every_s=600)
    with monitor(broker.port) as device:
        for seq in (1, 2, 3):
            device.send(a_reading(seq))
            eventually(lambda seq=seq: db.count() == seq, 10, "a row")  # type: ignore[misc]
        assert ingest.stop() == 0
        eventually(lambda: device.confirmed()[0] == {1, 2, 3}, 10, "the rest at the end")
