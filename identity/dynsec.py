"""Admin client of Mosquitto's dynamic security plugin: JSON commands and answers on two topics below `$CONTROL`.

A command takes effect at once, and the plugin saves its file itself.
"""

import logging
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

TIMEOUT_S = 10.0  # for an answer
CHANGES = ("create", "delete", "modify")  # how commands begin that change something
log = logging.getLogger("identity")


class CommandRejected(PermanentError):
    """The plugin rejected a command; the text is the plugin's."""


class DynsecClient:
    """The admin's connection.

    pair   the brokers of a pair, as their admin: what changes something is executed at each of them too. One that is
           unreachable is logged; `vitalflow identity export-broker` brings it up to date.
    """

    def __init__(self, client: OneShotClient, pair: Sequence[BrokerEndpoint] = ()) -> None:
        self._client = client
        self._pair = pair

    def execute(self, *commands: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Execute the commands in order and return the data of each answer.

        Raises CommandRejected with the first error, TransientError if no answer comes in time.
        """
        answers = self._execute(*commands)
        changes = [command for command in commands if str(command["command"]).startswith(CHANGES)]
        for broker in self._pair if changes else ():
            try:
                with connect_dynsec(broker) as other:
                    other.repeat(changes)
            except (TransientError, CommandRejected) as error:
                log.warning("changed at one broker only: %s; run `identity export-broker` for the other one", error)
        return answers

    def repeat(self, commands: Sequence[Mapping[str, Any]]) -> None:
        """Execute changes that another broker has executed; this may be the same one, or one that missed changes."""
        for command in commands:
            try:
                self._execute(command)
            except CommandRejected as error:
                if "already exists" not in str(error):
                    if "not found" in str(error):
                        continue  # deleted already
                    raise
                # Not deleted and created again: Mosquitto 2.0.21 crashes if a role is deleted that a user still has.
                modify = str(command["command"]).replace("create", "modify")
                self._execute({**command, "command": modify})

    def _execute(self, *commands: Mapping[str, Any]) -> list[dict[str, Any]]:
        mark = secrets.token_hex(8)  # answers to other admins arrive here too
        marked = [{**command, "correlationData": f"{mark}-{number}"} for number, command in enumerate(commands)]
        self._client.publish(DYNSEC_TOPIC, msgspec.json.encode({"commands": marked}))
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            message = self._client.next(0.2)
            if message is None or not message.topic:
                continue
            answers = [
                answer
                for answer in msgspec.json.decode(message.payload).get("responses", [])
                if str(answer.get("correlationData", "")).startswith(mark)
            ]
            for answer in answers:
                if "error" in answer:
                    raise CommandRejected(str(answer["error"]))
            if answers:
                return [answer.get("data", {}) for answer in answers]
        raise TransientError(f"the broker's security plugin does not answer within {TIMEOUT_S:g} s; is it loaded?")

    def publish(self, messages: Sequence[tuple[str, bytes, bool]]) -> None:
        """Publish (topic, payload, retain), and wait until the broker has confirmed all of them."""
        for topic, payload, retain in messages:
            self._client.publish(topic, payload, retain=retain)
        self._client.wait_for_publishes()


@contextmanager
def connect_dynsec(admin: BrokerEndpoint, pair: Sequence[BrokerEndpoint] = ()) -> Iterator[DynsecClient]:
    """Connect as the admin; raises TransientError if the broker is unreachable or refuses the connection.

    pair   the brokers of a pair at their own addresses, as their admin
    """
    try:
        with connect_once(admin, [(f"{DYNSEC_TOPIC}/response", 1)]) as client:
            first = client.next(TIMEOUT_S)
            if first is None:
                raise TransientError(
                    "it does not answer" + ("" if admin.tls else "; if it expects encryption, write mqtts://")
                )
            yield DynsecClient(client, pair)
    except TransientError as error:
        raise TransientError(f"the broker at {admin}: {error}") from None
