"""Read the retained state of a broker, and compare that of two brokers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import Message, connect_once
from vitals.errors import TransientError

ANSWER_S = 10.0
QUIET_S = 0.5  # Mosquitto sends the retained messages right after the SUBACK

Retained = Mapping[str, Message]
"""Retained messages by topic."""


def read_retained(broker: BrokerEndpoint, filters: Sequence[str]) -> dict[str, Message]:
    """Return the retained messages below these filters; raises TransientError if the broker does not answer."""
    found: dict[str, Message] = {}
    with connect_once(broker, [(name, 0) for name in filters]) as client:
        message = client.next(ANSWER_S)
        if message is None:
            raise TransientError(f"the broker at {broker} does not answer within {ANSWER_S:g} s")
        while message is not None:
            if message.topic and message.retained:
                found[message.topic] = message
            message = client.next(QUIET_S)
    return found


@dataclass(frozen=True, slots=True)
class Difference:
    """How the retained state of a broker differs from that of the one in use: topics, sorted."""

    missing: list[str]
    different: list[str]
    surplus: list[str]

    @property
    def count(self) -> int:
        """Return the number of topics."""
        return len(self.missing) + len(self.different) + len(self.surplus)


def compare(used: Retained, other: Retained) -> Difference:
    """Compare the state of the broker in use with that of the other one."""
    return Difference(
        sorted(used.keys() - other.keys()),
        sorted(topic for topic in used.keys() & other.keys() if used[topic].payload != other[topic].payload),
        sorted(other.keys() - used.keys()),
    )
