"""Observe one device for some seconds, for `vitalflow devices doctor`: its messages and its logins.

`vitals.device_diagnosis` judges. A person's login receives the readings, the admin's the broker's log: neither user may
see what the other one may.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

import psycopg

from devices.settings import DoctorSettings
from identity.dynsec import CommandRejected, connect_dynsec
from identity.enrolment import check_name, list_users
from identity.policy import known_user
from mqtt.broker_log import LOG_TOPICS, Connected, ConnectionFailed, Ended, LoginRefused, parse_broker_log
from mqtt.endpoint import BrokerEndpoint
from mqtt.logins import Logins, decode_login_report, describe_failure
from mqtt.one_shot import Message, OneShotClient, SubscriptionRefused, connect_once
from mqtt.service_status import decode_service_status
from sql.connection import describe_connect_error
from vitals.device_diagnosis import (
    Connection,
    Finding,
    Identity,
    Observations,
    Refused,
    Severity,
    diagnose,
    facts,
    printable,
)
from vitals.errors import PermanentError, TransientError
from vitals.log import Throttle

POLL_S = 0.05
ANSWER_S = 10.0  # for the answer to a subscription
ACCEPTED_LINE_S = 1.0  # interval of lines about accepted readings; every rejection has a line, up to MAX_LINES
MAX_LINES = 200
RECENT = timedelta(minutes=15)  # refused logins before the observation are considered for this long
DATABASE_TIMEOUT_S = 3
LAST_REJECTED = """
SELECT received_at, payload, reason, detail FROM rejected_message
WHERE received_at > now() - interval '1 day' AND starts_with(topic, %(root)s) AND right(topic, %(length)s) = %(end)s
ORDER BY received_at DESC LIMIT 5
"""

Emit = Callable[[str], None]


@dataclass(slots=True)
class Report:
    """Observations and findings. `rejected`: the last rejected messages in the database, as lines."""

    facts: list[tuple[str, str]]
    findings: list[Finding]
    rejected: list[str]

    @property
    def is_wrong(self) -> bool:
        """Return whether a finding reports missing or wrong data."""
        return any(finding.severity is Severity.WRONG for finding in self.findings)


@dataclass(slots=True)
class LoginWatch:
    """The device's logins, from the reports of ingest and the broker's log."""

    device: str
    client_id: str
    connection: Connection = field(default_factory=Connection)
    _logins: Logins = field(default_factory=Logins)
    _client_ids: set[str] = field(default_factory=set)

    def take(self, message: Message, now: datetime) -> str | None:
        """Take a message of the admin's connection; return a line that describes it, if it is about the device."""
        text = message.payload.decode(errors="replace")
        if not message.topic.startswith("$SYS/"):
            report = decode_login_report(message.payload)
            if message.retained and report is not None:
                self._logins.restore(report)
            return None
        self._logins.take(message.topic, text, now)
        connection = self.connection
        match parse_broker_log(message.topic, text):
            case Connected(client_id, user, address, protocol) if user == self.device:
                self._client_ids.add(client_id)
                connection.since, connection.address, connection.protocol = now, address, protocol
                connection.logins += 1
                connection.ended = ""
                return f"login  from {address}, {protocol}, client id {printable(client_id)}"
            case Ended(client_id, reason) if client_id in self._client_ids:
                connection.ended = reason or "by the device"
                return f"connection ended  {printable(connection.ended)}"
            case LoginRefused(client_id):
                return f"login refused  client id {printable(client_id)}"
            case ConnectionFailed(address, reason):
                return f"connection failed  {describe_failure(address, printable(reason))}"
        return None

    def result(self, now: datetime) -> Connection:
        """Return the result of the observation."""
        connection = self.connection
        before = self._logins.waiting(self.device)
        if before is not None and (connection.since is None or before.since < connection.since):
            connection.since, connection.address, connection.protocol = before.since, before.address, before.protocol
            if not before.connected:
                connection.ended = before.ended or "by the device"
        connection.refused = [
            Refused(refused.client_id, refused.count, refused.last)
            for refused in self._logins.report().refused
            if now - refused.last < RECENT
        ]
        return connection


