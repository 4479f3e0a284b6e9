"""How fast an edge receives, commits and acknowledges HL7, beside python-hl7 that only parses the same messages.

Twenty monitors, each of which sends its next report after the answer to the last one. The commits are synced to the
disk. The ratio is what to compare: it holds on a slow machine as on a fast one. The edge publishes the readings in the
same time, which its processor time includes.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psutil

from bench.environment import Environment
from bench.report import Figures, Log
from tests.support.edge import EdgeProcess, report, site_text

CONNECTIONS = 20
ROUNDS = 3
CODES = {
    "147842^MDC_ECG_HEART_RATE^MDC": 72,
    "150456^MDC_PULS_OXIM_SAT_O2^MDC": 97,
    "151562^MDC_RESP_RATE^MDC": 16,
    "150364^MDC_TEMP_BODY^MDC": 37,
    "150021^MDC_PRESS_BLD_NONINV_SYS^MDC": 121,
    "150022^MDC_PRESS_BLD_NONINV_DIA^MDC": 78,
}


def edges(servers: Environment, messages: int, log: Log) -> Figures:
    """Send so many messages in each round; return messages per second of both, and the ratio."""
    import hl7  # type: ignore[import-untyped]  # imported here: only this measurement needs it

    beds = [f"bed-{number:02}" for number in range(CONNECTIONS)]
    site = servers.folder / "site.toml"
    site.write_text(site_text(beds))
    edge = EdgeProcess(
        {"VITALFLOW_MQTT_URL": servers.broker.url}, site, servers.folder / "inbox.db", servers.folder / "edge.log"
    )
    edge.start()
    received, parsed, received_us, parsed_us = [], [], [], []
    try:
        for number in range(ROUNDS):
            ready = _reports(beds, messages // CONNECTIONS, number)
            texts = [message.decode() for of_bed in ready[:2] for message in of_bed[:200]]
            began, used = time.perf_counter(), time.process_time()
            for text in texts:
                hl7.parse(text)
            parsed.append(len(texts) / (time.perf_counter() - began))
            parsed_us.append((time.process_time() - used) / len(texts) * 1e6)
            began, used = time.perf_counter(), _cpu_s(edge)
            asyncio.run(_send_all(edge.port, ready))
            received.append(sum(map(len, ready)) / (time.perf_counter() - began))
            received_us.append((_cpu_s(edge) - used) / sum(map(len, ready)) * 1e6)
            log(f"{received[-1]:.0f} messages/s committed and acknowledged, {parsed[-1]:.0f}/s parsed by python-hl7")
        commits, accepted = edge.metric("commits_total"), edge.metric("messages_total", answer="accepted")
    finally:
        edge.stop()
    return {
        "connections": CONNECTIONS,
        "messages": messages,
        "acknowledged_per_s": round(statistics.median(received)),
        "python_hl7_parsed_per_s": round(statistics.median(parsed)),
        "ratio": round(statistics.median(a / b for a, b in zip(received, parsed, strict=True)), 2),
        "edge_cpu_us": round(statistics.median(received_us)),
        "python_hl7_cpu_us": round(statistics.median(parsed_us)),
        "messages_per_commit": round(accepted / commits, 1),
    }


def _cpu_s(edge: EdgeProcess) -> float:
    """Return the processor time of all threads of the edge."""
    assert edge.process is not None
    times = psutil.Process(edge.process.pid).cpu_times()
    return float(times.user + times.system)


def _reports(beds: Sequence[str], count: int, number: int) -> list[list[bytes]]:
    """Return the reports of each bed, none of which is equal to another."""
    begin = datetime.now(UTC) - timedelta(hours=2 - number * 0.5)
    return [
        [report(bed, number * count + one, begin + timedelta(milliseconds=10 * one), CODES) for one in range(count)]
        for bed in beds
    ]


async def _send_all(port: int, ready: Sequence[Sequence[bytes]]) -> None:
    async with asyncio.TaskGroup() as group:
        for messages in ready:
            group.create_task(_send(port, messages))


async def _send(port: int, messages: Sequence[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for message in messages:
        writer.write(b"\x0b" + message + b"\x1c\r")
        answer = await reader.readuntil(b"\x1c\r")
        if b"MSA|AA|" not in answer:
            raise RuntimeError(f"not acknowledged: {answer!r}")
    writer.close()
    await writer.wait_closed()
