"""Simulate thousands of devices in one process on a fraction of a core: the load of `live`.

Each has its own connection, client id, patient, will and birth, publishes one reading a second at QoS 1, and gets its
receipts, as a device of `devices` does, so the broker and everything behind it have the same work. What it is not: it
does not reconnect and sends nothing again; a connection lost is counted, and is a failure of the run. The real
`devices` program takes two thirds of a core for 2,000 devices, most of it in its MQTT library; with 5,000 there would
be no machine left to measure.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import tee

from bench import packets
from devices.fleet import CONNECTS_PER_S, raise_open_files_limit
from devices.simulated_ward import simulated_ward
from devices.source import Source
from vitals.codec import encode
from vitals.garbage_collection import make_full_collections_rare
from vitals.status import Status, encode_status
from vitals.topics import Topics

WARD = "load"
SLICE_S = 0.01  # readings that fall due within so long are sent together
KEEPALIVE_S = 15
PATIENTS = 200  # a multiple of 20: as many of each scenario as in a ward without copies
ANSWER_S = 20.0  # seconds at the end for the last acknowledgements


@dataclass
class LoadResult:
    """What the load generator did. `late_s`: how far the sending fell behind its schedule at worst."""

    devices: int
    published: int = 0
    acknowledged: int = 0
    receipts: int = 0
    disconnected: int = 0
    late_s: float = 0.0


class Device(asyncio.Protocol):
    """One device's connection."""

    def __init__(self, source: Source, topics: Topics, load: LoadResult) -> None:
        self.ready = asyncio.get_running_loop().create_future()
        self._source = source
        self._samples = iter(source.samples)
        self._topics = topics
        self._vitals = packets.text_bytes(topics.vitals(source.ward, source.device))
        self._load = load
        self._received = bytearray()
        self._seq = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send CONNECT."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        will = encode_status(Status(state="offline", boot=self._source.boot))
        status = self._topics.status(self._source.ward, self._source.device)
        transport.write(packets.connect(self._source.device, KEEPALIVE_S, status, will))

    def data_received(self, data: bytes) -> None:
        """Handle the broker's packets: nearly always one PUBACK."""
        if len(data) == 4 and data[0] >> 4 == packets.PUBACK and not self._received:
            self._load.acknowledged += 1
            return
        self._received += data
        for kind, number, _ in packets.parse_packets(self._received):
            match kind:
                case packets.PUBACK:
                    self._load.acknowledged += 1
                case packets.PUBLISH:
                    self._load.receipts += 1
                    if number:  # QoS 0 has no number and wants no answer
                        self._write(packets.puback(number))
                case packets.CONNACK:
                    self._publish_birth()
                case packets.SUBACK:
                    self.ready.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it: expected only at the end."""
        self._transport = None
        self._load.disconnected += 1

    def measure(self, now: datetime) -> None:
        """One reading, if the patient shows anything; else a ping, for a silent device is soon taken for dead."""
        if self._transport is None or not self.ready.done():
            return  # counted as disconnected, or not yet connected
        _, sample = next(self._samples)
        if sample is None:
            self._write(packets.PINGREQ)
            return
        self._seq += self._source.numbered
        for part in [sample] if self._source.numbered else sample.by_sign():
            self._publish(self._vitals, encode(self._source.stamp(part, self._seq, now)))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _publish_birth(self) -> None:
        source = self._source
        birth = Status(state="online", boot=source.boot, interval_s=source.interval_s, model=source.model)
        topic = packets.text_bytes(self._topics.status(source.ward, source.device))
        self._publish(topic, encode_status(birth), retain=True)
        self._write(packets.subscribe(self._topics.receipts(source.ward, source.device), 65_535))

    def _publish(self, topic: bytes, payload: bytes, retain: bool = False) -> None:
        self._load.published += 1
        self._write(packets.publish(topic, payload, 1 + self._load.published % 65_000, retain))

    def _write(self, packet: bytes) -> None:
        if self._transport is not None:
            self._transport.write(packet)


def sources(count: int, boot: int, numbered: bool) -> Iterator[Source]:
    """Yield `count` devices. Each PATIENTS-th shows the same signs, whose simulation takes a third of a device."""
    simulated = simulated_ward(count, ward=WARD, boot=boot, seed=7)
    shared = [
        tee(source.samples, 1 + (count - 1 - number) // PATIENTS) for number, source in enumerate(simulated[:PATIENTS])
    ]
    for number, source in enumerate(simulated):
        yield replace(source, numbered=numbered, samples=shared[number % PATIENTS][number // PATIENTS])


async def generate_load(port: int, count: int, numbered: bool) -> LoadResult:
    """Connect `count` devices, say so in a line, let each speak once a second from its connection until SIGTERM.

    numbered    False: no boot, no seq, and each sign in a message of its own
    """
    make_full_collections_rare()  # one stops all devices for 0.3 s, which would count as a delay of what is measured
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    raise_open_files_limit(count)
    load = LoadResult(count)
    devices: list[Device] = []
    publishing = asyncio.create_task(_publish_loop(devices, load, stop))
    for number, source in enumerate(sources(count, int(time.time()) if numbered else 0, numbered)):
        _, device = await loop.create_connection(lambda s=source: Device(s, Topics(), load), "127.0.0.1", port)  # type: ignore[misc]
        devices.append(device)
        if number % (CONNECTS_PER_S // 10) == 0:
            await asyncio.sleep(0.1)
    await asyncio.gather(*(device.ready for device in devices))
    print(f"{count} connected", flush=True)  # noqa: T201
    load.late_s, load.receipts = 0.0, 0  # the figures are those of all devices
    await publishing
    for _ in range(int(ANSWER_S / SLICE_S)):
        if load.acknowledged == load.published:
            break
        await asyncio.sleep(SLICE_S)
    load.published -= count  # births are no readings
    load.acknowledged -= count
    final = LoadResult(**asdict(load))
    for device in devices:
        device.close()
    return final


async def _publish_loop(devices: list[Device], load: LoadResult, stop: asyncio.Event) -> None:
    """Let those of `devices` that are connected so far measure, each at its time of every second."""
    start = time.perf_counter()
    done = 0
    while not stop.is_set():
        passed = time.perf_counter() - start
        due = min(int(passed * load.devices), done + load.devices)  # no device measures twice at one time
        now = datetime.now(UTC)
        for number in range(done, due):
            if (place := number % load.devices) < len(devices):
                devices[place].measure(now)
        load.late_s = max(load.late_s, passed - done / load.devices - SLICE_S)
        done = due
        await asyncio.sleep(SLICE_S)


if __name__ == "__main__":
    _, port_, count_, kind = sys.argv
    result = asyncio.run(generate_load(int(port_), int(count_), kind == "numbered"))
    print(json.dumps(asdict(result)), flush=True)  # noqa: T201
