"""Match alert commands of users with the alert worker's response: the new state of the alert, or a rejection.

Each user publishes on a topic that ends with the user's name, on the user's own connection. The response is a message
to all subscribers; here it is matched with the pending command. If two users acknowledge at once, both commands are
sent, and the worker decides which was first.
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

ANSWER_TIMEOUT_S = 3.0  # seconds in which a running worker has applied or rejected the command

Publish = Callable[[str, bytes], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """A command that waits for the alert worker's answer."""

    topic: str
    command: Command
    at: datetime
    answer: "asyncio.Future[Alert]"


class PendingCommands:
    """The commands that wait for a response."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._waiting: list[PendingCommand] = []

    async def ask(self, alert: Alert, command: Command, publish: Publish) -> Alert:
        """Send the command and wait for the changed alert; raises RequestRejected, or TransientError without an answer.

        publish   on the connection of the user `command.by`; raises TransientError if the broker is unreachable
        """
        if is_applied(alert, command, datetime.now(UTC)):
            return alert  # the worker publishes no response if nothing changes
        topic = self._topics.alert_commands(alert.ward, alert.device_id, alert.rule, command.by)
        pending = PendingCommand(topic, command, datetime.now(UTC), asyncio.get_running_loop().create_future())
        self._waiting.append(pending)
        try:
            await publish(topic, encode_command(command))
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await pending.answer
        except TimeoutError:
            raise TransientError("the alert service did not respond; check the alert before trying again") from None
        finally:
            self._waiting.remove(pending)

    def on_alert(self, alert: Alert) -> None:
        """Complete the pending commands that this change of an alert fulfils."""
        place = self._topics.alert_commands(alert.ward, alert.device_id, alert.rule)
        for pending in self._waiting:
            if (
                pending.topic == f"{place}/{pending.command.by}"
                and not pending.answer.done()
                and is_applied(alert, pending.command, pending.at)
            ):
                pending.answer.set_result(alert)

    def on_rejection(self, rejection: Rejection) -> None:
        """Fail the oldest pending command on the topic of the rejection."""
        for pending in self._waiting:
            if pending.topic == rejection.topic and not pending.answer.done():
                pending.answer.set_exception(RequestRejected(rejection.reason))
                return


def is_applied(alert: Alert, command: Command, now: datetime) -> bool:
    """Return whether the alert is in the state that the command requests."""
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
