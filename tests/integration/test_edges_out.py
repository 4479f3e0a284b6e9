"""HL7 out on a real broker: alerts in order across kills and whatever the receiver answers; readings."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edges.config.site import read_site
from edges.hl7.acks import Error, Outcome, acknowledge
from edges.hl7.er7 import Message
from edges.hl7.frames import frame
from edges.hl7.oru import read_report
from stack.servers import BrokerServer, free_port
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.support.alert_changes import AlertChanges
from tests.support.factories import make_alert
from tests.support.hl7_receiver import Hl7Receiver, accept
from tests.support.process import ServiceProcess, environ_of, run_module
from tests.support.servers import eventually
from vitals.alert import Change, State, encode_alert

ROUNDS = int(os.environ.get("VITALFLOW_TEST_HL7_KILLS", "2"))
BED = "icu-1/bed-1"
MakeClient = Callable[[int], AlertClient]


@pytest.fixture
def hl7_receiver() -> Iterator[Hl7Receiver]:
    receiver = Hl7Receiver().start()
    yield receiver
    receiver.close()


@pytest.fixture
def hl7_site(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(
        'zone = "UTC"\n[patients]\nauthority = ["HOSP"]\n'
        '[[place]]\nunit = "ICU 1"\nbed = "1"\nward = "icu-1"\ndevice = "bed-1"\n'
    )
    return path


MakeExporter = Callable[..., ServiceProcess]


@pytest.fixture
def make_exporter(tmp_path: Path, hl7_site: Path, hl7_receiver: Hl7Receiver) -> Iterator[MakeExporter]:
    """Start `vitalflow edges hl7 alerts` or `readings`; all are gone when the test ends."""
    with ExitStack() as made:

        def make(broker: BrokerServer, kind: str, *options: str) -> ServiceProcess:
            environ = environ_of(MQTT_URL=broker.url, EDGES_OUT_METRICS_PORT=str(free_port()))
            line = ["vitalflow", "edges", "hl7", kind, "--to", f"127.0.0.1:{hl7_receiver.port}"]
            line += ["--site", str(hl7_site), "--queue", str(tmp_path / f"{kind}.db"), *options]
            return made.enter_context(ServiceProcess(line, environ, tmp_path / f"{kind}.log")).start()

        yield make


def phase(message: Message) -> str:
    return next(item.text(5) for item in message.segments if item.text(3, 2) == "MDC_ATTR_EVENT_PHASE")


def order(message: Message) -> str:
    """The id of the alert with the revision."""
    return message.segments[3].text(3)


def test_an_alert_of_the_worker_arrives_as_start_update_and_end(
    own_broker: BrokerServer,
    make_alerts: MakeAlerts,
    make_alert_client: MakeClient,
    make_exporter: MakeExporter,
    hl7_receiver: Hl7Receiver,
) -> None:
    make_alerts(own_broker.url)
    make_exporter(own_broker, "alerts")
    person = make_alert_client(own_broker.port)

    def received() -> list[Message]:
        """Without an alert of the silence between two readings on a slow machine."""
        return [message for message in list(hl7_receiver.received) if heart_rate_of(message)]

    def measured_until(phases: list[str], heart_rate: float) -> None:
        def arrived() -> bool:
            person.measure(heart_rate=heart_rate)
            return [phase(message) for message in received()] == phases

        eventually(arrived, 30, f"{phases}; it is {[phase(message) for message in received()]}")

    measured_until(["start"], heart_rate=150.0)
    start = received()[0]
    assert [start.segments[1].raw(3), start.segments[2].raw(3)] == ["p-bed-1^^^HOSP", "ICU 1^^1"]
    assert heart_rate_of(start) == ["150"]
    person.command("acknowledge", f"{BED}/heart-rate-high")
    measured_until(["start", "update"], heart_rate=150.0)
    measured_until(["start", "update", "end"], heart_rate=80.0)
    assert len({message.segments[3].raw(29) for message in received()}) == 1


def heart_rate_of(message: Message) -> list[str]:
    return [item.text(5) for item in message.segments if item.text(3, 2) == "MDC_ECG_HEART_RATE"]


def arrivals(receiver: Hl7Receiver) -> dict[str, list[int]]:
    """Revisions by alert, in the order of their first arrival."""
    found: dict[str, list[int]] = {}
    for message in list(receiver.received):
        number, revision = order(message).split(".")[:2]
        revisions = found.setdefault(number, [])
        if int(revision) not in revisions:
            revisions.append(int(revision))
    return found


def test_every_change_arrives_in_order_across_kills_of_sender_and_receiver(
    own_broker: BrokerServer, make_alert_client: MakeClient, make_exporter: MakeExporter, hl7_receiver: Hl7Receiver
) -> None:
    exporter = make_exporter(own_broker, "alerts")
    publisher = AlertChanges(make_alert_client(own_broker.port), 10)
    publisher.change_all(Change.RAISED)
    for _ in range(ROUNDS):
        publisher.change_all()
        hl7_receiver.kill()
        publisher.change_all()
        exporter.kill()
        publisher.change_all()
        exporter.start(wait=False)
        publisher.change_all()
        hl7_receiver.start()
    publisher.change_all(Change.CLEARED, State.CLEARED)
    expected = {str(alert.alert_id): list(range(1, alert.revision + 1)) for alert in publisher.alerts}
    eventually(lambda: arrivals(hl7_receiver) == expected, 60, "all changes in order")
    ended = [order(message) for message in hl7_receiver.received if phase(message) == "end"]
    assert set(ended) == {f"{alert.alert_id}.{alert.revision}" for alert in publisher.alerts}
    exporter.kill()
    before = len(hl7_receiver.received)
    exporter.start()
    raised = make_alert(ward="icu-1", device="last")
    client = make_alert_client(own_broker.port)
    client.send(f"alerts/{raised.ward}/{raised.device_id}/{raised.rule}", encode_alert(raised), True)
    eventually(lambda: order(hl7_receiver.received[-1]) == f"{raised.alert_id}.1", 30, "the next alert")
    again = [message for message in hl7_receiver.received[before:] if order(message).split(".")[0] in expected]
    assert len(again) <= 1, "an ended alert is not reported again; only the last message may lack its deletion"


def test_an_answer_of_any_kind_neither_loses_nor_reorders_a_change(
    own_broker: BrokerServer,
    make_alert_client: MakeClient,
    make_exporter: MakeExporter,
    hl7_receiver: Hl7Receiver,
    tmp_path: Path,
) -> None:
    count = 0
    accepted: list[str] = []

    def answer(message: Message) -> Sequence[bytes]:
        nonlocal count
        count += 1
        now = datetime.now(UTC)
        revision = order(message).split(".")[1]
        if revision == "2":
            return [frame(item) for item in acknowledge(message, Outcome.REJECT, Error(207, "no such bed"), now)]
        if count % 3 == 1:  # the first try of each
            return [frame(item) for item in acknowledge(message, Outcome.ERROR, Error(207, "try later"), now)]
        accepted.append(revision)
        other = accept(message)[0].replace(message.header.raw(10).encode(), b"other")
        good = accept(message)[0]
        return [other, good[:-2], good[-2:-1], good[-1:]]

    hl7_receiver.answer = answer
    exporter = make_exporter(own_broker, "alerts")
    publisher = AlertChanges(make_alert_client(own_broker.port), 1)
    for _ in range(5):
        publisher.change_all()
    eventually(lambda: [*dict.fromkeys(accepted)] == ["1", "3", "4", "5"], 30, f"all but the rejected one: {accepted}")
    listed = run_module("vitalflow", "edges", "hl7", "rejected", "--queue", str(tmp_path / "alerts.db")).stdout
    assert re.fullmatch(r"\S+ control id [0-9a-f]{20}: CR, no such bed\n", listed)
    eventually(lambda: "rejects the message" in exporter.said(), 10, "it is logged")


def test_readings_arrive_as_the_same_values(
    own_broker: BrokerServer,
    make_alert_client: MakeClient,
    make_exporter: MakeExporter,
    hl7_receiver: Hl7Receiver,
    hl7_site: Path,
) -> None:
    make_exporter(own_broker, "readings", "--interval", "1")
    client = make_alert_client(own_broker.port)
    site = read_site(hl7_site)

    def arrived() -> dict[str, float]:
        values: dict[str, float] = {}
        for message in list(hl7_receiver.received):
            for item in read_report(message, site, datetime.now(UTC)).readings:
                assert (item.ward, item.device, item.reading.patient_id) == ("icu-1", "bed-1", "p-bed-1")
                values |= {key: value for key in ("spo2", "heart_rate") if (value := item.reading.value(key))}
        return values

    def sent_and_arrived() -> bool:
        client.measure(spo2=97.0, heart_rate=71.0)
        return arrived() == {"spo2": 97.0, "heart_rate": 71.0}

    eventually(sent_and_arrived, 30, "the values")
