"""Set the passwords that users choose at the station, as the loop of `vitalflow identity accounts`.

Only the admin of Mosquitto's security plugin can set a password, and the plugin has no smaller right than all of its
commands. So neither a user nor the station has it. A user publishes the change on one topic of their own, where the
broker vouches for the user, and this process makes that change and no other.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Event

import msgspec

from identity.dynsec import DynsecClient, connect_dynsec
from identity.enrolment import audit_message, find_user, list_users
from identity.policy import OPERATOR, Kind, textname
from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import connect_once
from vitals.backoff import Backoff
from vitals.errors import PermanentError, TransientError
from vitals.log import WaitLog
from vitals.password import ChosenPassword, decode_chosen
from vitals.topics import Topics

RETRY_S = (0.5, 10.0)  # first and maximum pause between two attempts to connect
POLL_S = 0.5
MAX_REQUEST = 1024  # bytes
CHANGE_INTERVAL_S = 10.0  # each change makes the broker hash a password and write the plugin's file in its only thread
SIGNS_IN = (Kind.PERSON, Kind.READER)


class ChangeLimit:
    """Limit of one change per user and interval, so that no user keeps the broker busy. Pure; keeps recent names only.

    `identity.accounts` counts a change when it begins, whatever becomes of it. Times are seconds of a monotonic clock.
    """

    def __init__(self) -> None:
        self._changes: dict[str, float] = {}  # time by name, the oldest first

    def begin(self, name: str, now: float) -> None:
        """Count a change; raises PermanentError if the user's last one was too short a time ago."""
        while self._changes and now - (oldest := next(iter(self._changes.items())))[1] >= CHANGE_INTERVAL_S:
            del self._changes[oldest[0]]
        if name in self._changes:
            raise PermanentError(f"a password can be changed once in {CHANGE_INTERVAL_S:g} s; try again in a minute")
        self._changes[name] = now


def serve(
    admin: BrokerEndpoint,
    pair: Sequence[BrokerEndpoint],
    topics: Topics,
    stop: Event,
    log: Callable[[str], None],
    alive: Callable[[], None],
) -> None:
    """Set passwords until `stop`; connects anew after a lost connection. Raises PermanentError for a wrong setting.

    pair    the brokers of a pair, where each change is made too
    alive   is called about twice a second while connected
    """
    backoff, waits = Backoff(*RETRY_S, steady_s=RETRY_S[1]), WaitLog(f"the broker at {admin}", log)
    limit = ChangeLimit()
    while not stop.is_set():
        since = time.monotonic()
        try:
            _serve_connection(admin, pair, topics, limit, stop, log, waits.over, alive)
        except TransientError as error:
            waits.waiting(str(error), time.monotonic())
        stop.wait(backoff.next(time.monotonic() - since))


def _serve_connection(
    admin: BrokerEndpoint,
    pair: Sequence[BrokerEndpoint],
    topics: Topics,
    limit: ChangeLimit,
    stop: Event,
    log: Callable[[str], None],
    connected: Callable[[], object],
    alive: Callable[[], None],
) -> None:
    filters = [(topics.password_changes(), 1)]
    with connect_dynsec(admin, pair) as dynsec, connect_once(admin, filters) as requests:
        while not stop.is_set():
            message = requests.next(POLL_S)
            if message is None:
                if not requests.is_connected:
                    raise TransientError("the connection was lost")
                alive()
            elif not message.topic:  # subscribed
                publish_salts(dynsec, topics)
                connected()
                log(f"connected to the broker at {admin}: users can change their passwords")
            elif not message.retained:  # a retained change would be made again after every start
                name = message.topic.split("/")[-2]
                try:
                    chosen = decode_request(message.payload)
                    limit.begin(name, time.monotonic())
                    set_chosen_password(dynsec, name, chosen, topics, datetime.now(UTC))
                    log(f"{name!r} has a new password")
                except (PermanentError, ValueError) as error:
                    log(f"the password of {name!r} is unchanged: {error}")
                    dynsec.publish([(topics.password_rejected(name), str(error).encode(), False)])


def publish_salts(dynsec: DynsecClient, topics: Topics) -> None:
    """Publish the salt of each chosen password, retained, as the plugin's file has it; clear that of generated ones."""
    users = [user for user in list_users(dynsec) if user.kind in SIGNS_IN]
    dynsec.publish([(topics.password_salt(user.name), _salt_message(user.salt), True) for user in users])


def decode_request(payload: bytes) -> ChosenPassword:
    """Return the password that a user has chosen; raises ValueError with the reason."""
    if len(payload) > MAX_REQUEST:
        raise ValueError(f"{len(payload)} bytes; at most {MAX_REQUEST} are read")
    return decode_chosen(payload)


def set_chosen_password(dynsec: DynsecClient, name: str, chosen: ChosenPassword, topics: Topics, now: datetime) -> None:
    """Set the password of the user `name`, which disconnects the user; raises PermanentError."""
    user = find_user(dynsec, name)
    if user.kind not in SIGNS_IN or name == OPERATOR:
        raise PermanentError("this user has the password of the installation; ask your administrator for your own user")
    changed = {"username": name, "password": chosen.secret, "textname": textname(user.kind, chosen.salt)}
    dynsec.execute({"command": "modifyClient", **changed})
    dynsec.publish(
        [
            (topics.password_salt(name), _salt_message(chosen.salt), True),
            audit_message(topics, "password_changed", user, name, now),
        ]
    )


def _salt_message(salt: str | None) -> bytes:
    return b"" if salt is None else msgspec.json.encode(salt)
