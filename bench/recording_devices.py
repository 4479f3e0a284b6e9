"""Devices in a process of their own that record every reading they generate, for `chaos` to count and to kill.

The real fleet, with a source that also keeps a record. A line is with the operating system before the fleet sees
the reading, so the record survives a kill -9 of the process (not of the machine; nor does anything else here).

    made DEVICE BOOT SEQ STAMP UNIX-TIME SPO2      the reading has been made
    taken DEVICE BOOT SEQ STAMP UNIX-TIME          the broker has acknowledged it

BOOT, SEQ and STAMP name the reading as the table does (`name`). A third of the devices number nothing, and the clocks
of a third are wrong (`kind_of`).
"""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from io import RawIOBase
from pathlib import Path

from devices.fleet import run_fleet
from devices.outbox.file import OutboxFile
from devices.simulated_ward import simulated_ward
from devices.source import Source
from mqtt.endpoint import BrokerEndpoint
from stack.servers import Server
from vitals.codec import ANY_TIME, decode, encode
from vitals.reading import Reading, stored_seq
from vitals.sample import Sample
from vitals.topics import Topics

Samples = Iterator[tuple[float, Sample | None]]
DELIVERED_WITHIN = 60.0  # seconds after the last reading, for all of them to be delivered
STEADY, INTERMITTENT = "steady-", "moody-"  # devices whose alarm holds all the time, and comes and goes
LOW_S, WELL_S = 12.0, 8.0  # seconds that a moody one is ill and well
MESSAGES_PER_SAMPLE = 2.0  # on average: a third of the devices publishes four signs one by one

PLAN = "DEVICE_PLAN"
"""Variable of the environment with the plan of the process."""

Name = tuple[str, int, int, int]
"""What names a reading: device, boot, seq or digest, and for a digest the stamp in milliseconds (else 0)."""


@dataclass(frozen=True)
class DeviceKind:
    """How a device names and stamps its readings. `suffix`: of its name."""

    suffix: str = ""
    numbered: bool = True
    ahead: timedelta = timedelta()


WRONG_CLOCK = "-wrong-clock"
UNNUMBERED = DeviceKind("-unnumbered", numbered=False)
WRONG_CLOCKS = tuple(DeviceKind(f"{WRONG_CLOCK}{ahead}", ahead=timedelta(seconds=ahead)) for ahead in (-90, 60, -3600))


