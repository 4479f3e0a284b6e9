"""`vitalflow bench station`: from a reading's publication to the pixels of a page, and what the server costs.

A ward of simulated monitors, real pages in Chromium, and beside them streams that read what a page reads, so that the
number of browsers is not bounded by the machine that draws them. One more browser never reads: it must cost the others
nothing. All on one machine, so that its clock is the only one.
"""

import asyncio
import os
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from statistics import quantiles
from typing import Any

import msgspec

from bench.environment import Environment
from bench.report import Figures, Log
from bench.resource_usage import Usage
from bench.services import counter, running
from stack.servers import Service

SETTLE = 8.0  # seconds before anything is counted
WALL = {"width": 1920, "height": 1080}


class _Bed(msgspec.Struct):
    time: int = 0


class _Frame(msgspec.Struct):
    snapshot: bool = False
    beds: list[_Bed] = []


_decode = msgspec.json.Decoder(_Frame).decode


def station(environment: Environment, beds: int, browsers: int, pages: int, seconds: float, log: Log) -> Figures:
    """Measure. `browsers` in all, `pages` of them real ones.

    Latencies run from the reading's own time: of pages to the end of the screen's frame that shows it, of streams to
    the frame that has it.
    """
    settings = {"VITALFLOW_STATION_SERVICES": "alerts"}
    with (
        running(environment, "station", settings=settings) as program,
        running(environment, "alerts", "run"),
        monitors(environment, beds),
    ):
        log(f"{beds} beds at 1 Hz, {browsers} browsers, {pages} of them real pages and one more that never reads")
        return asyncio.run(_look(environment, program, beds, browsers, pages, seconds))


@contextmanager
def monitors(environment: Environment, beds: int, ward: str = "icu-1") -> Iterator[None]:
    """Simulated monitors while the block runs; they serve nothing, and are up once they live."""
    fleet = ["simulate", "--count", str(beds), "--interval", "1", "--ward", ward, "--seed", "7"]
    line = [sys.executable, "-m", "devices", *fleet, "--scenario", "mixed"]
    environ = {**os.environ, "VITALFLOW_MQTT_URL": environment.broker.url}
    fleet_of_them = Service("devices", line, environment.folder / f"devices-{ward}.log", environ)
    fleet_of_them.start()
    try:
        yield
    finally:
        fleet_of_them.stop()


async def _look(
    environment: Environment, program: Any, beds: int, browsers: int, pages: int, seconds: float
) -> Figures:
    latencies: list[float] = []
    counting = asyncio.Event()
    async with AsyncExitStack() as stack:
        names = [f"reader-{number}" for number in range(browsers - pages)]
        streams = [asyncio.create_task(_read(program.port, name, latencies, counting)) for name in names]
        slow = await _never_reads(program.port)
        opened = [await stack.enter_async_context(_page(program.port)) for _ in range(pages)]
        await asyncio.sleep(SETTLE)
        for page, _, _ in opened:
            await page.evaluate("latencies.length = 0")
        heaps = [await _heap(session) for _, session, _ in opened]
        usage = Usage({"station": program.pid})
        frames, sent = counter(program, "frames_sent_total"), counter(program, "frames_sent_bytes_total")
        counting.set()
        begun = time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - begun
        used = usage.stop()["station"]
        frames = counter(program, "frames_sent_total") - frames
        sent = counter(program, "frames_sent_bytes_total") - sent
        counting.clear()
        found = []
        for (page, session, complaints), heap in zip(opened, heaps, strict=True):
            shown = await page.evaluate("latencies")
            heap_mib = {"heap_mib_begin": heap, "heap_mib_end": await _heap(session)}
            found.append({**_percentiles(shown), **heap_mib, "console_errors": complaints})
        fell_behind = counter(program, "slow_clients_total")
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        slow.close()
    return {
        "beds": beds,
        "browsers": browsers,
        "seconds": round(took, 1),
        "pages": found,
        "streams": _percentiles(latencies),
        "slow_browser_fell_behind": int(fell_behind),
        "frames_per_s": round(frames / took, 1),
        "megabytes_per_s": round(sent / took / 1e6, 2),
        "station_cores": used.cores,
        "station_peak_mib": used.peak_mib,
        "machine": environment.machine,
    }


async def _read(port: int, name: str, latencies: list[float], counting: asyncio.Event) -> None:
    """Read the stream as a page does, and note how old each reading is when it is there."""
    reader, writer = await _ask(port, name)
    try:
        while line := await reader.readline():
            if not line.startswith(b"data: {") or not counting.is_set():
                continue
            now = time.time() * 1000
            frame = _decode(line[6:])
            if not frame.snapshot:
                latencies.extend(now - bed.time for bed in frame.beds if bed.time)
    finally:
        writer.close()


async def _never_reads(port: int) -> asyncio.StreamWriter:
    _, writer = await _ask(port, "slow", limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return writer


async def _ask(port: int, name: str, limit: int = 4 * 2**20) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An event stream with its own login and connection, like that of a browser."""
    cookie = await asyncio.to_thread(sign_in, port, name)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    head = f"GET /ui/live HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\nAccept: text/event-stream\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()
    return reader, writer


def sign_in(port: int, name: str) -> str:
    """Sign in at a station whose broker lets everybody in; the Cookie header."""
    content = msgspec.json.encode({"name": name, "password": "any word"})
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/signin", content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return str(answer.headers["Set-Cookie"]).partition(";")[0]


@asynccontextmanager
async def _page(port: int) -> AsyncIterator[tuple[Any, Any, list[str]]]:
    """A page of its own Chromium, its debugger, and what it complains of."""
    from playwright.async_api import async_playwright  # only here: it is for tests and measurements

    from tests.support.chromium import find
    from tests.support.page_scripts import LATENCIES

    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find(), args=["--no-sandbox"])
        page = await browser.new_page(viewport=WALL)  # type: ignore[arg-type]
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        await page.add_init_script(LATENCIES)
        name, _, token = (await asyncio.to_thread(sign_in, port, "page")).partition("=")
        await page.context.add_cookies([{"name": name, "value": token, "url": f"http://127.0.0.1:{port}"}])
        for _ in range(3):  # Chromium breaks off where the machine's network changes
            await page.goto(f"http://127.0.0.1:{port}/")
            with suppress(Exception):
                await page.wait_for_selector(".tile", timeout=10_000)
                break
        complaints.clear()
        yield page, await page.context.new_cdp_session(page), complaints
        await browser.close()


async def _heap(session: Any) -> float:
    """What the page's scripts hold, after a collection, in MiB."""
    await session.send("HeapProfiler.collectGarbage")
    used = await session.send("Runtime.getHeapUsage")
    return round(float(used["usedSize"]) / 2**20, 2)


def _percentiles(values: list[float]) -> Figures:
    cuts = quantiles(values, n=20) if len(values) > 1 else [0.0] * 19
    return {"readings": len(values), "p50_ms": round(cuts[9], 1), "p95_ms": round(cuts[18], 1)}
