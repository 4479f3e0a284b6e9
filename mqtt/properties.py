"""Properties of MQTT 5 packets for paho, whose constructor has no types."""

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def packet_properties(packet: int, **values: int | None) -> Properties:
    """Return the properties of a packet of `PacketTypes`, by their names in paho; those that are None are left out."""
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        if value is not None:
            setattr(properties, name, value)
    return properties


def expiry(expiry_s: int | None) -> Properties | None:
    """Return the properties of a PUBLISH with this Message Expiry Interval; None for none."""
    return None if expiry_s is None else packet_properties(PacketTypes.PUBLISH, MessageExpiryInterval=expiry_s)
