"""Hostile bytes over many connections: the listener and the reading of messages survive, and the counts add up.

VITALFLOW_TEST_HOSTILE_FRAMES=100000 makes it a long test.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil

from edges.config.site import Site, read_site
from edges.hl7.client import Client, Receiver
from edges.hl7.frames import MAX_FRAME, frame
from edges.hl7.listener import Listener, Peer, serve
from edges.hl7.pcd01 import write_report
from edges.hl7.receive import receive
from edges.hl7.simulate import simulated_beds, site_file
from edges.hl7.write import Origin
from edges.listener.access import Access
from tests.support.factories import NOW
from vitals.reading import reading

FRAMES = int(os.environ.get("VITALFLOW_TEST_HOSTILE_FRAMES", "3000"))
PER_CONNECTION = 100
MAX_GROWTH = 50 * 2**20  # bytes of memory

REPORT = write_report(
    reading(NOW, {"heart_rate": 71.0, "spo2": 97.0, "temperature": 36.6}), Origin("SIM", "SIM", "01"), "N-1", NOW
)
PARTS = [b"|", b"^", b"~", b"\\", b"&", b"\r", b"\n", b"\x0b", b"\x1c", b"\x1c\r", b"MSH|", b"OBX|", b"\\X41\\", b"\0"]
CHARSETS = [b"UNICODE UTF-8", b"8859/1", b"GB 18030-2000", b"ISO IR87", b"UNICODE", b"no such one", b"~~~"]
TYPES = [b"ORU^R01", b"ADT^A01", b"ADT^A40", b"ORU^R40", b"ACK", b"", b"^", b"ORU"]


def hostile_frames(seed: int, count: int) -> Iterator[bytes]:
    """Bytes that are a frame, or nearly one."""
    random = Random(seed)
    for _ in range(count):
        content = bytearray(REPORT)
        for _ in range(random.randrange(6)):
            at = random.randrange(len(content) + 1)
            match random.randrange(7):
                case 0:
                    content[at : at + 1] = random.randbytes(1)
                case 1:
                    del content[at : at + random.randrange(40)]
                case 2:
                    content[at:at] = random.choice(PARTS) * random.choice([1, 1, 2, 500])
                case 3:
                    content[at:at] = content[: random.randrange(len(content) + 1)]
                case 4:
                    content = content.replace(b"UNICODE UTF-8", random.choice(CHARSETS))
                case 5:
                    content = content.replace(b"ORU^R01", random.choice(TYPES))
                case 6:
                    content[at:at] = random.randbytes(random.choice([3, 30, 300]))
        match random.randrange(40):
            case 0:
                yield bytes(content)  # no frame
            case 1:
                yield b"\x0b" + bytes(content)
            case 2:
                yield bytes(content) + b"\x1c\r"
            case 3:
                yield frame(b"\x0b".join([bytes(content)] * 3))
            case _:
                yield frame(bytes(content)) + random.choice([b"", b"\r\n", b"\0"])
        if random.randrange(1000) == 0:
            yield frame(b"MSH|^~\\&|" + random.randbytes(8) * (MAX_FRAME // 8))


async def send(listener: Listener, content: bytes, cut: int) -> None:
    """Send bytes in parts of `cut` on a connection of their own, and read the answers to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    reading_answers = asyncio.create_task(reader.read())
    for begin in range(0, len(content), cut):
        writer.write(content[begin : begin + cut])
        await writer.drain()
    writer.write_eof()
    await reading_answers
    writer.close()
    await writer.wait_closed()


def test_hostile_frames_are_answered_or_counted_and_cost_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(site_file(simulated_beds(1, "icu-1")))
    site: Site = read_site(path)
    verdicts = 0

    async def handle(content: bytes, peer: Peer) -> list[bytes]:
        nonlocal verdicts
        received = receive(content, site, NOW)
        verdicts += len(getattr(received.report, "verdicts", ()))
        return received.answers

    async def story() -> None:
        memory = psutil.Process().memory_info
        async with serve("127.0.0.1", 0, handle, Access()) as listener:
            begins = before = 0
            for number in range(FRAMES // PER_CONNECTION):
                content = b"".join(hostile_frames(number, PER_CONNECTION))
                begins += content.count(b"\x0b")
                await send(listener, content, [len(content), 1000, 65_536, 1 << 20][number % 4])
                before = before or memory().rss
            while listener.open:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            counts = listener.counts
            assert begins == counts.messages + counts.incomplete + counts.oversized
            assert counts.messages == counts.answers + counts.unanswered
            assert (counts.failed, counts.timed_out, counts.rejected.total()) == (0, 0, 0)
            assert min(counts.answers, counts.invalid, counts.incomplete, counts.noise, verdicts) > FRAMES // 100
            assert memory().rss - before < MAX_GROWTH
            async with Client(Receiver("127.0.0.1", listener.port)) as client:
                assert (await client.send(REPORT)).code == "AA"

    asyncio.run(story())
