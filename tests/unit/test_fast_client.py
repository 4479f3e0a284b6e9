"""The publish fast path: packets cut anywhere, both protocol versions, and paho's own packets left to paho."""

import socket
from importlib.metadata import version
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from mqtt.fast_client import FastClient, PublishFastPath

Delivered = tuple[bytes, bytes, int, bool, bool]


def varint(number: int) -> bytes:
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(digits)


def publish(message: Delivered, properties: bytes | None) -> bytes:
    """A PUBLISH packet, built from the standard and not from the code under test (MQTT 5.0, section 3.3)."""
    topic, payload, number, retained, dup = message
    body = len(topic).to_bytes(2, "big") + topic
    if number:
        body += number.to_bytes(2, "big")
    if properties is not None:
        body += varint(len(properties)) + properties
    body += payload
    return bytes([0x30 | dup << 3 | (0x02 if number else 0) | retained]) + varint(len(body)) + body


PINGRESP = b"\xd0\x00"
messages = st.tuples(
    st.binary(max_size=40), st.binary(max_size=400), st.integers(0, 65535), st.booleans(), st.booleans()
).filter(lambda message: message[2] > 0 or not message[4])  # at QoS 0 nothing comes again


@given(st.lists(messages, max_size=8), st.none() | st.binary(max_size=200), st.lists(st.integers(1, 50)))
def test_every_message_is_delivered_once_wherever_the_stream_is_cut(
    sent: list[Delivered], properties: bytes | None, pieces: list[int]
) -> None:
    here, there = socket.socketpair()
    here.setblocking(False)
    got: list[Delivered] = []
    fast_path = PublishFastPath(here, lambda *message: got.append(message), has_properties=properties is not None)
    stream = b"".join(publish(message, properties) + PINGRESP for message in sent)
    for size in [*pieces, len(stream) + 1]:
        piece, stream = stream[:size], stream[size:]
        if piece:
            there.sendall(piece)
            fast_path.receive()
    assert got == sent
    control = b""
    while fast_path.has_control:
        control += fast_path.recv(1)
    assert control == PINGRESP * len(sent)
    with pytest.raises(BlockingIOError):
        fast_path.recv(1)
    here.close()
    there.close()


def test_the_end_of_the_connection_reaches_paho_after_its_last_packet() -> None:
    here, there = socket.socketpair()
    here.setblocking(False)
    fast_path = PublishFastPath(here, lambda *_: None, has_properties=True)
    there.sendall(PINGRESP)
    there.close()
    fast_path.receive()
    fast_path.receive()
    assert [fast_path.recv(1), fast_path.recv(1), fast_path.recv(1)] == [b"\xd0", b"\x00", b""]
    here.close()


def test_acknowledgements_are_pubacks_in_order() -> None:
    here, there = socket.socketpair()
    fast_path = PublishFastPath(here, lambda *_: None, has_properties=True)
    fast_path.acknowledge([1, 65535, 258])
    assert fast_path.unsent
    fast_path.flush()
    assert not fast_path.unsent
    assert there.recv(100) == bytes.fromhex("40020001 4002ffff 40020102")
    here.close()
    there.close()


@pytest.mark.parametrize("size", [0, 100, 200, 20_000])
def test_publish_sends_qos_0(size: int) -> None:
    for properties in (None, b""):
        here, there = socket.socketpair()
        fast_path = PublishFastPath(here, lambda *_: None, has_properties=properties is not None)
        fast_path.publish(b"a/topic", b"x" * size)
        fast_path.flush()
        assert there.recv(100_000) == publish((b"a/topic", b"x" * size, 0, False, False), properties)
        here.close()
        there.close()


def test_a_full_socket_keeps_the_rest_for_later() -> None:
    here, there = socket.socketpair()
    here.setblocking(False)
    fast_path = PublishFastPath(here, lambda *_: None, has_properties=True)
    fast_path.acknowledge(i % 65535 + 1 for i in range(300_000))
    fast_path.flush()
    assert fast_path.unsent
    got = 0
    while fast_path.unsent:
        got += len(there.recv(1 << 20))
        fast_path.flush()
    there.setblocking(False)
    while got < 4 * 300_000:
        got += len(there.recv(1 << 20))
    assert got == 4 * 300_000
    here.close()
    there.close()


def test_the_undocumented_names_of_paho_that_are_used_belong_to_this_version() -> None:
    # Another version: read the changes of paho/mqtt/client.py around these names, run the tests, then move this line.
    assert version("paho-mqtt") == "2.2.0"
    assert "self._sock = self._create_socket()" in Path(str(mqtt.__file__)).read_text()
    assert FastClient._create_socket is not mqtt.Client._create_socket
    for name in ("_create_socket", "_create_socket_connection", "_sock_close"):
        assert callable(getattr(mqtt.Client, name))
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    assert hasattr(client, "_ssl_context")
    assert hasattr(client, "_host")


def test_a_topic_with_a_callback_of_its_own_does_not_reach_deliver() -> None:
    here, there = socket.socketpair()
    with here, there:
        got: list[tuple[str, bytes]] = []
        fast_path = PublishFastPath(
            here,
            lambda topic, *_: got.append(("deliver", topic)),
            has_properties=False,
            callbacks={b"services/ingest": lambda topic, *_: got.append(("callback", topic))},
        )
        there.sendall(
            b"".join(b"\x30" + bytes([len(t) + 2, 0, len(t)]) + t for t in (b"a/b", b"services/ingest", b"c"))
        )
        fast_path.receive()
    assert got == [("deliver", b"a/b"), ("callback", b"services/ingest"), ("deliver", b"c")]
