"""An alert worker that stood still while another one took over its session publishes nothing afterwards."""

import signal
from collections.abc import Callable

from stack.servers import BrokerServer
from tests.fixtures.alerts import AlertClient, MakeAlerts

MakePerson = Callable[[int], AlertClient]


def test_a_worker_that_was_frozen_while_another_took_over_publishes_nothing_and_exits(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    frozen = make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    person.measure("bed-1", heart_rate=150)
    person.wait_for("icu-1/bed-1/heart-rate-high", state="active")
    assert frozen.process is not None
    frozen.process.send_signal(signal.SIGSTOP)
    person.measure("bed-2", heart_rate=80)
    person.measure("bed-2", heart_rate=150)  # waits in the socket of the frozen worker
    second = make_alerts(own_broker.url, start=False, alerts_client_id=frozen.client_id)
    second.rules.write_text(frozen.rules.read_text())
    second.start()
    person.wait_for("icu-1/bed-2/heart-rate-high", timeout=30, state="active")
    person.command("acknowledge", "icu-1/bed-2/heart-rate-high")
    person.wait_for("icu-1/bed-2/heart-rate-high", state="acknowledged")
    person.measure("bed-1", heart_rate=80)
    person.wait_for("icu-1/bed-1/heart-rate-high", state="cleared")
    received = len(person.received)
    frozen.process.send_signal(signal.SIGCONT)
    assert frozen.process.wait(30) == 2
    person.measure("bed-1", heart_rate=150)
    person.wait_for("icu-1/bed-1/heart-rate-high", timeout=30, state="active")
    heart_rates = [(topic, alert) for topic, alert in person.received[received:] if "heart-rate" in topic]
    assert [(topic, alert and alert.change) for topic, alert in heart_rates] == [
        ("icu-1/bed-1/heart-rate-high", "raised")
    ]
    assert "took over the session" in frozen.said()
