"""The sections of mosquitto.conf for bridges, and the users of a further broker."""

import json

import pytest

from identity.bridge import BridgeLogin, mirror_section, ward_section
from identity.broker_bootstrap import update_users_file, users_of_ward
from identity.policy import Kind, User, merge_users
from mqtt.endpoint import session_id
from vitals.errors import PermanentError
from vitals.topics import Topics

TOPICS = Topics()
LOGIN = BridgeLogin("mirror-b", "10.0.0.1", 8883, "a-word")


def topics_of(section: str) -> dict[str, str]:
    """Return the direction of each topic; each must be given once, because a topic in two directions loops."""
    lines = [line.split(" ") for line in section.splitlines() if line.startswith("topic ")]
    assert all(qos == ("0" if "/alert-commands/" in topic else "1") for _, topic, _, qos in lines)
    assert len({topic for _, topic, _, _ in lines}) == len(lines)
    return {topic: direction for _, topic, direction, _ in lines}


def test_the_mirror_reads_state_and_neither_presence_nor_readings() -> None:
    section = mirror_section(LOGIN, TOPICS)
    directions = topics_of(section)
    assert set(directions.values()) == {"in"}
    levels = {topic.split("/")[1] for topic in directions}
    assert levels == {"alerts", "limits", "assignments", "services", "accounts"}
    assert "vitalflow/services/+/rules" in directions
    assert f"remote_clientid {session_id('mirror-b', b'a-word')}" in section.splitlines()


def test_the_bridge_of_a_ward_sends_and_receives_only_its_ward() -> None:
    directions = topics_of(ward_section(BridgeLogin("edge-1", "broker", 8883, "a-word"), "icu-1", TOPICS))
    for topic, direction in directions.items():
        kind, level = topic.split("/")[1:3]
        assert level == ("alerts-edge-1" if kind == "services" else "icu-1")
        assert direction == ("in" if kind in ("receipts", "limits", "assignments", "alert-commands") else "out")


@pytest.mark.parametrize("text", ["", "a b", "a\nallow_anonymous true", "a\x00"])
def test_no_text_of_a_bridge_ends_its_line(text: str) -> None:
    for parts in [(text, "host", "word"), ("name", text, "word"), ("name", "host", text)]:
        with pytest.raises(PermanentError, match="expected printable characters, no space"):
            BridgeLogin(parts[0], parts[1], 8883, parts[2])
    with pytest.raises(PermanentError, match=r"has a space|expected printable"):
        ward_section(LOGIN, "icu 1", TOPICS)


def test_the_broker_of_a_ward_gets_the_users_of_its_ward() -> None:
    users = [
        User("admin", Kind.ADMIN, password="word-of-admin"),
        User("ingest", Kind.SERVICE, service="ingest", password="word-of-ingest"),
        User("health", Kind.SERVICE, service="health", password="word-of-health"),
        User("bed-1", Kind.DEVICE, "icu-1", "word-of-bed-1"),
        User("bed-9", Kind.DEVICE, "icu-2", "word-of-bed-9"),
        User("ada", Kind.PERSON, "icu-2", "word-of-ada"),
        User("grace", Kind.PERSON, None, "word-of-grace"),
    ]
    content = update_users_file(b"", users, TOPICS)
    assert content is not None
    ward = json.loads(users_of_ward(content, "icu-1"))
    assert {client["username"] for client in ward["clients"]} == {"admin", "health", "bed-1", "grace"}
    assert {role["rolename"] for role in ward["roles"]} == {
        "admin:admin", "service:health", "device:bed-1", "person:grace",
    }  # fmt: skip
    assert json.loads(users_of_ward(content, None)) == json.loads(content)


def test_an_upgrade_renews_the_rights_of_bridges() -> None:
    bridges = [User("mirror-b", Kind.MIRROR, password="w" * 16), User("edge-1", Kind.WARD_BRIDGE, "icu-1", "w" * 16)]
    known = merge_users(None, bridges, TOPICS)
    renamed = merge_users(known, [], Topics("hospital"))
    assert len(renamed["clients"]) == 2
    assert all(acl["topic"].startswith("hospital/") for role in renamed["roles"] for acl in role["acls"])
