"""Manage sessions: of browsers by cookie, of scripts by name and password. In memory; the broker verifies the users.

All sessions of one user with one password share one connection to the broker (`UserConnection`), and end if the broker
ends that connection and rejects the next one.
"""

import asyncio
import hashlib
import hmac
import logging
import math
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from mqtt.endpoint import BrokerEndpoint
from mqtt.failover import BrokerOrder
from station.auth.login_throttle import LoginThrottle
from station.auth.password_salts import CHANGE_TIMEOUT_S, PasswordSalts
from station.auth.sign_in_audit import SignInAudit
from station.auth.user_connection import InvalidCredentials, NoWard, UserConnection
from station.hub import Subscriber
from vitals.errors import TransientError
from vitals.password import (
    MAX_LENGTH,
    ChosenPassword,
    PasswordRejected,
    derive_secret,
    new_salt,
    require_acceptable,
)
from vitals.topics import Topics, is_name

log = logging.getLogger("station")

SESSION_IDLE_S = 1800.0  # seconds after which a session without an open page or a request ends
API_USER_IDLE_S = 300.0  # seconds that a script's user stays connected after the last request
VERIFY_TIMEOUT_S = 8.0  # seconds for the broker's response, the wait included
MAX_CONCURRENT_LOGINS = 2  # further ones wait, so that many logins do not block the event loop or the broker
MAX_CONCURRENT_DERIVATIONS = 2  # of secrets from passwords, 0.2 s of a processor and 16 MiB each
MAX_USERS = 500
MAX_SESSIONS_PER_USER = 50  # the least recently used one is ended
DUMMY_SALT = new_salt()

WRONG_CREDENTIALS = "wrong name or password"
REVOKED = "Your login has ended: your access was revoked or your password was changed. Ask your administrator."
NO_SERVICE = "nothing was changed: the service that changes passwords is down; tell your technical support"
UNCERTAIN = (
    "it is not certain that the password was changed; sign in with the new one, or with the old one if that fails"
)
IDLE = "Your login has ended because no page was open for half an hour."
SIGNED_OUT = "You have signed out."


