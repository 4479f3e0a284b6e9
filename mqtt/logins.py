"""Find, in the broker's log, refused logins and users that log in without a reading of theirs arriving.

A broker of MQTT 3.1.1 answers a publish that it denies as if it had accepted it, and Mosquitto logs it at the level
`debug` only, which costs a third of its time per message. So a device with a wrong topic is found by what is missing:
it logged in, and no reading follows. Pure: the caller passes log lines, senders and the time.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mqtt.broker_log import (
    NO_LOGIN,
    Connected,
    ConnectionFailed,
    Ended,
    LoginRefused,
    NewConnection,
    Subscribed,
    parse_broker_log,
)
from vitals.payload import DECODE_ERRORS

REPORTED_AFTER = timedelta(seconds=60)
"""A device that logged in this long ago and of which no reading has arrived since is reported."""
FORGOTTEN_AFTER = timedelta(days=1)
LOG_INTERVAL = timedelta(minutes=10)  # between two log lines about one client id, or about one address and reason
MAX_USERS = 50_000  # users and client ids are remembered up to this number
MAX_REPORTED = 100  # users without readings, and refused client ids, in a report
MAX_SHOWN = 200  # characters of a name
# What to do, by a part of OpenSSL's reason.
ADVICE = {
    "http request": "the client does not use TLS; it must connect with mqtts",
    "wrong version number": "the client does not use TLS; it must connect with mqtts",
    "packet length too long": "the client does not use TLS; it must connect with mqtts",
    "alert": "the client does not trust the broker's certificate: give it ca.crt, and use a name in the certificate",
    "no shared cipher": "the client needs TLS 1.2 or later",
    "unsupported protocol": "the client needs TLS 1.2 or later",
    "did not return a certificate": "this port requires a device certificate",
    "certificate verify failed": "the certificate of the client is expired, revoked or of another CA",
    NO_LOGIN: "the client does not use TLS, does not trust the broker's certificate, has no accepted certificate,"
    ' or sends no MQTT; the line "OpenSSL Error" in the log of the broker has the reason',
}
OWN_TOPICS = ("/receipts/", "/limits/")  # devices subscribe only to these

Time = Annotated[datetime, Meta(tz=True)]


class LoginWithoutReadings(Struct, frozen=True, kw_only=True):
    """A user of which no reading arrived since its login. `since`: its first such login."""

    user: str
    client_id: str
    address: str
    protocol: str
    since: Time
    connected: bool = True
    ended: str = ""

    def __str__(self) -> str:
        return f"{self.user!a} (client id {self.client_id!a}, {self.address}, {self.protocol})"


class RefusedLogin(Struct, frozen=True, kw_only=True):
    """Refused logins with one client id."""

    client_id: str
    count: int
    last: Time


class LoginReport(Struct, frozen=True, kw_only=True):
    """The retained message on `services/{name}/logins`."""

    without_readings: list[LoginWithoutReadings] = []
    refused: list[RefusedLogin] = []


_decode = msgspec.json.Decoder(LoginReport).decode


def encode_login_report(report: LoginReport) -> bytes:
    """Encode as a JSON object."""
    return msgspec.json.encode(report)


def decode_login_report(payload: bytes) -> LoginReport | None:
    """Decode a report; None if the payload is malformed or empty."""
    try:
        return _decode(payload)
    except DECODE_ERRORS:
        return None


class Logins:
    """Logins at the broker, as far as its log was received.

    refused    number of refused logins
    failed     number of connections that failed before their login
    changed    whether `report` differs from the last time it was called
    """

    def __init__(self) -> None:
        self.refused = self.failed = 0
        self.changed = False
        self._users: dict[str, str] = {}  # by client id
        self._waiting: dict[str, LoginWithoutReadings] = {}  # by user: no reading yet
        self._reported: set[str] = set()  # users of `_waiting` that are in the report
        self._readers: set[str] = set()  # users with a subscription that devices do not have
        self._refused: dict[str, RefusedLogin] = {}
        self._logged: dict[str, datetime] = {}  # by client id: when a refused login was logged
        self._newest_address = ""  # of a new connection
        self._failed_at: dict[tuple[str, str], datetime] = {}  # by address and reason: when a failure was logged
        self._behind_at: datetime | None = None

    def restore(self, report: LoginReport) -> None:
        """Continue with the report of an earlier process."""
        for login in report.without_readings:
            self._waiting.setdefault(login.user, login)
            self._reported.add(login.user)
        for refused in report.refused:
            self._refused.setdefault(refused.client_id, refused)

    def take(self, topic: str, line: str, now: datetime) -> str | None:
        """Take a line of the broker's log; return a sentence to log, if there is one."""
        match parse_broker_log(topic, line):
            case Connected(client_id, user, address, protocol):
                self._connect(client_id[:MAX_SHOWN], user, address, protocol, now)
            case Subscribed(client_id, topic_filter):
                self._subscribe(client_id[:MAX_SHOWN], topic_filter)
            case Ended(client_id, reason):
                user = self._users.pop(client_id[:MAX_SHOWN], "")
                if (waiting := self._waiting.get(user)) is not None:
                    self._waiting[user] = msgspec.structs.replace(waiting, connected=False, ended=reason)
                    self.changed |= user in self._reported
            case LoginRefused(client_id):
                return self._refuse(client_id[:MAX_SHOWN], now)
            case NewConnection(address):
                self._newest_address = address
            case ConnectionFailed(address, reason):
                return self._fail(address, reason[:MAX_SHOWN], now)
        return None

    def note_readings(self, devices: Iterable[str]) -> None:
        """Note that readings of these devices arrived, readable or not."""
        if not self._waiting:
            return
        for device in devices:
            if self._waiting.pop(device, None) is not None and device in self._reported:
                self._reported.discard(device)
                self.changed = True

    def behind(self, now: datetime) -> None:
        """Note that readings wait at the broker, so that a user without a reading may have sent some."""
        self._behind_at = now

    def newly_without_readings(self, now: datetime) -> list[LoginWithoutReadings]:
        """Return each user once without a reading for REPORTED_AFTER in which no readings waited at the broker."""
        if self._behind_at is not None and now - self._behind_at < REPORTED_AFTER:
            return []
        for user in [user for user, login in self._waiting.items() if now - login.since > FORGOTTEN_AFTER]:
            del self._waiting[user]
            self.changed |= user in self._reported
            self._reported.discard(user)
        found = [
            login
            for user, login in self._waiting.items()
            if user not in self._reported and now - login.since >= REPORTED_AFTER
        ]
        self._reported.update(login.user for login in found)
        self.changed |= bool(found)
        return found

    @property
    def without_readings(self) -> int:
        """Number of users without a reading for REPORTED_AFTER."""
        return len(self._reported)

    def waiting(self, user: str) -> LoginWithoutReadings | None:
        """Return the login of a user of which no reading arrived since; None if there is none."""
        return self._waiting.get(user)

    def report(self) -> LoginReport:
        """Return the users without readings and the refused logins, each at most MAX_REPORTED, the latest ones."""
        self.changed = False
        waiting = sorted((self._waiting[user] for user in self._reported), key=lambda login: login.since)
        refused = sorted(self._refused.values(), key=lambda login: login.last)
        return LoginReport(without_readings=waiting[-MAX_REPORTED:], refused=refused[-MAX_REPORTED:])

    def _connect(self, client_id: str, user: str, address: str, protocol: str, now: datetime) -> None:
        if len(self._users) >= MAX_USERS:
            self._users.clear()
        self._users[client_id] = user
        if user in self._readers or (user not in self._waiting and len(self._waiting) >= MAX_USERS):
            return
        before = self._waiting.get(user)
        since = now if before is None else before.since
        self._waiting[user] = LoginWithoutReadings(
            user=user, client_id=client_id, address=address, protocol=protocol, since=since
        )
        self.changed |= user in self._reported

    def _subscribe(self, client_id: str, topic_filter: str) -> None:
        user = self._users.get(client_id)
        if user is None or (any(name in topic_filter for name in OWN_TOPICS) and topic_filter.endswith(f"/{user}")):
            return
        if len(self._readers) < MAX_USERS:
            self._readers.add(user)
        self.note_readings([user])

    def _refuse(self, client_id: str, now: datetime) -> str | None:
        self.refused += 1
        self.changed = True
        before = self._refused.pop(client_id, None)
        if len(self._refused) >= MAX_REPORTED:
            oldest = next(iter(self._refused))
            del self._refused[oldest]
            self._logged.pop(oldest, None)
        count = 1 if before is None else before.count + 1
        self._refused[client_id] = RefusedLogin(client_id=client_id, count=count, last=now)
        logged = self._logged.get(client_id)
        if logged is not None and now - logged < LOG_INTERVAL:
            return None
        self._logged[client_id] = now
        return (
            f"the broker refused a login with the client id {client_id!a} ({count} so far): the user is not enrolled, "
            "the password is wrong, or the client id is not the one of this user (device.json)"
        )

    def _fail(self, address: str, reason: str, now: datetime) -> str | None:
        self.failed += 1
        source = address or self._newest_address
        logged = self._failed_at.pop((source, reason), None)
        if logged is not None and now - logged < LOG_INTERVAL:
            self._failed_at[source, reason] = logged
            return None
        if len(self._failed_at) >= MAX_REPORTED:
            del self._failed_at[next(iter(self._failed_at))]
        self._failed_at[source, reason] = now
        return describe_failure(address, reason, self._newest_address)


def describe_failure(address: str, reason: str, newest_address: str = "") -> str:
    """Return a sentence about a connection that failed before its login: from where, why, and what to do."""
    advice = next((text for part, text in ADVICE.items() if part in reason), "see docs/identity.md")
    if address:
        return f"a connection from {address} failed ({reason}): {advice}"
    newest = f"; the newest one was from {newest_address}" if newest_address else ""
    return f"a connection failed ({reason}){newest}: {advice}"