def kind_of(number: int) -> DeviceKind:
    """Return what the device with this number is: a third each numbered, unnumbered, and with a wrong clock."""
    return (DeviceKind(), UNNUMBERED, WRONG_CLOCKS[number // 3 % len(WRONG_CLOCKS)])[number % 3]


def name(device: str, reading: Reading) -> Name:
    """Return the name under which a reading is stored, once it has been published and decoded."""
    (reading,) = decode(encode(reading), ANY_TIME).readings  # 97 becomes 97.0
    stamp = 0 if reading.seq else round(reading.time.timestamp() * 1000)
    return device, reading.boot, stored_seq(reading), stamp


@dataclass(frozen=True)
class DevicePlan:
    """What a process of devices is to be; `outbox` is its file. `watched` makes half of them steady, half moody.

    ca       certificate of the CA of the broker, for mqtts://
    prefix   of the numbers of watched devices, for a second ward of these
    """

    mqtt_url: str
    ward: str
    devices: int
    interval_s: float
    record: str
    outbox: str
    watched: bool = False
    ca: str | None = None
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class RecordedSource(Source):
    """A source that passes every reading to `made` before the fleet gets it, with the time of a clock that is right.

    ahead    how far the device's own clock is ahead
    """

    made: Callable[[str, Reading, datetime], None] = lambda device, reading, now: None
    ahead: timedelta = timedelta()

    def stamp(self, sample: Sample, seq: int, now: datetime) -> Reading:
        """Name a sample, and write it down. A device that numbers nothing stamps whole seconds, as most of them do."""
        time = now + self.ahead
        reading = Source.stamp(self, sample, seq, time if self.numbered else time.replace(microsecond=0))
        self.made(self.device, self.published(reading), now)
        return reading


class DeviceProcess(Server):
    """The process, as `chaos` starts and kills it."""

    def __init__(self, plan: DevicePlan, log: Path) -> None:
        # Its URL has a password, which an argument would show to everyone on this machine.
        environ = {**os.environ, PLAN: json.dumps(asdict(plan))}
        super().__init__(plan.ward, [sys.executable, "-m", "bench.recording_devices"], log, self._records, environ)
        self.plan = plan
        self.last_lines: list[str] = []
        """For each kill the last line of the record: see `accounting`."""
        self._before = 0

    def launch(self) -> None:
        """Start it and do not wait."""
        self._before = self._size()
        super().launch()

    def kill(self) -> None:
        """kill -9."""
        alive = self.is_alive()
        super().kill()
        if alive:
            self.last_lines.append(last_made(Path(self.plan.record)))

    def finish(self) -> None:
        """Make no more readings, deliver those there are, end; returns once it has ended."""
        if self.process is not None:
            self.signal(signal.SIGTERM)
            self.process.wait(DELIVERED_WITHIN + 20)
            self.process = None

    def _size(self) -> int:
        record = Path(self.plan.record)
        return record.stat().st_size if record.exists() else 0

    def _records(self) -> bool:
        return self._size() > self._before


def last_made(record: Path) -> str:
    """The last reading that was written down; nothing where there is none."""
    lines = record.read_text().splitlines(keepends=True) if record.exists() else []
    return next((line for line in reversed(lines) if line.startswith("made ") and line.endswith("\n")), "")


async def run(plan: DevicePlan, record: RawIOBase) -> None:
    """Be the devices of `plan` until SIGTERM; then deliver what is left."""
    ending = asyncio.Event()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def last_round() -> None:
        ending.set()
        loop.call_later(DELIVERED_WITHIN, stop.set)

    def made(device: str, reading: Reading, now: datetime) -> None:
        record.write(_line("made", *name(device, reading), now.timestamp(), reading.value("spo2")))

    def on_puback(device: str, readings: Sequence[Reading]) -> None:
        now = time.time()
        published = by_name[device].published
        record.write(b"".join(_line("taken", *name(device, published(reading)), now) for reading in readings))

    loop.add_signal_handler(signal.SIGTERM, last_round)
    beds = simulated_ward(plan.devices, ward=plan.ward, boot=int(time.time()), seed=7, interval_s=plan.interval_s)
    sources = [_recorded(source, plan, made, ending.is_set) for source in beds]
    by_name = {source.device: source for source in sources}
    outbox = OutboxFile(Path(plan.outbox), lambda sentence: print(sentence, file=sys.stderr, flush=True))  # noqa: T201
    broker = replace(BrokerEndpoint.parse(plan.mqtt_url), ca=None if plan.ca is None else Path(plan.ca))
    await run_fleet(sources, broker, Topics(), stop=stop, outbox_file=outbox, on_puback=on_puback)
    outbox.close()


def _line(event: str, *fields: object) -> bytes:
    return f"{event} {' '.join(map(str, fields))}\n".encode()


def _recorded(
    source: Source, plan: DevicePlan, made: Callable[[str, Reading, datetime], None], over: Callable[[], bool]
) -> RecordedSource:
    fields = {field: getattr(source, field) for field in Source.__dataclass_fields__}
    number = int(source.device.rpartition("-")[2])
    kind = kind_of(number)
    if plan.watched:
        fields["device"] = f"{STEADY if number % 2 else INTERMITTENT}{plan.prefix}{number}"
        fields["samples"] = _watched(plan.interval_s, number)
    samples = itertools.takewhile(lambda _: not over(), fields["samples"])
    fields |= {"device": f"{fields['device']}{kind.suffix}", "numbered": kind.numbered}
    fields["samples"] = samples if kind.numbered else _by_sign(samples)
    return RecordedSource(**fields, made=made, ahead=kind.ahead)


def _watched(interval_s: float, number: int) -> Samples:
    for moment in (count * interval_s for count in itertools.count()):
        if number % 2:
            values = {"heart_rate": 150.0, "spo2": 97.0}
        else:
            is_low = (moment + 1.7 * number) % (LOW_S + WELL_S) < LOW_S
            values = {"heart_rate": 70.0, "spo2": 91.0 if is_low else 97.0}
        yield moment, Sample(values)


def _by_sign(samples: Samples) -> Samples:
    for due, sample in samples:
        yield from ((due, part) for part in (sample.by_sign() if sample else [None]))


if __name__ == "__main__":
    plan = DevicePlan(**json.loads(os.environ[PLAN]))
    with Path(plan.record).open("ab", buffering=0) as opened:
        asyncio.run(run(plan, opened))
