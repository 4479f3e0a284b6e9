"""Talking to the broker's dynamic security plugin, as its admin: one command in, one answer out, over MQTT.

The commands and answers are JSON on two topics below `$CONTROL`. What the plugin has done holds at once, and it writes
its file itself.
"""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from identity.policy import DYNSEC_TOPIC
from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import OneShotClient, connect_once
from vitals.errors import PermanentError, TransientError

TIMEOUT_S = 10.0  # seconds for an answer


class CommandRejected(PermanentError):
    """The plugin's own word against a command."""


class DynsecClient:
    """The admin's connection."""

    def __init__(self, there: OneShotClient) -> None:
        self._there = there

    def execute(self, *commands: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Carry out the commands in order; the data of each answer. Raises CommandRejected with the first objection."""
        mark = secrets.token_hex(8)  # answers to other admins come here too
        marked = [{**command, "correlationData": f"{mark}-{number}"} for number, command in enumerate(commands)]
        self._there.publish(DYNSEC_TOPIC, msgspec.json.encode({"commands": marked}))
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            heard = self._there.next(0.2)
            if heard is None or not heard.topic:
                continue
            answers = [
                answer
                for answer in msgspec.json.decode(heard.payload).get("responses", [])
                if str(answer.get("correlationData", "")).startswith(mark)
            ]
            if not answers:
                continue
            for answer in answers:
                if "error" in answer:
                    raise CommandRejected(str(answer["error"]))
            return [answer.get("data", {}) for answer in answers]
        raise TransientError(f"the broker's security plugin does not answer within {TIMEOUT_S:g} s; is it loaded?")

    def publish(self, messages: Sequence[tuple[str, bytes, bool]]) -> None:
        """Publish (topic, payload, retained), and wait until the broker has them all."""
        for topic, payload, retain in messages:
            self._there.publish(topic, payload, retain=retain)
        self._there.wait_for_publishes()


@contextmanager
def connect_dynsec(admin: BrokerEndpoint) -> Iterator[DynsecClient]:
    """Connect as the admin for the time of the block; raises TransientError where the broker is away or refuses us."""
    try:
        with connect_once(admin, [(f"{DYNSEC_TOPIC}/response", 1)]) as there:
            first = there.next(TIMEOUT_S)
            if first is None:
                raise TransientError(
                    "it does not answer" + ("" if admin.tls else "; if it expects encryption, write mqtts://")
                )
            yield DynsecClient(there)
    except TransientError as away:
        raise TransientError(f"the broker at {admin}: {away}") from None