def examine(settings: DoctorSettings, device: str, seconds: float, emit: Emit) -> Report:
    """Observe a device for `seconds`, emitting a line per event; raises PermanentError or TransientError."""
    check_name("device", device)
    topics = settings.topics
    has_admin = settings.admin_url is not None
    identity = find_identity(settings, device) if has_admin else None
    ward = "+" if identity is None or identity.ward is None else identity.ward
    begin = datetime.now(UTC)
    seen = Observations(topics, device, timedelta(days=settings.raw_retention_days), begin)
    watch = LoginWatch(device, "" if identity is None else identity.client_id) if has_admin else None
    problems: dict[str, str] = {}
    lines = _Lines(emit)
    filters = [(topics.vitals(ward, device), 1), (topics.status(ward, device), 1), (topics.service("+"), 0)]
    with ExitStack() as stack:
        forbidden = f"the user of VITALFLOW_MQTT_URL may not read {topics.vitals(ward, device)}"
        messages = _subscribe(stack, settings.broker, filters, forbidden)
        log = None
        if watch is not None:
            forbidden = "the admin may not read the broker's log: run `vitalflow identity init`, restart it"
            log = _subscribe(
                stack, settings.admin, [*((topic, 0) for topic in LOG_TOPICS), (topics.logins("+"), 1)], forbidden
            )
        emit(f"observing {printable(device)} for {seconds:g} s; Ctrl-C ends it")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for message in _some(messages):
                now = datetime.now(UTC)
                if message.topic.startswith(topics.service("")):
                    status = decode_service_status(message.payload)
                    if status is not None:
                        problems[message.topic] = status.problem
                    continue
                what = seen.take(message.topic, message.payload, now, qos=message.qos, retained=message.retained)
                lines.print(what, message.topic, now)
            if log is not None and watch is not None:
                for message in _some(log):
                    now = datetime.now(UTC)
                    lines.print(watch.take(message, now), "", now)
    now = datetime.now(UTC)
    seen.finish(now)
    connection = None if watch is None else watch.result(now)
    stated = [f"{topic.rsplit('/', 1)[1]}: {problem}" for topic, problem in problems.items() if problem]
    rejected, database = _last_rejected(settings, device)
    return Report(
        facts(seen, identity, connection, now),
        [*diagnose(seen, identity, connection, stated, now), *database],
        rejected,
    )


def find_identity(settings: DoctorSettings, device: str) -> Identity:
    """Return the state of the device at the broker and the CA."""
    certificate = None if settings.ca_dir is None else settings.authority.client_certificate(device)
    ends, revoked = certificate or (None, False)
    with connect_dynsec(settings.admin) as dynsec:
        try:
            (answer,) = dynsec.execute({"command": "getClient", "username": device})
        except CommandRejected:
            names = [user.name for user in list_users(dynsec)]
            return Identity("", similar=get_close_matches(device, names, n=3))
    client: dict[str, Any] = answer["client"]
    user = known_user(client)
    if client_id := client.get("clientid", ""):
        return Identity(user.kind, user.ward, client_id)  # a password: an earlier certificate does not matter
    return Identity(user.kind, user.ward, "", (), ends, revoked)


class _Lines:
    """The live lines: accepted readings at an interval, everything else up to MAX_LINES."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._accepted = Throttle(ACCEPTED_LINE_S)
        self._left = MAX_LINES

    def print(self, what: str | None, topic: str, now: datetime) -> None:
        if what is None or (what.startswith("accepted") and not self._accepted.due(now.timestamp())) or not self._left:
            return
        self._left -= 1
        where = f"  ({printable(topic)})" if topic else ""
        self._emit(
            f"{now.astimezone():%H:%M:%S}  {what}{where}" + ("" if self._left else "; further lines are left out")
        )


def _some(client: OneShotClient) -> Iterator[Message]:
    """Yield the messages that are there, so many that the other connection gets its turn."""
    for _ in range(100):
        message = client.next(POLL_S)
        if message is None:
            return
        yield message


def _subscribe(
    stack: ExitStack, broker: BrokerEndpoint, filters: Sequence[tuple[str, int]], forbidden: str
) -> OneShotClient:
    """Connect and subscribe; raises TransientError that names the broker, PermanentError(forbidden) if refused."""
    try:
        client = stack.enter_context(connect_once(broker, filters))
        _await_subscription(client, forbidden)
    except TransientError as error:
        raise TransientError(f"the broker at {broker}: {error}") from None
    return client


def _await_subscription(client: OneShotClient, refused: str) -> None:
    try:
        if client.next(ANSWER_S) is None:
            raise PermanentError(f"the broker does not answer within {ANSWER_S:g} s")
    except SubscriptionRefused as error:
        raise PermanentError(f"{refused} ({error})") from None


def _last_rejected(settings: DoctorSettings, device: str) -> tuple[list[str], list[Finding]]:
    """Return the last rejected messages of a day as lines, and a finding if the database does not answer."""
    url = settings.reader_url
    if url is None:
        return [], []
    end = f"/{device}"
    values = {"root": f"{settings.topic_root}/", "length": len(end), "end": end}
    try:
        with psycopg.connect(url, connect_timeout=DATABASE_TIMEOUT_S) as connection:
            connection.execute("SELECT set_config('statement_timeout', '5000', true)")
            rows = connection.execute(LAST_REJECTED, values).fetchall()
    except psycopg.Error as error:
        return [], [Finding(Severity.NOTE, f"the database was not queried: {describe_connect_error(error, url)}")]
    texts = [(at, reason, detail, payload.decode(errors="replace")) for at, payload, reason, detail in rows]
    return [
        f"{at.astimezone():%Y-%m-%d %H:%M:%S}  {reason}: {printable(detail)}  {printable(text)}"
        for at, reason, detail, text in texts
    ], []
