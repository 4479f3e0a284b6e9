"""Logins without a broker: delays after failed attempts, the end of sessions, what each set of wards receives.

The broker's own part, who is who and may see what, is in integration/test_station_login.py, on a real one.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from mqtt.endpoint import BrokerEndpoint
from mqtt.failover import BrokerOrder
from station.auth.login_throttle import (
    ADDRESS_FREE,
    FORGOTTEN_AFTER_S,
    MAX_TRACKED,
    NAME_FREE,
    NAME_MAX_WAIT_S,
    LoginThrottle,
)
from station.auth.middleware import parse_basic_auth
from station.auth.password_salts import PasswordSalts
from station.auth.scope import ALL_WARDS, NO_WARDS, WardScope
from station.auth.sessions import (
    API_USER_IDLE_S,
    IDLE,
    SESSION_IDLE_S,
    SessionManager,
    TooManyAttempts,
)
from station.auth.user_connection import InvalidCredentials, UserConnection
from station.frame import Changes, DeltaEncoder, collect_changes, hello, hello_for
from station.hub import Subscriber
from station.services import Services
from station.views import Views
from station.ward import Ward
from tests.support.factories import NOW, make_alert
from vitals.alert import encode_alert
from vitals.backoff import Backoff
from vitals.codec import encode
from vitals.errors import TransientError
from vitals.reading import reading
from vitals.topics import Topics, is_name

TOPICS = Topics()
SECOND = timedelta(seconds=1)


# --- attempts ---


def test_after_three_attempts_each_wait_is_longer_until_a_login_succeeds() -> None:
    attempts, now, waits = LoginThrottle(), 100.0, []
    for _ in range(12):
        wait = attempts.wait("ada", "10.0.0.1", now)
        waits.append(wait)
        now += wait
        attempts.begin("ada", "10.0.0.1", now)
    assert waits[: NAME_FREE + 4] == [0, 0, 0, 1, 2, 4, 8]
    assert waits[-1] == NAME_MAX_WAIT_S
    attempts.good("ada", "10.0.0.1")
    assert attempts.wait("ada", "10.0.0.1", now) == 0


def test_attempts_from_another_address_delay_no_user_and_many_names_from_one_are_delayed() -> None:
    attempts = LoginThrottle()
    for _ in range(10):
        attempts.begin("ada", "10.0.0.66", 100.0)
    assert attempts.wait("ada", "10.0.0.66", 100.0) > 0
    assert attempts.wait("ada", "10.0.0.1", 100.0) == 0
    for number in range(ADDRESS_FREE):
        attempts.begin(f"name-{number}", "10.0.0.7", 100.0)
    assert attempts.wait("another", "10.0.0.7", 100.0) > 0


def test_attempts_expire_and_their_number_is_bounded() -> None:
    attempts = LoginThrottle()
    for _ in range(6):
        attempts.begin("ada", "10.0.0.1", 100.0)
    attempts.begin("ada", "10.0.0.1", 100.0 + FORGOTTEN_AFTER_S + 1)
    assert attempts.wait("ada", "10.0.0.1", 100.0 + FORGOTTEN_AFTER_S + 1) == 0
    for number in range(MAX_TRACKED):
        attempts.begin(f"name-{number}", "10.0.0.7", 2000.0)
    assert len(attempts._tried) <= MAX_TRACKED


# --- names and headers ---


@pytest.mark.parametrize("name", ["ada", "Dr. Müller", "מרים", "a" * 200])
def test_a_level_of_a_topic_is_a_valid_name(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("header", ["", "Basic", "Basic ?", "Basic YQ==", "Basic /w==", "Bearer YTpi"])
def test_an_invalid_authorization_header_is_rejected_with_a_reason(header: str) -> None:
    with pytest.raises(ValueError, match="expected Authorization: Basic"):
        parse_basic_auth(header)


def test_a_password_may_contain_a_colon() -> None:
    assert parse_basic_auth("Basic YWRhOmE6Yg==") == ("ada", "a:b")
    assert parse_basic_auth("basic YWRhOmE6Yg==") == ("ada", "a:b")


# --- what each set of wards receives ---


def made_ward() -> Ward:
    ward = Ward(TOPICS, Services((), has_database=False, now=NOW), NOW)
    ward.connected(NOW)
    return ward


def add_reading(ward: Ward, place: str, device: str, at: datetime = NOW, **signs: float) -> None:
    ward.take(TOPICS.vitals(place, device), encode(reading(at, signs, patient_id="p-1")), False, at)


def frame(framer: DeltaEncoder, of: Changes) -> dict[str, Any]:
    made = framer.changes(of, NOW, due=False)
    return {} if made is None else dict(json.loads(made))


def test_a_moved_bed_is_removed_from_one_ward_and_added_to_the_other() -> None:
    ward = made_ward()
    one, other, both, none = (
        DeltaEncoder(ward, sees)
        for sees in (WardScope(frozenset({"icu-1"})), WardScope(frozenset({"icu-2"})), ALL_WARDS, NO_WARDS)
    )
    add_reading(ward, "icu-1", "bed-1", heart_rate=80)
    first = collect_changes(ward, NOW)
    assert [bed["device"] for bed in frame(one, first)["beds"]] == ["bed-1"]
    assert frame(other, first) == {}
    assert frame(none, first) == {}
    frame(both, first)
    alert = make_alert(ward="icu-1", device="bed-1")
    ward.take(TOPICS.alert("icu-1", "bed-1", alert.rule), encode_alert(alert), True, NOW)
    add_reading(ward, "icu-2", "bed-1", NOW + SECOND, heart_rate=81)
    then = collect_changes(ward, NOW)
    assert frame(one, then)["removed_beds"] == ["bed-1"]
    assert "beds" not in frame(one, then)
    assert [bed["ward"] for bed in frame(other, then)["beds"]] == ["icu-2"]
    assert "alerts" not in frame(other, then), "the alert is the other ward's still"
    seen = frame(both, then)
    assert [bed["ward"] for bed in seen["beds"]] == ["icu-2"]
    assert "removed_beds" not in seen


def test_an_item_known_from_a_full_frame_only_is_removed_by_a_later_frame() -> None:
    ward = made_ward()
    framer = DeltaEncoder(ward)
    alert = make_alert(device="bed-1")
    add_reading(ward, alert.ward, "bed-1", heart_rate=80)
    topic = TOPICS.alert(alert.ward, "bed-1", alert.rule)
    ward.take(topic, encode_alert(alert), True, NOW)
    whole = json.loads(framer.whole(NOW))
    assert (len(whole["beds"]), len(whole["alerts"])) == (1, 1)
    ward.take(topic, b"", True, NOW)
    ward.take(TOPICS.status(alert.ward, "bed-1"), b"", True, NOW)
    then = frame(framer, collect_changes(ward, NOW))
    assert (then["removed_beds"], then["removed_alerts"]) == (["bed-1"], [whole["alerts"][0]["key"]])


def test_pages_with_equal_wards_share_a_frame_and_a_user_with_more_wards_gets_a_full_one() -> None:
    async def story() -> None:
        ward = made_ward()
        views = Views(ward, hello("1", history=False))
        add_reading(ward, "icu-1", "bed-1", heart_rate=80)
        add_reading(ward, "icu-2", "bed-2", heart_rate=80)
        known = made_people()
        ada, bob = known.add("ada", WardScope(frozenset({"icu-1"}))), known.add("bob", WardScope(frozenset({"icu-1"})))
        logins = [known.sessions.sign_in(person) for person in (ada, bob)]
        streams = [views.stream(login) for login in logins]
        for stream in streams:
            greeting, whole = [json.loads((await anext(stream)).partition(b"data: ")[2]) for _ in range(2)]
            assert greeting["user"]["viewable"] == ["icu-1"]
            assert [bed["device"] for bed in whole["beds"]] == ["bed-1"]
        assert len(views._views) == 1
        add_reading(ward, "icu-1", "bed-1", NOW + SECOND, heart_rate=90)
        views.send_changes(10.0)
        pieces = [await anext(stream) for stream in streams]
        assert pieces[0] is not pieces[1]
        assert pieces[0] == pieces[1]
        ada.viewable = ALL_WARDS
        known.sessions._changed(ada)
        greeting, whole = [json.loads((await anext(streams[0])).partition(b"data: ")[2]) for _ in range(2)]
        assert greeting["user"]["viewable"] is None
        assert {bed["device"] for bed in whole["beds"]} == {"bed-1", "bed-2"}
        known.sessions.sign_out(logins[1])
        assert (await anext(streams[1])).startswith(b"event: logged_out\n")
        views.close()

    asyncio.run(story())


def test_markup_in_a_name_is_escaped_and_unprintable_characters_are_rejected() -> None:
    person = json.loads(hello_for({}, "<b>\u202ex", NO_WARDS, ALL_WARDS))["user"]
    assert person == {"name": "<b>?x", "viewable": [], "actionable": None}


# --- who is signed in, and until when ---


class Known:
    """Users as if a broker had verified them; time is an argument, so that no test waits half an hour."""

    def __init__(self) -> None:
        salts = PasswordSalts(TOPICS)
        salts.complete()
        self.order = BrokerOrder(BrokerEndpoint("127.0.0.1", 1), Backoff(1.0, 1.0))
        self.sessions = SessionManager(self.order, TOPICS, salts, lambda: [])

    def add(self, name: str, sees: WardScope = ALL_WARDS) -> UserConnection:
        async def login() -> BrokerEndpoint:
            return BrokerEndpoint("127.0.0.1", 1).as_user(name, "word")

        person = UserConnection(
            name, login, self.order, TOPICS, asyncio.Semaphore(1), lambda: [], self.sessions._changed
        )
        person.viewable = sees
        person.verified.set_result(None)
        key = self.sessions._key_of(name, "word")
        self.sessions._users[key] = person
        self.sessions._used_at[key] = asyncio.get_running_loop().time()
        task = asyncio.create_task(asyncio.sleep(3600, None))
        self.sessions._tasks[key] = task
        task.add_done_callback(lambda done: self.sessions._on_connection_end(key, person, done))
        return person


def made_people() -> Known:
    return Known()


def run(story: Callable[[Known], Any]) -> None:
    async def begin() -> None:
        await story(made_people())

    asyncio.run(begin())


def test_a_session_without_an_open_page_ends_after_half_an_hour() -> None:
    async def story(known: Known) -> None:
        idle, open_ = (known.sessions.sign_in(known.add(name)) for name in ("ada", "bob"))
        open_.browsers.add(Subscriber())
        now = asyncio.get_running_loop().time()
        known.sessions.expire_sessions(now + SESSION_IDLE_S - 5)
        assert (idle.over, open_.over) == (None, None)
        known.sessions.expire_sessions(now + SESSION_IDLE_S + 5)
        assert (idle.over, open_.over) == (IDLE, None)
        assert known.sessions.find(idle.token) is None
        assert known.sessions.find(open_.token) is open_
        await asyncio.sleep(0.01)
        assert [person.name for person in known.sessions._users.values()] == ["bob"], "ada has left the broker"

    run(story)


def test_the_login_of_a_script_is_cached() -> None:
    async def story(known: Known) -> None:
        ada = known.add("ada")
        assert await known.sessions.verify("ada", "word", "10.0.0.1") is ada
        assert known.sessions.checked == 0
        known.sessions.expire_sessions(asyncio.get_running_loop().time() + API_USER_IDLE_S + 1)
        with pytest.raises(TransientError):
            await known.sessions.verify("ada", "word", "10.0.0.1")  # no server listens on that port
        assert known.sessions.checked == 1

    run(story)


def test_invalid_names_are_rejected_without_the_broker_and_delayed() -> None:
    async def story(known: Known) -> None:
        for _ in range(NAME_FREE):
            with pytest.raises(InvalidCredentials):
                await known.sessions.verify("a/b", "word", "10.0.0.1")
        with pytest.raises(TooManyAttempts):
            await known.sessions.verify("a/b", "word", "10.0.0.1")
        assert known.sessions._users == {}

    run(story)
