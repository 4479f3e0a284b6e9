"""The clock of a host is set: no delay waits for the former time, no silence is false or shown late."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.servers import BrokerServer
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.station import MakeStation, basic
from tests.support.servers import Db, eventually

MakePerson = Callable[[int], AlertClient]


def measure_until(person: AlertClient, rule: str, heart_rate: float, spo2: float) -> None:
    deadline = time.monotonic() + 30
    while f"icu-1/bed-1/{rule}" not in person.now and time.monotonic() < deadline:
        person.measure("bed-1", heart_rate=heart_rate, spo2=spo2)
        time.sleep(0.5)


@pytest.mark.parametrize(("step_s", "direction"), [(-3600, "back"), (3600, "forward")])
def test_alarms_come_in_time_after_the_clock_of_the_host_was_set(
    own_broker: BrokerServer,
    make_alerts: MakeAlerts,
    make_alert_client: MakePerson,
    tmp_path: Path,
    step_s: int,
    direction: str,
) -> None:
    step = tmp_path / "step"
    step.write_text("0")
    worker = make_alerts(own_broker.url, start=False)
    worker.rules.write_text(worker.rules.read_text().replace("for_s = 3", "for_s = 30"))
    worker.run_module("tests.support.set_host_clock", HOST_CLOCK_STEP=str(step))
    worker.start()
    person = make_alert_client(own_broker.port)
    measure_until(person, "heart-rate-high", 150, 97)
    first = person.wait_for("icu-1/bed-1/heart-rate-high", state="active")
    step.write_text(str(step_s))
    measure_until(person, "spo2-low", 150, 88)
    assert person.now["icu-1/bed-1/spo2-low"].state == "active"
    assert person.now["icu-1/bed-1/heart-rate-high"].alert_id == first.alert_id
    assert [topic for topic, _ in person.received if "no-data" in topic] == []
    assert f"the clock of this host was set {direction}" in worker.said()


def test_a_device_that_stops_after_the_clock_of_the_host_was_set_back_is_shown_as_silent(
    own_broker: BrokerServer, make_station: MakeStation, make_alert_client: MakePerson, tmp_path: Path
) -> None:
    step = tmp_path / "step"
    step.write_text("0")
    station = make_station(own_broker.url, host_clock_step=step)
    person = make_alert_client(own_broker.port)

    def condition() -> str:
        _, ward, _ = station.ask("GET", "/api/ward", Authorization=basic("Ada"))
        return ward["beds"][0]["condition"] if ward["beds"] else ""

    def measured() -> bool:
        person.measure("bed-1", heart_rate=80)
        return condition() == "NORMAL"

    eventually(measured, 30, "the reading is shown")
    step.write_text("-50")
    eventually(lambda: condition() == "SILENT", 30, "the silence is shown")


def test_an_ingest_whose_clock_was_set_back_states_why_nothing_is_stored(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest, make_alert_client: MakePerson, tmp_path: Path
) -> None:
    step = tmp_path / "step"
    step.write_text("-3600")
    ingest = make_ingest(own_broker.url, db, start=False)
    ingest.run_module("tests.support.set_host_clock", HOST_CLOCK_STEP=str(step))
    ingest.start()
    person = make_alert_client(own_broker.port)

    def reason_after(*beds: str) -> str:
        for bed in beds:
            person.measure(bed, heart_rate=80)
        return str(ingest.health()["reason"])

    reason = "readings of 2 devices, of 2 that send, are more than 5 minutes ahead of the clock of this host"
    eventually(lambda: reason_after("bed-1", "bed-2").startswith(reason), 10, "/healthz states the reason")
    assert ingest.said().count(reason) == 1
    assert db.count() == 0
    step.write_text("0")
    eventually(lambda: reason_after("bed-1", "bed-2", "bed-3") == "None", 15, "healthy again")
    eventually(lambda: db.count() > 0, 10, "readings are stored")
    assert "agree again" in ingest.said()


@pytest.mark.parametrize(("step_s", "direction"), [(-3600, "back"), (7200, "forward")])
def test_a_station_ends_for_its_supervisor_if_the_clock_was_set_by_more_than_a_minute(
    own_broker: BrokerServer, make_station: MakeStation, tmp_path: Path, step_s: int, direction: str
) -> None:
    step = tmp_path / "step"
    step.write_text("0")
    station = make_station(own_broker.url, host_clock_step=step)
    assert station.process is not None
    step.write_text(str(step_s))
    assert station.process.wait(30) == 2
    assert f"the clock of this host was set {direction}" in station.said()
