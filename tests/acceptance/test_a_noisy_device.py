"""One device that sends without end cannot delay the alarms of the others."""

import json
import subprocess
import sys
import time

import pytest

from stack.programs import CHECKOUT
from tests.fix_alerts import MakeAlerts, Person
from tests.fix_secured import Secured

BOUND = (
    5.0  # seconds; without shares it was 17, with them 2 at most, on two cores that the flood shares with the broker
)
FLOOD = 6.0  # seconds


@pytest.mark.slow
@pytest.mark.parametrize("what", ["small", "large", "junk"])
def test_a_device_that_sends_without_end_delays_nobody_elses_alarm(
    own_secured: Secured, make_alerts: MakeAlerts, what: str
) -> None:
    worker = make_alerts(own_secured.url_of("alerts"), mqtt_ca=own_secured.ca, alerts_client_id="alerts")
    noisy, quiet = own_secured.broker("bed-2"), own_secured.broker("bed-1")
    person = Person(0, own_secured.broker("grace"), quiet, "bed-1")
    told = {
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
    with subprocess.Popen(line, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
        assert flood.stdin is not None
        assert flood.stdout is not None
        json.dump(told, flood.stdin)
        flood.stdin.close()
        time.sleep(1.5)
        delays = []
        while flood.poll() is None:
            for heart_rate, state in ((150, "active"), (80, "cleared")):
                began = time.monotonic()
                person.measure("bed-1", heart_rate=heart_rate)
                person.sees("icu-1/bed-1/heart-rate-high", timeout=30, state=state)
                delays.append(time.monotonic() - began)
        sent = int(flood.stdout.read())
    person.close()
    sys.stdout.write(f"{what}: {sent} messages; {len(delays)} changes, the slowest after {max(delays):.2f} s\n")
    assert sent > 1000, "that was no flood"
    assert max(delays) < BOUND
    assert "bed-2 of icu-1 sends more than its share" in worker.said()
