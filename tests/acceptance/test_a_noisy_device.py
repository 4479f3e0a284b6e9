"""One device that sends without end cannot delay the alarms of the others, nor fill the broker's memory."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from stack.programs import CHECKOUT, Programs
from tests.fix_alerts import MakeAlerts, Person
from tests.fix_secured import Secured, secured

BOUND = 5.0  # seconds; without shares it was 17, with them 2.5 at most, on cores that flood, broker and others shared
GIGABIT = 117e6  # bytes a second: all that a network of 1 Gbit/s carries
BOUND_OF_GIGABIT = 1.0  # seconds; 0.13 at most
FLOOD = 6.0  # seconds
MEMORY = 100_000_000  # bytes that the broker may have, for a test that fills them


@contextmanager
def flooding(there: Secured, what: str, **rate: float) -> "Iterator[subprocess.Popen[str]]":
    """bed-2 sends without end, in a process of its own; what it says in the end is how much."""
    noisy = there.broker("bed-2")
    told: dict[str, Any] = {
        "host": noisy.host,
        "port": noisy.port,
        "ca": str(noisy.ca),
        "user": "bed-2",
        "password": noisy.password,
        "client_id": noisy.client_id("bed-2"),
        "topic": "vitalflow/vitals/icu-1/bed-2",
        "what": what,
        "seconds": FLOOD,
    }
    line = [sys.executable, "-m", "tests.flood"]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, cwd=CHECKOUT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as flood:
        assert flood.stdin is not None
        json.dump(told | rate, flood.stdin)
        flood.stdin.close()
        yield flood


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "rate", "bound"),
    [
        ("small", {}, BOUND),
        ("large", {}, BOUND),
        ("junk", {}, BOUND),
        ("huge", {}, BOUND),
        ("large", {"bytes_a_second": GIGABIT}, BOUND_OF_GIGABIT),
        ("huge", {"bytes_a_second": GIGABIT}, BOUND_OF_GIGABIT),
    ],
    ids=["small", "large", "junk", "huge", "large-by-gigabit", "huge-by-gigabit"],
)
def test_a_device_that_sends_without_end_delays_nobody_elses_alarm(
    own_secured: Secured, make_alerts: MakeAlerts, what: str, rate: dict[str, float], bound: float
) -> None:
    worker = make_alerts(own_secured.url_of("alerts"), mqtt_ca=own_secured.ca, alerts_client_id="alerts")
    person = Person(0, own_secured.broker("grace"), own_secured.broker("bed-1"), "bed-1")
    with flooding(own_secured, what, **rate) as flood:
        time.sleep(1.5)
        delays = []
        while flood.poll() is None:
            for heart_rate, state in ((150, "active"), (80, "cleared")):
                began = time.monotonic()
                person.measure("bed-1", heart_rate=heart_rate)
                person.sees("icu-1/bed-1/heart-rate-high", timeout=30, state=state)
                delays.append(time.monotonic() - began)
        assert flood.stdout is not None
        sent = int(flood.stdout.read())
    person.close()
    sys.stdout.write(f"{what}: {sent} messages; {len(delays)} changes, the slowest after {max(delays):.2f} s\n")
    assert sent > 1000, "that was no flood"
    assert max(delays) < bound
    assert "bed-2 of icu-1 sends more than its share" in worker.said()


def when_there_is_room(there: Secured) -> Person:
    """Come in as soon as the broker can take somebody: it cannot before the worker has read what fills it."""
    deadline = time.monotonic() + 15
    while True:
        with suppress(OSError):
            return Person(0, there.broker("grace"), there.broker("bed-1"), "bed-1")
        assert time.monotonic() < deadline, "the broker has no room yet"
        time.sleep(0.5)


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket")  # paho leaves it to the collector when it is refused
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
@pytest.mark.parametrize("what", ["small", "junk"])
def test_a_flood_that_nobody_reads_is_ended_before_it_takes_the_machines_memory(
    programs: Programs, run_name: str, tmp_path: Path, make_alerts: MakeAlerts, what: str
) -> None:
    """The worker stands still, as on a machine that swaps, and the broker keeps for it what comes."""
    there = secured(programs, f"{run_name}-filled", tmp_path, MEMORY)
    there.server.start()
    try:
        worker = make_alerts(there.url_of("alerts"), mqtt_ca=there.ca, alerts_client_id="alerts")
        assert worker.process is not None
        stopped, broker = psutil.Process(worker.process.pid), psutil.Process(there.server.pid)
        stopped.suspend()
        for _ in range(2):  # it comes again, as whoever means harm does
            most = 0
            with flooding(there, what) as flood:
                while flood.poll() is None:
                    most = max(most, broker.memory_info().rss)
                    time.sleep(0.05)
            assert flood.returncode != 0, "the broker took all of it"
            assert most < 2 * MEMORY
        stopped.resume()
        person = when_there_is_room(there)
        person.measure("bed-1", heart_rate=150)
        person.sees("icu-1/bed-1/heart-rate-high", timeout=10, state="active")
        person.close()
    finally:
        there.server.stop()
        programs.remove(there.server.folder.parent)
