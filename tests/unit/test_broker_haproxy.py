"""The sections of haproxy.cfg for a pair of brokers."""

import re

from identity.haproxy import Listener, broker_sections, connect_packet

LISTENERS = [
    Listener("passwords", ":8883", {"a": "10.0.0.1:8883", "b": "10.0.0.2:8883"}),
    Listener("certificates", ":8884", {"a": "10.0.0.1:8884", "b": "10.0.0.2:8884"}),
]
MIRRORS = {"a": ":18831", "b": ":18832"}
TEXT = broker_sections(LISTENERS, MIRRORS, ca_file="/ca.crt", host_name="broker", login=("health", "word"))


def sections(text: str) -> dict[str, str]:
    return {part.split("\n")[0]: part for part in re.split(r"^listen ", text, flags=re.MULTILINE)[1:]}


def test_every_listener_follows_the_broker_of_the_first_one() -> None:
    found = sections(TEXT)
    assert list(found) == ["brokers", "brokers-certificates", "mirror-of-a", "mirror-of-b"]
    assert "server a 10.0.0.1:8883 id 1\n" in found["brokers"]
    assert "server b 10.0.0.2:8883 id 2 backup\n" in found["brokers"]
    follows = "track brokers/b on-marked-down shutdown-sessions backup\n"
    assert f"server b 10.0.0.2:8884 id 2 {follows}" in found["brokers-certificates"]
    assert "stick on int(1) table brokers\n" in found["brokers-certificates"]


def test_a_mirror_is_accepted_only_while_the_broker_that_it_reads_has_the_clients() -> None:
    found = sections(TEXT)
    for number, (name, bind) in enumerate(MIRRORS.items(), 1):
        section = found[f"mirror-of-{name}"]
        assert f"bind {bind}\n" in section
        assert f"connection reject unless {{ int(1),table_server_id(brokers) eq {number} }}" in section
        assert [line for line in section.splitlines() if line.startswith("    server ")] == [
            f"    server {name} 10.0.0.{number}:8883 id {number} track brokers/{name} on-marked-down shutdown-sessions"
        ]


def test_the_check_sends_a_whole_connect_and_expects_the_answer_to_its_login() -> None:
    assert connect_packet(("health", "word")) == (
        b"\x10\x1a\x00\x04MQTT\x04\xc2\x00\x3c\x00\x00\x00\x06health\x00\x04word"
    )
    assert "expect rbinary ^20020000\n" in TEXT
