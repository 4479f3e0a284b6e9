"""The few MQTT packets of the bench's crowd, against what the standard says they look like."""

import pytest

from bench import packets


def test_a_publish_packet_matches_the_standard() -> None:
    # MQTT 3.1.1, 3.3: QoS 1, remaining length, topic, packet id, payload
    packet = packets.publish(packets.text_bytes("a/b"), b"{}", 10)
    assert packet == b"\x32\x09\x00\x03a/b\x00\x0a{}"


def test_a_long_packet_has_its_length_in_two_bytes() -> None:
    packet = packets.publish(packets.text_bytes("a/b"), b"x" * 314, 1)
    assert packet[1:3] == b"\xc1\x02"  # 321, the standard's own example


def test_packets_come_apart_wherever_the_stream_was_cut() -> None:
    stream = b"\x20\x02\x00\x00" + b"\x40\x02\x00\x07" + packets.publish(packets.text_bytes("r/1"), b"x" * 200, 9)
    for cut in range(len(stream)):
        received = bytearray(stream[:cut])
        found = list(packets.parse_packets(received))
        received += stream[cut:]
        found += list(packets.parse_packets(received))
        assert found == [(packets.CONNACK, 0, b""), (packets.PUBACK, 7, b""), (packets.PUBLISH, 9, b"x" * 200)]
        assert not received


def test_a_refusal_is_an_error() -> None:
    with pytest.raises(ConnectionError):
        list(packets.parse_packets(bytearray(b"\x20\x02\x00\x05")))
