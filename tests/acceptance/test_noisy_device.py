"""One device that sends without end cannot delay the alarms of the others."""

import sys
import time
from functools import partial

import pytest

from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.secured import Secured
from tests.support.publish_flood import flooding
from tests.support.servers import eventually

# Seconds until another bed's alarm is there: 0.1 to 0.2 on a quiet machine, but other tests have a part of these cores.
# A flood with no limit at all is as fast as the machine that it shares with broker and worker; what became of that is
# in docs/identity.md, and no test.
BOUND = 3.0
GIGABIT = 117e6  # bytes a second: all that a network of 1 Gbit/s carries
MANY = 30_000 * 150.0  # bytes a second of small messages: as many as 30,000 monitors send
FLOOD = 4.0  # seconds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "bytes_a_second"), [("small", MANY), ("large", GIGABIT), ("junk", GIGABIT), ("huge", GIGABIT)]
)
def test_a_flooding_device_delays_no_alarm_of_others(
    own_secured: Secured, make_alerts: MakeAlerts, what: str, bytes_a_second: float
) -> None:
    worker = make_alerts(own_secured.url_of("alerts"), mqtt_ca=own_secured.ca, alerts_client_id="alerts")
    person = AlertClient(0, own_secured.broker("grace"), own_secured.broker("bed-1"), "bed-1")
    with flooding(own_secured.broker("bed-2"), what, FLOOD, bytes_a_second=bytes_a_second) as flood:
        time.sleep(1.5)
        delays = []
        while flood.poll() is None:
            for heart_rate, state in ((150, "active"), (80, "cleared")):
                began = time.monotonic()
                person.measure("bed-1", heart_rate=heart_rate)
                person.wait_for("icu-1/bed-1/heart-rate-high", timeout=30, state=state)
                delays.append(time.monotonic() - began)
        assert flood.stdout is not None
        sent = int(flood.stdout.read())
    person.close()
    sys.stdout.write(f"{what}: {sent} messages; {len(delays)} changes, the slowest after {max(delays):.2f} s\n")
    assert max(delays) < BOUND
    throttled = partial(worker.metric, "messages_throttled_total")
    eventually(lambda: throttled() > 0.9 * sent, 10, "nearly all of it is set aside, and costs next to nothing")
    assert "bed-2 of icu-1 sends more than its share" in worker.said()
