"""How fast an edge receives, commits and acknowledges HL7, beside python-hl7 that only parses the same messages.

Twenty monitors, each of which sends its next report after the answer to the last one. The commits are synced to the
disk. The ratio is what to compare: it holds on a slow machine as on a fast one.
"""

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from bench.environment import Environment
from bench.report import Figures, Log
from bench.resource_usage import cpu_seconds
from stack.servers import free_port
from tests.support.edge import EdgeProcess, report, site_text
from tests.support.servers import eventually

CONNECTIONS = 20
ROUNDS = 3
Send = Callable[[int, Sequence[bytes]], Coroutine[None, None, None]]
"""Sends messages to a port on one connection, each after the answer to the last one."""
CODES = {
    "147842^MDC_ECG_HEART_RATE^MDC": 72,
    "150456^MDC_PULS_OXIM_SAT_O2^MDC": 97,
    "151562^MDC_RESP_RATE^MDC": 16,
    "150364^MDC_TEMP_BODY^MDC": 37,
    "150021^MDC_PRESS_BLD_NONINV_SYS^MDC": 121,
    "150022^MDC_PRESS_BLD_NONINV_DIA^MDC": 78,
}


def edges(servers: Environment, messages: int, log: Log) -> Figures:
    """Send so many messages in each round; return messages per second, and their ratio to those of python-hl7.

    The broker is unreachable in the first table row: what is received is committed and acknowledged, as always.
    """
    import hl7  # type: ignore[import-untyped]  # imported here: only this measurement needs it

    beds = [f"bed-{number:02}" for number in range(CONNECTIONS)]
    site = servers.folder / "site.toml"
    site.write_text(site_text(beds))

    def measure(name: str, edge: EdgeProcess, number: int) -> tuple[float, ...]:
        ready = _reports(beds, messages // CONNECTIONS, number)
        texts = [message.decode() for of_bed in ready[:2] for message in of_bed[:200]]
        parsed = _measure(len(texts), time.process_time, partial(deque, map(hl7.parse, texts), 0))
        received = measure_edge(edge, _send, ready)
        log(f"broker {name}: {received[0]:.0f} messages/s acknowledged, {parsed[0]:.0f}/s parsed by python-hl7")
        return *received, *parsed, received[0] / parsed[0]

    rows = [
        {
            "broker": name,
            "acknowledged_per_s": round(rate),
            "python_hl7_per_s": round(parsed_rate),
            "ratio": round(ratio, 2),
            "cpu_us": round(cpu),
            "python_hl7_cpu_us": round(parsed_cpu),
        }
        for name, (rate, cpu, parsed_rate, parsed_cpu, ratio) in medians(servers, site, "hl7", measure)
    ]
    return {"connections": CONNECTIONS, "messages": messages, "rates": rows}


def medians(
    servers: Environment, site: Path, kind: str, measure: Callable[[str, EdgeProcess, int], tuple[float, ...]]
) -> Iterator[tuple[str, list[float]]]:
    """Yield the state of the broker and the medians of ROUNDS calls of `measure`, without a broker and with one.

    measure   takes the state of the broker, the edge, and the number of the round
    """
    for name, url in (("unreachable", f"mqtt://127.0.0.1:{free_port()}"), ("publishing", servers.broker.url)):
        inbox, journal = servers.folder / f"{kind}-{name}.db", servers.folder / f"{kind}-{name}.log"
        edge = EdgeProcess({"VITALFLOW_MQTT_URL": url}, site, inbox, journal, kind=kind).start(wait=False)
        eventually(partial(_listens, edge), 30, "the edge listens")
        try:
            rounds = [measure(name, edge, number) for number in range(ROUNDS)]
        finally:
            edge.stop()
        yield name, [statistics.median(column) for column in zip(*rounds, strict=True)]


def _measure(messages: int, cpu_s: Callable[[], float], work: Callable[[], object]) -> tuple[float, float]:
    """Return messages per second, and microseconds of processor time per message."""
    began, used = time.perf_counter(), cpu_s()
    work()
    return messages / (time.perf_counter() - began), (cpu_s() - used) / messages * 1e6


def measure_edge(edge: EdgeProcess, send: Send, ready: Sequence[Sequence[bytes]]) -> tuple[float, float]:
    """Let each sender send its messages at one time; return messages per second, and microseconds of the edge each."""

    async def send_all() -> None:
        async with asyncio.TaskGroup() as group:
            for messages in ready:
                group.create_task(send(edge.port, messages))

    pid = edge.process.pid if edge.process is not None else None
    assert pid is not None
    cpu_s = partial(cpu_seconds, pid)
    return _measure(sum(map(len, ready)), cpu_s, lambda: asyncio.run(send_all()))


def _listens(edge: EdgeProcess) -> bool:
    """Return whether the edge has logged that it listens."""
    return "listening for" in edge.said()


def _reports(beds: Sequence[str], count: int, number: int) -> list[list[bytes]]:
    """Return the reports of each bed, none of which is equal to another."""
    begin = datetime.now(UTC) - timedelta(hours=2 - number * 0.5)
    return [
        [report(bed, number * count + one, begin + timedelta(milliseconds=10 * one), CODES) for one in range(count)]
        for bed in beds
    ]


async def _send(port: int, messages: Sequence[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for message in messages:
        writer.write(b"\x0b" + message + b"\x1c\r")
        answer = await reader.readuntil(b"\x1c\r")
        if b"MSA|AA|" not in answer:
            raise RuntimeError(f"not acknowledged: {answer!r}")
    writer.close()
    await writer.wait_closed()
