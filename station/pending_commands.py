"""What persons ask of the alert worker, and its answer: the alert's new state, or a refusal with the reason.

Each user publishes on a topic that ends with the user's name, on a connection of the user. An answer comes as a
message like any other, to all; here it finds the one who asked. Two who acknowledge at once both ask, and the worker
decides who was first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from station.ward import Rejection
from vitals.alert import Alert, State
from vitals.command import Command, encode_command
from vitals.errors import TransientError
from vitals.limits import RequestRejected
from vitals.topics import Topics

ANSWER_TIMEOUT_S = 3.0  # seconds in which a worker that is there has done or refused what was asked

Publish = Callable[[str, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """A command that waits for the alert worker's answer."""

    topic: str
    command: Command
    at: datetime
    answer: "asyncio.Future[Alert]"


class PendingCommands:
    """Those that wait for an answer."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._waiting: list[PendingCommand] = []

    async def ask(self, alert: Alert, command: Command, publish: Publish) -> Alert:
        """Send the command and wait for the changed alert; raises RequestRejected, or TransientError without an answer.

        publish   as the person whose name is `command.by`; raises TransientError while the broker is away
        """
        if is_applied(alert, command, datetime.now(UTC)):
            return alert  # the worker does not answer what changes nothing
        topic = self._topics.alert_commands(alert.ward, alert.device_id, alert.rule, command.by)
        asked = PendingCommand(topic, command, datetime.now(UTC), asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        try:
            await publish(topic, encode_command(command))
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await asked.answer
        except TimeoutError:
            raise TransientError("the alert service did not respond; check the alert before trying again") from None
        finally:
            self._waiting.remove(asked)

    def on_alert(self, alert: Alert) -> None:
        """An alert has changed."""
        place = self._topics.alert_commands(alert.ward, alert.device_id, alert.rule)
        for asked in self._waiting:
            if (
                asked.topic == f"{place}/{asked.command.by}"
                and not asked.answer.done()
                and is_applied(alert, asked.command, asked.at)
            ):
                asked.answer.set_result(alert)

    def on_rejection(self, rejection: Rejection) -> None:
        """A service has refused; the first who asked for that and still waits is meant."""
        for asked in self._waiting:
            if asked.topic == rejection.topic and not asked.answer.done():
                asked.answer.set_exception(RequestRejected(rejection.reason))
                return


def is_applied(alert: Alert, command: Command, now: datetime) -> bool:
    """Whether the alert stands as the command wants it."""
    match command.action:
        case "acknowledge":
            seen = alert.state in (State.ACKNOWLEDGED, State.CLEARED)
            return seen and alert.acknowledged_by == command.by
        case "pause_audio":
            until = alert.audio_paused_until
            wanted = now + timedelta(seconds=command.seconds)
            return alert.state is State.AUDIO_PAUSED and until is not None and until >= wanted - timedelta(seconds=1)
        case "resume_audio":
            return alert.state is State.ACTIVE
