"""Run many devices in one process. The main loop of the package is `run_fleet`.

One asyncio loop, one MQTT connection per device. 2,000 devices at one reading a second took two thirds of a processor
core and 105 MB (CPython 3.11, 2.6 GHz), most of it in aiomqtt and paho. Each connection is an open file.
"""

import asyncio
import errno
import resource
from collections.abc import Callable, Sequence
from typing import Any

from devices.fleet_stats import FleetStats
from devices.outbox.file import OutboxFile
from devices.outbox.queue import CAPACITY, Outbox
from devices.producer import Producer
from devices.publisher import OnPuback, Publisher
from devices.source import Source
from identity.enrolment import check_name
from mqtt.async_client import prepare_loop, running
from mqtt.endpoint import BrokerEndpoint
from vitals.errors import PermanentError
from vitals.log import Throttle, WaitLog
from vitals.sqlite_file import Emit
from vitals.topics import Topics

CONNECTS_PER_S = 400  # Mosquitto's accept queue holds 100 connections
OTHER_OPEN_FILES = 64  # open files that are not connections: standard streams, libraries, the loop's own
CONNECTED_POLL_S = 0.5  # interval between two checks for the end of an outage


async def run_fleet(
    sources: Sequence[Source],
    broker: BrokerEndpoint,
    topics: Topics,
    *,
    stop: asyncio.Event,
    capacity: int = CAPACITY,
    outbox_file: OutboxFile | None = None,
    on_puback: OnPuback | None = None,
    emit: Emit = lambda sentence: None,
    stats: FleetStats | None = None,
    endpoint_of: Callable[[str], BrokerEndpoint] | None = None,
) -> FleetStats:
    """Publish what `sources` measure until they end or `stop` is set; return the counts.

    capacity      readings that each device keeps until their receipts
    outbox_file   keeps them on disk too, so that they survive this process
    on_puback     called with (device, readings) for each PUBACK, except for resent readings
    emit          called with a sentence on an unavailable broker or a bad receipt; throttled, whatever the fleet's size
    stats         updated while running, for a progress line
    endpoint_of   returns the broker with a device's login; by default all log in as the user of `broker`

    1. Check the names and the limit of open files.
    2. Start each device: all produce by one clock, and connect one after the other.
    3. Wait for the end of the sources or for `stop`.
    4. Stop producing. Each device sends what waits, waits for its last receipts, publishes that it is offline, and
       disconnects.

    Raises PermanentError for names that a topic cannot contain, or for more devices than open files allow. While the
    broker is unavailable, devices retry.
    """
    check_names(sources)
    raise_open_files_limit(len(sources))
    stats = FleetStats(len(sources)) if stats is None else stats
    wait_log = WaitLog(f"the broker at {broker}", emit, " (retrying; readings are kept meanwhile)")
    bad_receipts = Throttle()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(ignore_closed_sockets)
    prepare_loop(loop, broker)

    def on_failure(reason: str) -> None:
        wait_log.waiting(reason, loop.time())

    def on_bad_receipt(problem: str) -> None:
        if bad_receipts.due(loop.time()):
            more = bad_receipts.suppressed
            emit(f"a receipt was ignored: {problem}" + (f" ({more} more since the last line)" if more else ""))

    outboxes = [Outbox(capacity) for _ in sources]
    if outbox_file is not None:
        sources, outboxes = _restore_outboxes(outbox_file, sources, capacity, stats)
    producers = [Producer(source, outbox, stats) for source, outbox in zip(sources, outboxes, strict=True)]
    publishers = [
        Publisher(
            source,
            broker if endpoint_of is None else endpoint_of(source.device),
            topics,
            outbox=outbox,
            supply=producer,
            stats=stats,
            on_failure=on_failure,
            on_bad_receipt=on_bad_receipt,
            on_puback=on_puback,
        )
        for source, outbox, producer in zip(sources, outboxes, producers, strict=True)
    ]
    producing: list[asyncio.Task[None]] = []
    delivering: list[asyncio.Task[None]] = []

    async def shut_down() -> None:
        await stop.wait()
        for task in producing:
            task.cancel()
        for publisher in publishers:
            publisher.request_shutdown()
        await asyncio.sleep(max(publisher.shutdown_timeout_s for publisher in publishers) + 1.0)
        for task in delivering:
            task.cancel()

    start = loop.time()
    recovery = _report_recovery(wait_log, stats, lambda: emit(f"connected to the broker at {broker}"))
    async with running(recovery, shut_down()), asyncio.TaskGroup() as group:
        producing += [group.create_task(producer.run(start)) for producer in producers]
        delivering += [group.create_task(p.deliver(i / CONNECTS_PER_S)) for i, p in enumerate(publishers)]
    return stats


def _restore_outboxes(
    file: OutboxFile, sources: Sequence[Source], capacity: int, stats: FleetStats
) -> tuple[list[Source], list[Outbox]]:
    """Return the sources with boots that no earlier run had, and outboxes with the readings that those runs left."""
    starts = file.begin(sources)
    outboxes = [Outbox(capacity, start.journal, start.receipts) for start in starts]
    for start, outbox in zip(starts, outboxes, strict=True):
        stats.restored += len(start.pending)
        outbox.restore(start.pending)
        stats.dropped += outbox.dropped
    return [start.source for start in starts], outboxes


def check_names(sources: Sequence[Source]) -> None:
    """Raise PermanentError if a ward or device cannot be a topic level, or if two devices have one name."""
    seen: set[str] = set()
    for source in sources:
        check_name("ward", source.ward)
        check_name("device", source.device)
        if source.device in seen:
            raise PermanentError(
                f"two devices are named {source.device!r}; the broker keeps only one connection per name"
            )
        seen.add(source.device)


def raise_open_files_limit(devices: int) -> None:
    """Raise the limit of open files for `devices` connections; PermanentError if it cannot be high enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = devices + OTHER_OPEN_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise PermanentError(
                f"{devices} devices need {needed} open files, but the limit is {hard}; "
                f"raise it (ulimit -n {needed}) or start fewer devices"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def ignore_closed_sockets(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report errors of the loop except one that is known and harmless.

    aiomqtt registers its socket with the loop in a later iteration; if the connection is closed by then, the loop
    finds a bad file descriptor. The device notices the lost connection by other means.
    """
    error = context.get("exception")
    if not (isinstance(error, OSError) and error.errno == errno.EBADF):
        loop.default_exception_handler(context)


async def _report_recovery(wait_log: WaitLog, stats: FleetStats, on_recovery: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(CONNECTED_POLL_S)
        if stats.connected == stats.devices and wait_log.over():
            on_recovery()
