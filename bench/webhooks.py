"""How fast an edge keeps and answers webhooks: twenty senders, each with its next document after the answer.

The commits are synced to the disk, and the broker is unreachable in the first row: what is received is kept, as always.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bench.edges import CONNECTIONS, measure_edge, medians
from bench.environment import Environment
from bench.report import Figures, Log
from tests.support.edge import EdgeProcess
from tests.support.webhook import SECRET, heart_rates, webhook_site


def webhooks(servers: Environment, documents: int, log: Log) -> Figures:
    """Send so many documents of one reading in each round; return documents per second that were kept before 2xx."""
    devices = [f"phone-{number:02}" for number in range(CONNECTIONS)]
    site = webhook_site(servers.folder, devices)

    def measure(name: str, edge: EdgeProcess, number: int) -> tuple[float, ...]:
        ready = [_requests(device, documents // CONNECTIONS, number) for device in devices]
        found = measure_edge(edge, _send, ready)
        log(f"broker {name}: {found[0]:.0f} documents/s kept and answered")
        return found

    rows = [
        {"broker": name, "documents_per_s": round(rate), "cpu_us": round(cpu)}
        for name, (rate, cpu) in medians(servers, site, "webhook", measure)
    ]
    return {"connections": CONNECTIONS, "documents": documents, "rates": rows}


def _requests(device: str, count: int, number: int) -> list[bytes]:
    """Return the requests of a device, none of which is equal to another."""
    begin = datetime.now(UTC) - timedelta(hours=2 - number * 0.5)
    bodies = (heart_rates((begin + timedelta(milliseconds=10 * one), 60 + one % 60)) for one in range(count))
    head = f"POST /webhooks/{device} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: "
    return [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]


async def _send(port: int, requests: Sequence[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        writer.write(request)
        header = await reader.readuntil(b"\r\n\r\n")
        if not header.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"not kept: {header!r}")
        length = header.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    writer.close()
    await writer.wait_closed()
