"""Salts of the users who have chosen a password, from retained messages. Used on the event loop.

`identity.accounts` publishes a salt when it has set the password, so a salt is also the answer to a change.
"""

import asyncio
from contextlib import suppress

from vitals.errors import PermanentError, TransientError
from vitals.password import decode_salt
from vitals.topics import Topics

READY_TIMEOUT_S = 6.0  # seconds for the retained salts after a start
CHANGE_TIMEOUT_S = 12.0  # seconds for the answer to a change
UNREACHABLE = "there is no connection to the monitors; watch the patients directly"


class ChangeRejected(PermanentError):
    """The password was not changed; the message says why."""


class PasswordSalts:
    """The salt of each user with a chosen password, by name."""

    def __init__(self, topics: Topics) -> None:
        self._prefix = topics.password_salt().removesuffix("+/salt")
        self._salts: dict[str, str] = {}
        self._complete = asyncio.Event()
        self._changes: dict[str, asyncio.Future[str]] = {}

    def begin(self) -> None:
        """A subscription begins; its retained messages follow."""
        self._complete.clear()

    def complete(self) -> None:
        """All retained messages of the subscription have arrived."""
        self._complete.set()

    def take(self, topic: str, payload: bytes) -> None:
        """Apply a message; other topics are ignored."""
        if not topic.startswith(self._prefix):
            return
        name, _, what = topic.removeprefix(self._prefix).partition("/")
        change = self._changes.get(name)
        if what == "rejected":
            if change is not None and not change.done():
                change.set_exception(ChangeRejected(payload.decode(errors="replace")[:200]))
        elif what == "salt" and not payload:
            self._salts.pop(name, None)
        elif what == "salt":
            with suppress(ValueError):
                self._salts[name] = salt = decode_salt(payload)
                if change is not None and not change.done():
                    change.set_result(salt)

    async def find(self, name: str) -> str | None:
        """Return the salt of a user; None for a generated password. Raises TransientError if salts are not known."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._complete.wait()
        except TimeoutError:
            raise TransientError(UNREACHABLE) from None
        return self._salts.get(name)

    def expect(self, name: str) -> "asyncio.Future[str]":
        """Return a future of the user's next salt, or of ChangeRejected; end it with `forget`."""
        if name in self._changes:
            raise TransientError("the password is being changed already; try again in a minute")
        self._changes[name] = change = asyncio.get_running_loop().create_future()
        return change

    def forget(self, name: str) -> None:
        """End the expectation of a user's next salt."""
        self._changes.pop(name).cancel()