class TooManyAttempts(TransientError):
    """Too many attempts; the next one is allowed after `wait_s` seconds."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many attempts; try again in {wait_s} s")
        self.wait_s = wait_s


@dataclass(eq=False, slots=True)
class WebSession:
    """The session of one browser. `over`: the reason why it has ended."""

    user: UserConnection
    token: str
    used_at: float
    browsers: set[Subscriber] = field(default_factory=set)  # its open pages
    over: str | None = None
    is_changing_password: bool = False  # it outlasts the user's present connection

    def end(self, why: str) -> None:
        """End the session with the reason that its pages show."""
        self.over = why
        self.turn()

    def turn(self) -> None:
        """Make its pages start their event stream again."""
        for browser in self.browsers:
            browser.leave()


class SessionManager:
    """All sessions. `wards` returns the wards that the station knows."""

    def __init__(
        self, order: BrokerOrder, topics: Topics, salts: PasswordSalts, wards: Callable[[], Collection[str]]
    ) -> None:
        self.audit = SignInAudit()
        self.checked = 0  # logins that were checked with the broker
        self.rejected = 0  # rejected logins
        self._order = order
        self._topics = topics
        self._salts = salts
        self._wards = wards
        self._key = secrets.token_bytes(32)
        self._turn = asyncio.Semaphore(MAX_CONCURRENT_LOGINS)
        self._derivation_turn = asyncio.Semaphore(MAX_CONCURRENT_DERIVATIONS)
        self._attempts = LoginThrottle()
        self._users: dict[bytes, UserConnection] = {}
        self._tasks: dict[bytes, asyncio.Task[None]] = {}
        self._used_at: dict[bytes, float] = {}
        self._sessions: dict[str, WebSession] = {}

    # --- logging in ---

    async def verify(self, name: str, password: str, address: str, *, script: bool = False) -> UserConnection:
        """Return the user's connection; raises InvalidCredentials, TooManyAttempts or TransientError.

        script   not a sign-in if the user is connected: a script sends name and password with each request
        """
        now = asyncio.get_running_loop().time()
        key = self._key_of(name, password)
        known = self._users.get(key)
        if known is None or not known.is_verified:
            wait_s = self._attempts.wait(name, address, now)
            if wait_s > 0:
                self.rejected += 1
                self.audit.refused(name, address, datetime.now(UTC))
                raise TooManyAttempts(math.ceil(wait_s))
            self._attempts.begin(name, address, now)
            self.checked += 1
            try:
                async with asyncio.timeout(VERIFY_TIMEOUT_S):
                    known = await self._connect_user(key, name, password)
            except TimeoutError:
                self._attempts.good(name, address)
                raise TransientError(
                    "the name and password could not be checked in time; try again in a minute"
                ) from None
            except InvalidCredentials as unwanted:
                self.rejected += 1
                self.audit.refused(name, address, datetime.now(UTC))
                # Without the name: it may be a password in the wrong field.
                log.warning("login failed from %s", address)
                if isinstance(unwanted, NoWard):
                    raise
                if is_name(name) and await self._salts.find(name) is None:
                    await self._derive(password, DUMMY_SALT)  # as slow as for a user who has chosen a password
                raise InvalidCredentials(WRONG_CREDENTIALS) from unwanted
            except TransientError:
                self._attempts.good(name, address)
                raise
            self._attempts.good(name, address)
        elif script:
            self._used_at[key] = now
            return known
        self.audit.signed_in(name, address, datetime.now(UTC))
        self._used_at[key] = now
        return known

    def sign_in(self, user: UserConnection) -> WebSession:
        """Start a session of a verified user."""
        mine = [session for session in self._sessions.values() if session.user is user]
        if len(mine) >= MAX_SESSIONS_PER_USER:
            self._end(min(mine, key=lambda session: (bool(session.browsers), session.used_at)), IDLE)
        session = WebSession(user, secrets.token_urlsafe(32), asyncio.get_running_loop().time())
        self._sessions[session.token] = session
        return session

    def find(self, token: str) -> WebSession | None:
        """Return the session of a cookie, and count this as its use."""
        session = self._sessions.get(token)
        if session is not None:
            session.used_at = asyncio.get_running_loop().time()
        return session

    async def change_password(self, session: WebSession, old: str, new: str, address: str) -> None:
        """Give the user of a session a password of the user's choice; other sessions of the user end.

        Raises PermanentError with the reason for a refusal, TooManyAttempts, or TransientError.
        """
        user, now = session.user, asyncio.get_running_loop().time()
        name, key = user.name, self._key_of(user.name, new)
        if (wait_s := self._attempts.wait(name, address, now)) > 0:
            raise TooManyAttempts(math.ceil(wait_s))
        if self._users.get(self._key_of(name, old)) is not user:
            self._attempts.begin(name, address, now)
            self.audit.refused(name, address, datetime.now(UTC))
            raise InvalidCredentials("the current password is wrong")
        if new == old:
            raise PasswordRejected("the new password is the current one; choose another")
        require_acceptable(new, name)
        salt = new_salt()
        chosen = ChosenPassword(salt=salt, secret=await self._derive(new, salt))
        change, session.is_changing_password = self._salts.expect(name), True
        try:
            if not await user.publish(self._topics.password_changes(name), msgspec.json.encode(chosen)):
                raise TransientError(NO_SERVICE)
            async with asyncio.timeout(CHANGE_TIMEOUT_S):
                if await change != salt:
                    raise TransientError(UNCERTAIN)
            session.user = await self._connect_user(key, name, new)
            session.turn()
            self._disconnect_user(self._key_of(name, old))
        except TimeoutError:
            raise TransientError(UNCERTAIN) from None
        finally:
            self._salts.forget(name)
            session.is_changing_password = False
            if session.user is user and user not in self._users.values():
                self._end(session, REVOKED)

    # --- logging out ---

    def sign_out(self, session: WebSession) -> None:
        """End this session; others of its user stay."""
        self._end(session, SIGNED_OUT)
        self.expire_sessions(asyncio.get_running_loop().time())

    def expire_sessions(self, now: float) -> None:
        """End unused sessions, and the broker connections of users without one."""
        for session in list(self._sessions.values()):
            if session.browsers:
                session.used_at = now
            elif now - session.used_at > SESSION_IDLE_S:
                self._end(session, IDLE)
        needed = {session.user for session in self._sessions.values()}
        for key, user in list(self._users.items()):
            if user.is_verified and user not in needed and now - self._used_at.get(key, 0.0) > API_USER_IDLE_S:
                self._disconnect_user(key)

    async def close(self) -> None:
        """Disconnect all users from the broker."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- connections to the broker ---

    def refresh_wards(self) -> None:
        """Request the rights of every user for new wards."""
        wards = self._wards()
        for user in self._users.values():
            user.refresh_wards(wards)

    @property
    def signed_in(self) -> int:
        """Return the number of sessions."""
        return len(self._sessions)

    async def _connect_user(self, key: bytes, name: str, password: str) -> UserConnection:
        """Return the user's own connection; simultaneous requests share one."""
        if not is_name(name) or not 0 < len(password) <= MAX_LENGTH or "\0" in password:
            raise InvalidCredentials("no user can have that name or password")
        if key not in self._users:
            if len(self._users) >= MAX_USERS:
                raise TransientError(f"{MAX_USERS} people are signed in already; one of them must sign out first")

            async def login() -> BrokerEndpoint:
                salt = await self._salts.find(name)
                secret = password if salt is None else await self._derive(password, salt)
                return self._order.current.as_user(name, secret)

            self._users[key] = user = UserConnection(
                name, login, self._order, self._topics, self._turn, self._wards, self._changed
            )
            self._used_at[key] = asyncio.get_running_loop().time()  # so that it is not expired while it connects
            self._tasks[key] = task = asyncio.create_task(user.stay())
            task.add_done_callback(lambda done: self._on_connection_end(key, user, done))
        user = self._users[key]
        await asyncio.shield(user.verified)
        return user

    def _disconnect_user(self, key: bytes) -> None:
        """Forget a user with a password, and end the connection and the sessions that it has."""
        user = self._users.pop(key, None)
        if user is None:
            return  # the broker was faster
        self._tasks[key].cancel()
        for session in [session for session in self._sessions.values() if session.user is user]:
            self._end(session, REVOKED)

    async def _derive(self, password: str, salt: str) -> str:
        """Return the secret for the broker. Guesses wait for each other here, and delay no user who reconnects."""
        async with self._derivation_turn:
            return await asyncio.to_thread(derive_secret, password, salt)

    def _changed(self, user: UserConnection) -> None:
        for session in self._sessions.values():
            if session.user is user:
                session.turn()

    def _on_connection_end(self, key: bytes, user: UserConnection, task: "asyncio.Task[None]") -> None:
        """End the sessions of a user whose connection has ended permanently."""
        if self._users.get(key) is user:
            del self._users[key]
        if self._tasks.get(key) is task:
            del self._tasks[key]
            self._used_at.pop(key, None)
        if not user.verified.done():  # cancelled while connecting
            user.verified.set_exception(TransientError("the station is stopping"))
        with suppress(asyncio.CancelledError):
            user.verified.exception()  # marks the error as retrieved: the waiting request may have ended
        for session in [session for session in self._sessions.values() if session.user is user]:
            if session.is_changing_password:
                continue
            log.info("%r is signed out: the broker rejects this login", user.name)
            self._end(session, REVOKED)
        if not task.cancelled():
            task.result()

    def _end(self, session: WebSession, why: str) -> None:
        self._sessions.pop(session.token, None)
        session.end(why)

    def _key_of(self, name: str, password: str) -> bytes:
        """Return a keyed digest that identifies name and password without storing them."""
        credentials = b"\0".join(text.encode("utf-8", "surrogatepass") for text in (name, password))
        return hmac.digest(self._key, credentials, hashlib.sha256)
