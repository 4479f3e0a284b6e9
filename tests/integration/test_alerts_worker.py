"""The alert worker on a real broker: readings in, alerts out, and a person in between."""

import json
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.queue_filler import fill_queues
from mqtt.endpoint import BrokerEndpoint
from stack.binaries import ServerBinaries
from stack.servers import BrokerServer, free_port
from tests.fixtures.alerts import RULES, AlertClient, MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.support.servers import Db, eventually
from vitals.topics import Topics

MakePerson = Callable[[int], AlertClient]
BED = "icu-1/bed-1"


def test_a_desaturation_raises_escalates_is_acknowledged_and_clears(
    own_broker: BrokerServer, db: Db, make_alerts: MakeAlerts, make_ingest: MakeIngest, make_alert_client: MakePerson
) -> None:
    ingest = make_ingest(own_broker.url, db)
    make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)

    def measure(times: int, **signs: Any) -> None:
        for _ in range(times):
            person.measure(**signs)
            time.sleep(0.5)

    measure(10, spo2=91, heart_rate=80)
    raised = person.wait_for(f"{BED}/spo2-low", state="active", priority="medium")
    assert (raised.value, raised.limit, raised.kind, raised.patient_id) == (91, 92, "physiological", "p-bed-1")
    assert 4 <= (raised.raised_at - raised.since).total_seconds() < 6  # with the reading, or between two
    assert (raised.loinc, raised.mdc) == (("2708-6", "59408-5"), 150456)
    measure(1, spo2=78)
    worse = person.wait_for(f"{BED}/spo2-low", priority="high")
    assert worse.alert_id == raised.alert_id, "an escalation is the same alert"
    person.command("acknowledge", f"{BED}/spo2-low")
    person.wait_for(f"{BED}/spo2-low", state="acknowledged", acknowledged_by="nurse Ada")
    measure(7, spo2=97)
    person.wait_for(f"{BED}/spo2-low", state="cleared")
    changes = ["raised", "escalated", "acknowledged", "cleared"]
    assert [change for change in person.changes(f"{BED}/spo2-low") if change != "de-escalated"] == changes

    def stored_changes() -> object:  # another alert may begin meanwhile: the bed is silent
        return db.one("SELECT count(*) FROM alert_event WHERE rule = 'spo2-low'")

    eventually(lambda: stored_changes() == len(person.changes(f"{BED}/spo2-low")), 10, "its history")
    row = db.rows(
        "SELECT rule, state, worst_priority, acknowledged_by, cleared_at IS NOT NULL FROM alert WHERE rule = 'spo2-low'"
    )
    assert row == [("spo2-low", "cleared", "high", "nurse Ada", True)]
    stored = db.rows(
        "SELECT first_value, worst_value, value, worst_value_at > first_value_at, text FROM alert"
        " WHERE rule = 'spo2-low'"
    )
    assert stored == [(91.0, 78.0, 78.0, True, "Oxygen saturation low: 78 %, limit below 80")]
    assert db.rows("SELECT 1 FROM alert_active WHERE rule = 'spo2-low'") == []
    ingest.kill()
    ingest.start()
    eventually(lambda: ingest.metric("messages_received_total") >= 1, 10, "the retained alert comes again")
    assert stored_changes() == len(person.changes(f"{BED}/spo2-low")), "and changes nothing"


