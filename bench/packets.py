"""Encode and decode the MQTT 3.1.1 packets of a device, for `load_generator`, which must use little processor time.

Pure. Not a client library: it knows no QoS 2, and takes what a broker sends for well formed.
"""

from collections.abc import Iterator

from mqtt.packets import packet, string_field

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
PINGREQ = b"\xc0\x00"


def connect(client_id: str, keepalive_s: int, will_topic: str, will: bytes) -> bytes:
    """CONNECT with a clean session and a retained will at QoS 1."""
    flags = 0x02 | 0x04 | 0x08 | 0x20  # clean session, will, its QoS 1, retained
    variable = string_field(b"MQTT") + bytes([4, flags]) + keepalive_s.to_bytes(2, "big")
    payload = text_bytes(client_id) + text_bytes(will_topic) + string_field(will)
    return packet(0x10, variable + payload)


def publish(topic: bytes, payload: bytes, packet_id: int, retain: bool = False) -> bytes:
    """PUBLISH at QoS 1; `topic` as `text_bytes` made it."""
    return packet(0x33 if retain else 0x32, topic + packet_id.to_bytes(2, "big") + payload)


def subscribe(topic: str, packet_id: int) -> bytes:
    """SUBSCRIBE at QoS 1."""
    return packet(0x82, packet_id.to_bytes(2, "big") + text_bytes(topic) + b"\x01")


def puback(packet_id: int) -> bytes:
    """PUBACK."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def parse_packets(received: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """The complete packets at the beginning of `received`, which are removed: kind, packet id, payload.

    Raises ConnectionError for a CONNACK or SUBACK that refuses.
    """
    while True:
        length, start = _remaining(received)
        if length < 0 or len(received) < start + length:
            return
        kind, body = received[0] >> 4, bytes(received[start : start + length])
        first = received[0]
        del received[: start + length]
        if kind == PUBLISH:
            after = 2 + int.from_bytes(body[:2], "big")
            quality = first >> 1 & 3
            number = int.from_bytes(body[after : after + 2], "big") if quality else 0
            yield kind, number, body[after + (2 if quality else 0) :]
            continue
        if (kind == CONNACK and body[1]) or (kind == SUBACK and body[2] == 0x80):
            raise ConnectionError(f"the broker refuses: {body.hex()}")
        yield kind, int.from_bytes(body[:2], "big"), b""


def text_bytes(text: str) -> bytes:
    """A text with its length before it: a topic as `publish` takes it."""
    return string_field(text.encode())


def _remaining(received: bytearray) -> tuple[int, int]:
    """The remaining length of the first packet and where it begins; -1 where that is not there yet."""
    value = 0
    for place in range(1, min(5, len(received))):
        value |= (received[place] & 0x7F) << 7 * (place - 1)
        if not received[place] & 0x80:
            return value, place + 1
    return -1, 0
