"""Promises 1 to 3 for alarms: whatever moment the worker is killed at, no alert is lost, none is raised twice, no
acknowledgement is forgotten, and what was pending comes at most its delay late.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from stack.servers import BrokerServer
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.counts import ReportCount
from tests.fixtures.ingest import MakeIngest
from tests.support.fleet import fleet
from tests.support.servers import Db, eventually
from vitals.alert import Alert

pytestmark = pytest.mark.slow

KILLS = 20
DEVICES = 300
HERTZ = 1.0
DELAY = timedelta(seconds=4)  # of the rule spo2-low, medium, in tests/fixtures/alerts.py


def opened_twice(person: AlertClient) -> list[tuple[str, int]]:
    """Places at which a new alert was raised while another one was open: an alert doubled."""
    doubled = []
    now_open: dict[str, Alert] = {}
    for place, alert in person.received:
        if alert is None:
            continue
        before = now_open.get(place)
        if alert.is_open:
            if before is not None and before.alert_id != alert.alert_id:
                doubled.append((place, alert.revision))
            now_open[place] = alert
        else:
            now_open.pop(place, None)
    return doubled


def test_twenty_kills_of_the_worker_under_load_lose_no_alert(
    own_broker: BrokerServer,
    db: Db,
    make_alerts: MakeAlerts,
    make_ingest: MakeIngest,
    make_alert_client: Callable[[int], AlertClient],
    report_count: ReportCount,
) -> None:
    ingest = make_ingest(own_broker.url, db)
    alerts = make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    moment = random.Random(2026)
    steady = [f"steady-{i}" for i in range(10)]  # alarms that hold all the time; half of them acknowledged
    moody = [f"moody-{i}" for i in range(10)]  # alarms that come and go while the worker is killed
    stop = threading.Event()
    readings: list[tuple[str, datetime, float]] = []  # what the moody ones measured: device, time, SpO2

    def measure() -> None:
        sender = AlertClient(own_broker.port)
        second = 0
        while not stop.wait(0.5):
            second += 1
            for device in steady:
                sender.measure(device, "icu-9", heart_rate=150)
            for number, device in enumerate(moody):
                # Ten seconds low, six seconds well, each device at its own phase.
                low = (second + 3 * number) % 32 < 20
                now = datetime.now(UTC)
                readings.append((device, now, 91 if low else 97))
                sender.measure(device, "icu-9", at=now, spo2=91 if low else 97)
        sender.close()

    measuring = threading.Thread(target=measure)
    with fleet(own_broker.url, DEVICES, HERTZ):
        measuring.start()
        for device in steady:
            person.wait_for(f"icu-9/{device}/heart-rate-high", state="active")
        for device in steady[:5]:
            person.command("acknowledge", f"icu-9/{device}/heart-rate-high")
            person.wait_for(f"icu-9/{device}/heart-rate-high", state="acknowledged")
        ids = {device: person.now[f"icu-9/{device}/heart-rate-high"].alert_id for device in steady}
        alive = [datetime.now(UTC)]  # moments at which a worker began to listen, each followed by its death
        for number in range(KILLS):
            # Mostly at once again; every fourth time long enough for a delay to run out.
            time.sleep(moment.uniform(0.2, 1.5) if number % 4 else moment.uniform(6, 8))
            alive.append(datetime.now(UTC))
            alerts.kill()
            alerts.start()
            alive.append(datetime.now(UTC))
        time.sleep(DELAY.total_seconds() + 3)
        alive.append(datetime.now(UTC))
        stop.set()
        measuring.join()

    for number, device in enumerate(steady):
        alert = person.now[f"icu-9/{device}/heart-rate-high"]
        assert alert.alert_id == ids[device], "the same alert before and after"
        assert alert.state == ("acknowledged" if number < 5 else "active")
    raised = Counter(
        alert.alert_id for _, alert in person.received if alert is not None and alert.revision == 1 and alert.is_open
    )
    lives = list(zip(alive[::2], alive[1::2], strict=True))
    due = [
        (device, begin, end)
        for device in moody
        for begin, end in episodes([(time, value) for name, time, value in readings if name == device])
        # A worker lived through more than the delay of it, so it had to be raised, though the one before had died.
        if any(min(end, death) - max(begin, birth) > DELAY + timedelta(seconds=1) for birth, death in lives)
    ]
    late = [episode for episode in due if not open_in(person, *episode)]
    history = f"{len(raised)} alerts raised, {len(opened_twice(person))} doubled, {len(late)} of {len(due)} lost"
    report_count(f"{KILLS} kills of alerts, {DEVICES * HERTZ:.0f} readings/s beside: {history}")
    assert opened_twice(person) == []
    assert late == []
    assert len(due) > len(moody), "hardly an alert was due: the test shows nothing"

    def same_history() -> bool:
        # Both read again: the end of the fleet still raises alerts.
        stored = {(row[0], row[1]) for row in db.rows("SELECT alert_id, revision FROM alert_event")}
        return stored == {(alert.alert_id, alert.revision) for _, alert in person.received if alert is not None}

    eventually(same_history, 20, "the history of every change")
    assert ingest.stop() == 0


def episodes(values: list[tuple[datetime, float]]) -> list[tuple[datetime, datetime]]:
    """From the first to the last reading of each run below 92."""
    found: list[tuple[datetime, datetime]] = []
    begin = last = None
    for moment, value in values:
        if value < 92:
            begin, last = begin or moment, moment
        elif begin is not None and last is not None:
            found.append((begin, last))
            begin = last = None
    return found


def open_in(person: AlertClient, device: str, begin: datetime, end: datetime) -> bool:
    """Whether an alert of this device was open at some time between the two.

    It may be the one of the episode before: a worker that is killed every second comes to no end of counting that the
    value is well again, and leaves it open.
    """
    ended: dict[UUID, datetime] = {}
    raised: dict[UUID, datetime] = {}
    for where, alert in person.received:
        if where == f"icu-9/{device}/spo2-low" and alert is not None:
            raised[alert.alert_id] = alert.raised_at
            if not alert.is_open:
                ended[alert.alert_id] = alert.changed_at
    return any(since <= end and ended.get(name, end) >= begin for name, since in raised.items())
