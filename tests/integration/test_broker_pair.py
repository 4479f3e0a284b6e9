"""A pair of brokers: users, rights and certificates from one source, and the mirror of the retained state."""

import json
import os
from pathlib import Path

from identity.retained import read_retained
from tests.fixtures.broker_pair import BrokerPair, printed_by
from tests.fixtures.secured import Secured
from tests.support.mqtt_probe import MqttProbe, connects, publishes
from tests.support.servers import eventually
from vitals.topics import Topics

TOPICS = Topics()
# The user who may publish each kind of retained state, and one of its topics.
STATE = [
    ("alerts", TOPICS.alert("icu-1", "bed-1", "spo2-low")),
    ("alerts", TOPICS.rules("alerts")),
    ("station", TOPICS.limits("icu-1", "bed-1")),
    ("station", TOPICS.assignments("icu-1", "bed-1")),
    ("admin", TOPICS.password_salt("ada")),
]
PRESENCE = [("bed-1", TOPICS.status("icu-1", "bed-1")), ("alerts", TOPICS.service("alerts"))]


def retain(on: Secured, user: str, topic: str, payload: bytes) -> None:
    """Publish a retained message; a device has one client id."""
    broker = on.broker(user)
    with MqttProbe(broker, broker.client_id(user) if user.startswith("bed") else "") as client:
        assert client.connected == "Success"
        assert client.publish(topic, payload, retain=True) in ("Success", "No matching subscribers")


def read_all(server: Secured) -> dict[str, bytes]:
    """Read what the station may read of the retained state, and the rules."""
    filters = [TOPICS.alerts(), TOPICS.limits(), TOPICS.assignments(), TOPICS.password_salt(), TOPICS.all_status]
    found = read_retained(server.broker("station"), [*filters, f"{TOPICS.root}/services/#"])
    return {topic: message.payload for topic, message in found.items()}


def test_the_second_broker_mirrors_retained_state_without_presence(broker_pair: BrokerPair) -> None:
    first, second = broker_pair.first, broker_pair.second
    for user, topic in [*STATE, *PRESENCE]:
        retain(first, user, topic, b'{"n":1}')
    eventually(lambda: read_all(second) == {topic: b'{"n":1}' for _, topic in STATE}, 30, "the state is mirrored")
    for user, topic in STATE[:3]:
        retain(first, user, topic, b"")
    eventually(lambda: read_all(second).keys() == {topic for _, topic in STATE[3:]}, 30, "what is cleared is cleared")
    # What is published while the mirror is away, and after its return, arrives too.
    second.server.kill()
    for user, topic in STATE:
        retain(first, user, topic, b'{"n":2}')
    second.server.start()
    eventually(lambda: read_all(second) == {topic: b'{"n":2}' for _, topic in STATE}, 30, "the state is mirrored anew")


def test_what_was_deleted_while_the_second_broker_was_down_goes_with_its_stored_messages(
    broker_pair: BrokerPair,
) -> None:
    first, second = broker_pair.first, broker_pair.second
    for user, topic in STATE[:3]:
        retain(first, user, topic, b'{"n":1}')
    eventually(lambda: len(read_all(second)) == 3, 30, "the state is mirrored")
    second.server.stop()
    for user, topic in STATE[1:3]:
        retain(first, user, topic, b"")
    [stored] = second.server.folder.rglob("mosquitto.db")
    stored.unlink()
    second.server.start()
    eventually(lambda: read_all(second) == {STATE[0][1]: b'{"n":1}'}, 30, "the state is that of the first broker")


def test_enrolled_and_revoked_users_are_brought_to_the_second_broker(broker_pair: BrokerPair) -> None:
    first, second = broker_pair.first, broker_pair.second
    assert connects(second.broker("ada")) == "Success"
    first.enroll("bed-3", "icu-1", "word-of-bed-3")
    broker_pair.run("identity", "user", "revoke", "ada")
    second.server.stop()
    broker_pair.export()
    second.server.start()
    bed = second.broker("bed-3")
    assert connects(bed, bed.client_id("bed-3")) == "Success"
    assert connects(second.broker("ada")) == "Not authorized"
    topic = TOPICS.vitals("icu-1", "bed-1")
    assert publishes(bed, bed.client_id("bed-3"), topic) == "Not authorized"


def of_both(pair: BrokerPair) -> dict[str, str]:
    """The settings of an operator who changes users at both brokers."""
    both = ",".join(f"mqtts://127.0.0.1:{one.server.port}" for one in (pair.first, pair.second))
    return os.environ | pair.first.settings("operator") | {"VITALFLOW_MQTT_STANDBY_URLS": both}


def test_many_devices_are_enrolled_at_both_brokers(broker_pair: BrokerPair, tmp_path: Path) -> None:
    passwords = tmp_path / "devices.json"
    line = ["devices", "enroll-simulated", "--count", "20", "--ward", "icu-9", "--credentials", str(passwords)]
    environ = os.environ | broker_pair.first.settings("operator")
    environ["VITALFLOW_ADMIN_URL"] += f",mqtts://127.0.0.1:{broker_pair.second.server.port}"
    for _ in range(2):
        printed_by(line, environ)
    for name, found in json.loads(passwords.read_text()).items():
        for one in (broker_pair.first, broker_pair.second):
            broker = one.broker(name, found["password"])
            assert connects(broker, broker.client_id(name)) == "Success"


def test_a_change_of_users_is_made_at_both_brokers(broker_pair: BrokerPair) -> None:
    first, second = broker_pair.first, broker_pair.second
    environ = of_both(broker_pair)

    def password(name: str, *more: str) -> str:
        printed = printed_by(["identity", "add-service", name, "--service", "alerts", *more], environ)
        return printed.partition(f"//{name}:")[2].partition("@")[0]

    added = password("alerts-2")
    assert [connects(one.broker("alerts-2", added)) for one in (first, second)] == ["Success"] * 2
    changed = password("alerts-2", "--rotate-password")
    assert [connects(one.broker("alerts-2", added)) for one in (first, second)] == ["Not authorized"] * 2
    assert [connects(one.broker("alerts-2", changed)) for one in (first, second)] == ["Success"] * 2
    printed_by(["identity", "user", "revoke", "alerts-2"], environ)
    assert [connects(one.broker("alerts-2", changed)) for one in (first, second)] == ["Not authorized"] * 2
    # The second broker missed a change: the next one makes it equal.
    second.server.stop()
    password("alerts-3")
    second.server.start()
    password("alerts-3", "--rotate-password")
    printed_by(["identity", "user", "revoke", "alerts-3"], environ)
    last = password("alerts-3")
    assert [connects(one.broker("alerts-3", last)) for one in (first, second)] == ["Success"] * 2