def test_silence_is_an_alarm_and_never_clears_another_one(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    for _ in range(2):  # without a birth two readings show the interval
        person.measure(heart_rate=150)
        time.sleep(0.6)  # as two moments
    person.wait_for(f"{BED}/heart-rate-high", state="active")
    silent = person.wait_for(f"{BED}/no-data", state="active", kind="technical")
    assert silent.change == "raised"
    assert person.now[f"{BED}/heart-rate-high"].state == "active"
    person.measure(heart_rate=151)
    person.wait_for(f"{BED}/no-data", state="cleared")
    assert person.now[f"{BED}/heart-rate-high"].state == "active"


def test_invalid_commands_limits_and_readings_are_rejected_with_a_reason(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    alerts = make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    person.measure(heart_rate=150)
    person.wait_for(f"{BED}/heart-rate-high", state="active")
    person.command("acknowledge", f"{BED}/spo2-low")
    person.command("acknowledge", "icu-1/unknown/spo2-low")
    person.command("dance", f"{BED}/heart-rate-high")
    person.command("acknowledge", f"{BED}/heart-rate-high", by="x" * 500)
    person.command("pause_audio", f"{BED}/heart-rate-high", seconds=10**9)
    person.send(f"alert-commands/{BED}/heart-rate-high", b"\xff{")
    late = json.dumps({"by": "nurse Ada", "action": "acknowledge"}).encode()
    person.send("limits/icu-1/bed-1", json.dumps({"by": "Dr Grace", "limits": {"spo2-low": [70, 90]}}).encode(), True)
    person.send("vitals/icu-1/bed-1", b'{"time":"1970-01-01T00:00:00Z","heart_rate":60}')
    person.send("vitals/icu-1/bed-1", b"rubbish")
    eventually(lambda: len(person.rejections) == 7, 10, f"seven refusals, got {person.rejections}")
    assert all(refusal["reason"] and refusal["topic"] for refusal in person.rejections)
    assert person.now[f"{BED}/heart-rate-high"].state == "active"
    # Retained, a command would come again at every start of the worker and silence alerts that no user saw.
    person.send(f"alert-commands/{BED}/heart-rate-high", late, retain=True)
    person.wait_for(f"{BED}/heart-rate-high", state="acknowledged")
    alerts.kill()
    person.measure(at=datetime.now(UTC), heart_rate=90)
    alerts.start()
    person.wait_for(f"{BED}/heart-rate-high", state="cleared")
    person.measure(heart_rate=150)
    person.wait_for(f"{BED}/heart-rate-high", state="active")
    assert alerts.said().count("must not be retained") == 1


def test_a_beds_own_limits_hold_after_a_restart(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    alerts = make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    limits = {"by": "Dr Grace", "limits": {"heart-rate-high": 140}}
    person.send("limits/icu-1/bed-1", json.dumps(limits).encode(), retain=True)
    for _ in range(2):
        person.measure("bed-1", heart_rate=130)
        person.measure("bed-2", heart_rate=130)
        person.wait_for("icu-1/bed-2/heart-rate-high", state="active")
        time.sleep(0.3)
        assert f"{BED}/heart-rate-high" not in person.now
        alerts.kill()
        alerts.start()
    person.measure("bed-1", heart_rate=145)
    assert person.wait_for(f"{BED}/heart-rate-high", state="active").limit == 140


def test_alerts_follow_a_device_to_another_ward_and_leave_the_old_topic(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    person.measure(heart_rate=150)
    before = person.wait_for(f"{BED}/heart-rate-high", state="active")
    person.measure(ward="icu-2", heart_rate=151)
    after = person.wait_for("icu-2/bed-1/heart-rate-high", state="active")
    assert after.alert_id == before.alert_id
    eventually(lambda: f"{BED}/heart-rate-high" not in person.now, 5, "the old topic is empty")


def test_readings_queued_while_the_worker_was_down_are_all_evaluated(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    # More than the worker's window of 500. The first of them come in one piece with the CONNACK.
    alerts = make_alerts(own_broker.url)
    alerts.kill()
    fill_queues(BrokerEndpoint.parse(own_broker.url), Topics(), 3000)
    for times in (1, 2):
        alerts.start()
        person = make_alert_client(own_broker.port)
        eventually(lambda: alerts.metric("readings_evaluated_total") == 3000, 20, "all of it")
        person.measure(heart_rate=150)
        person.wait_for(f"{BED}/heart-rate-high", state="active")
        person.measure(heart_rate=80)
        person.wait_for(f"{BED}/heart-rate-high", state="cleared")
        if times == 1:
            alerts.stop()
            fill_queues(BrokerEndpoint.parse(own_broker.url), Topics(), 3000)


def test_two_workers_share_the_wards_and_neither_touches_the_others(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    first = make_alerts(own_broker.url, alerts_wards="icu-1")
    second = make_alerts(own_broker.url, alerts_wards="icu-2,icu-3")
    person = make_alert_client(own_broker.port)
    places = [f"icu-{ward}/bed-{ward}/heart-rate-high" for ward in (1, 2, 3)]
    for ward in (1, 2, 3):
        person.measure(f"bed-{ward}", f"icu-{ward}", heart_rate=150)
    ids = [person.wait_for(place, state="active").alert_id for place in places]
    counts = [(first, 1), (second, 2)]
    eventually(lambda: all(worker.metric("readings_evaluated_total") == n for worker, n in counts), 10, "the counts")
    second.kill()
    person.command("acknowledge", places[0])
    person.wait_for(places[0], state="acknowledged")
    second.start()
    person.command("acknowledge", places[2])
    person.wait_for(places[2], state="acknowledged")
    assert [person.now[place].alert_id for place in places] == ids


def test_a_rule_file_with_mistakes_keeps_the_old_rules_and_a_good_one_is_taken(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    alerts = make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    good = alerts.rules.read_text()
    assert alerts.process is not None
    alerts.rules.write_text(good.replace("above = 120", "above = 120\nbelow = 300\ncolour = 'red'"))
    alerts.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(person.rejections) == 1, 10, "an answer")
    assert "colour" in person.rejections[0]["reason"]
    person.measure(heart_rate=121)
    person.wait_for(f"{BED}/heart-rate-high", state="active")
    alerts.rules.write_text(good.replace("above = 120", "above = 160").replace("clear = 118", "clear = 158"))
    alerts.process.send_signal(signal.SIGHUP)
    eventually(lambda: "rules read again" in alerts.said(), 10, "the new rules")
    person.measure(heart_rate=150)
    person.wait_for(f"{BED}/heart-rate-high", state="cleared")


def test_all_alerts_are_republished_within_5_s_to_a_broker_that_lost_its_store(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    for device in ("bed-1", "bed-2"):
        person.measure(device, heart_rate=150)
        person.wait_for(f"icu-1/{device}/heart-rate-high", state="active")
    person.command("acknowledge", f"{BED}/heart-rate-high")
    person.wait_for(f"{BED}/heart-rate-high", state="acknowledged")
    known = {place: alert.alert_id for place, alert in person.now.items()}
    own_broker.kill()
    own_broker.delete_store()
    own_broker.start()
    started = time.monotonic()
    late = make_alert_client(own_broker.port)
    late.wait_for(f"{BED}/heart-rate-high", timeout=5, state="acknowledged", acknowledged_by="nurse Ada")
    late.wait_for("icu-1/bed-2/heart-rate-high", timeout=5, state="active")
    assert time.monotonic() - started < 6
    for place in ("icu-1/bed-1/heart-rate-high", "icu-1/bed-2/heart-rate-high"):
        assert late.now[place].alert_id == known[place]


def test_alerts_are_raised_while_the_database_is_stopped_and_stored_afterwards(
    own_broker: BrokerServer,
    own_database: tuple[object, Db],
    make_alerts: MakeAlerts,
    make_ingest: MakeIngest,
    make_alert_client: MakePerson,
) -> None:
    server, db = own_database
    make_ingest(own_broker.url, db)
    make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    server.stop_at_once()  # type: ignore[attr-defined]
    for heart_rate in (150, 90, 155):
        person.measure(heart_rate=heart_rate)
        state = "active" if heart_rate > 120 else "cleared"
        person.wait_for(f"{BED}/heart-rate-high", state=state)
    server.start()  # type: ignore[attr-defined]
    eventually(lambda: db.count("alert_event") == 3, 15, "three changes")
    query = "SELECT change FROM alert_event ORDER BY changed_at, revision"
    assert db.rows(query) == [("raised",), ("cleared",), ("raised",)]
    assert db.one("SELECT count(*) FROM alert_active") == 1


def test_a_broker_that_drops_messages_is_an_alarm(
    binaries: ServerBinaries, run_name: str, tmp_path: Path, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    small = BrokerServer(binaries, f"{run_name}-small", free_port(), tmp_path / "small.log", max_queued_messages="10")
    small.start()
    try:
        alerts = make_alerts(small.url)
        person = make_alert_client(small.port)
        away = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="away", clean_session=False)
        away.on_connect = lambda client, *_: client.subscribe("vitalflow/queue", 1) and None
        away.on_subscribe = lambda client, *_: client.disconnect() and None
        away.connect("127.0.0.1", small.port)
        away.loop_forever()
        eventually(lambda: "broker_dropped_messages 0.0" in alerts.metrics(), 30, "the broker's first count")
        for _ in range(50):
            person.send("queue", b"one too many")
        alert = person.wait_for("stack/broker/broker-dropping", timeout=20, state="active", priority="high")
        assert (alert.kind, alert.ward) == ("technical", "stack")
        alerts.kill()
        alerts.start()
        person.command("acknowledge", "stack/broker/broker-dropping")
        seen = person.wait_for("stack/broker/broker-dropping", state="acknowledged")
        assert seen.alert_id == alert.alert_id
    finally:
        small.stop()
        binaries.remove(small.folder.parent)


def test_a_frozen_broker_raises_no_alert_of_silence(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson
) -> None:
    """Its connections stay open, and nothing arrives: the worker's own heartbeat is missing too."""
    alerts = make_alerts(own_broker.url, start=False)
    alerts.rules.write_text(RULES.replace("for_s = 3", "for_s = 7"))
    alerts.start()
    person = make_alert_client(own_broker.port)
    device = mqtt.Client(CallbackAPIVersion.VERSION2)
    device.connect("127.0.0.1", own_broker.port)
    device.loop_start()
    for number in range(30):
        payload = {"time": datetime.now(UTC).isoformat(), "boot": 1, "seq": number + 1, "spo2": 97}
        device.publish(f"vitalflow/vitals/{BED}", json.dumps(payload), qos=1)  # which does not wait for the broker
        if number == 5:
            own_broker.signal(signal.SIGSTOP)
        if number == 25:
            own_broker.signal(signal.SIGCONT)
        time.sleep(0.5)
    device.disconnect()
    device.loop_stop()
    assert person.changes(f"{BED}/no-data") == []
    person.wait_for(f"{BED}/no-data", timeout=15, state="active")  # and now the device is silent
