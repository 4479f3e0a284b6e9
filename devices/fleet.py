"""The story of this room: many devices in one process, from their first connection to their last word.

One asyncio loop, one MQTT connection a device. 2,000 devices at one reading a second took two thirds of a
processor core and 105 MB (CPython 3.11, 2.6 GHz), most of it in aiomqtt and paho; each needs an open file.
"""

import asyncio
import errno
import resource
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from devices.fleet_stats import FleetStats
from devices.outbox.file import OutboxFile
from devices.outbox.queue import CAPACITY, Outbox
from devices.publisher import OnPuback, Publisher
from devices.source import Source
from mqtt.endpoint import BrokerEndpoint
from vitals.errors import PermanentError
from vitals.log import Throttle, WaitLog
from vitals.topics import InvalidTopic, Topics

CONNECTS_PER_S = 400  # so many new connections a second; Mosquitto's queue for accepting is 100 long
OTHER_OPEN_FILES = 64  # open files that are not connections: standard streams, libraries, the loop's own
CONNECTED_POLL_S = 0.5  # seconds between two looks at whether all are connected

Emit = Callable[[str], None]


async def run_fleet(
    sources: Sequence[Source],
    broker: BrokerEndpoint,
    topics: Topics,
    *,
    stop: asyncio.Event,
    outbox: int = CAPACITY,
    file: OutboxFile | None = None,
    on_puback: OnPuback | None = None,
    emit: Emit = lambda sentence: None,
    stats: FleetStats | None = None,
    login: Callable[[str], BrokerEndpoint] | None = None,
) -> FleetStats:
    """Publish what `sources` measure until they have nothing more, or `stop` is set; returns the counts.

    outbox     readings a device keeps until their receipts
    file       where they are kept too, so that they outlive this process
    on_taken   hears (device, readings) for each PUBACK; not for what is sent again
    tell       hears the sentences about a broker that is away and the like; a few, whatever the number of devices
    tally      is counted in while running, for a progress line
    login      the broker as a device logs in there; by default all of them are the user of `broker`

    1. Check the names, and that so many connections may be open.
    2. Start each device: producing by the common clock, connecting one after the other.
    3. Wait for the end of the sources or for the stop.
    4. Stop producing; let every device send what waits, hear its last receipts, publish that it is offline, and
       disconnect.

    Raises PermanentError for names that no topic can carry, or for more devices than open files allow. A broker that is
    away raises nothing: devices wait for it.
    """
    check_names(sources, topics)
    allow_open_files(len(sources))
    stats = FleetStats(len(sources)) if stats is None else stats
    wait_log = WaitLog(f"the broker at {broker}", emit, " (trying again; readings are kept meanwhile)")
    bad_receipts = Throttle()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_ignore_closed_sockets)

    def on_failure(reason: str) -> None:
        wait_log.waiting(reason, loop.time())

    def on_bad_receipt(problem: str) -> None:
        if bad_receipts.due(loop.time()):
            more = bad_receipts.suppressed
            emit(f"a receipt was ignored: {problem}" + (f" ({more} more like it since the last line)" if more else ""))

    outboxes = [Outbox(outbox) for _ in sources]
    if file is not None:
        sources, outboxes = _open_outboxes(file, sources, outbox, stats)
    publishers = [
        Publisher(
            source,
            broker if login is None else login(source.device),
            topics,
            outbox=kept,
            stats=stats,
            on_failure=on_failure,
            on_bad_receipt=on_bad_receipt,
            on_puback=on_puback,
        )
        for source, kept in zip(sources, outboxes, strict=True)
    ]
    start = loop.time()
    producing = [asyncio.create_task(p.produce(start)) for p in publishers]
    delivering = [asyncio.create_task(p.deliver(i / CONNECTS_PER_S)) for i, p in enumerate(publishers)]
    stopping = asyncio.create_task(stop.wait())
    speaking = asyncio.create_task(
        _report_recovery(wait_log, stats, lambda: emit(f"connected to the broker at {broker}"))
    )
    everything = asyncio.gather(*producing, *delivering)
    try:
        await asyncio.wait((everything, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not everything.done():
            for task in producing:
                task.cancel()
            for publisher in publishers:
                publisher.request_shutdown()
            patience_s = max(publisher.shutdown_timeout_s for publisher in publishers)
            await asyncio.wait(delivering, timeout=patience_s + 1.0)
    finally:
        stopping.cancel()
        for task in (*producing, *delivering, speaking):
            task.cancel()
        await asyncio.gather(*producing, *delivering, stopping, speaking, return_exceptions=True)
        with suppress(asyncio.CancelledError):
            await everything  # a defect in any device shows itself here
    return stats


def _open_outboxes(
    file: OutboxFile, sources: Sequence[Source], capacity: int, stats: FleetStats
) -> tuple[list[Source], list[Outbox]]:
    """The sources under boots that no earlier run had, and outboxes with what those runs left."""
    starts = file.begin(sources)
    outboxes = [Outbox(capacity, start.journal, start.receipts) for start in starts]
    for start, kept in zip(starts, outboxes, strict=True):
        stats.restored += len(start.pending)
        kept.restore(start.pending)
        stats.dropped += kept.dropped
    return [start.source for start in starts], outboxes


def check_names(sources: Sequence[Source], topics: Topics) -> None:
    """Raise PermanentError where a ward or device cannot be a level of a topic, or two devices share a name."""
    seen: set[str] = set()
    for source in sources:
        expected = "expected printable text without '/', '+' and '#', at most 200 characters"
        for what, name in (("ward", source.ward), ("device", source.device)):
            try:
                topics.parse(topics.vitals(name, name))
            except InvalidTopic:
                raise PermanentError(f"the {what} name {name[:300]!r} does not fit into a topic: {expected}") from None
            if "+" in name or "#" in name:
                raise PermanentError(f"the {what} name {name!r} does not fit into a topic: {expected}")
        if source.device in seen:
            raise PermanentError(f"two devices are named {source.device!r}; the broker would let only one of them stay")
        seen.add(source.device)


def allow_open_files(devices: int) -> None:
    """Raise this process's limit of open files as far as it may go; Never where that is too few for `devices`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = devices + OTHER_OPEN_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise PermanentError(
                f"{devices} devices need {needed} open files and this process may have {hard}; "
                f"allow more (ulimit -n {needed}) or start fewer devices"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _ignore_closed_sockets(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what the loop has to report, but for one known harmless thing.

    aiomqtt asks the loop to watch a socket in a later turn; where the connection has been closed by then, the loop
    finds a bad file descriptor. The device has noticed the end of its connection by other means.
    """
    error = context.get("exception")
    if not (isinstance(error, OSError) and error.errno == errno.EBADF):
        loop.default_exception_handler(context)


async def _report_recovery(wait_log: WaitLog, stats: FleetStats, over: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(CONNECTED_POLL_S)
        if stats.connected == stats.devices and wait_log.over():
            over()
