"""Encode packets of MQTT 3.1.1 and 5 by hand (MQTT 5, sections 1.5 and 2.1). Pure."""


def string_field(text: bytes) -> bytes:
    """Return a field of a packet: the length of the text in two bytes, and the text."""
    return len(text).to_bytes(2, "big") + text


def packet(first: int, body: bytes) -> bytes:
    """Return a packet: its first byte, the remaining length with 7 bits per byte, lowest first, and the body."""
    header = bytearray([first])
    length = len(body)
    while True:
        length, digit = divmod(length, 128)
        header.append(digit | 0x80 if length else digit)
        if not length:
            return bytes(header) + body
