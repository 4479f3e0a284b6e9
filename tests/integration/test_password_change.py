"""A user chooses a password at a real station; the broker has it from then on, and nothing else has it."""

import json
import secrets
import signal
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from identity.accounts import set_chosen_password
from identity.broker_bootstrap import builtin_users
from identity.dynsec import DynsecClient, connect_dynsec
from identity.enrolment import enroll, list_users
from identity.policy import Kind, User
from mqtt.one_shot import connect_once
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import PASSWORDS, MakeAccounts, Secured
from tests.fixtures.station import MakeStation, StationProcess, basic
from tests.support.mqtt_probe import MqttProbe, connects
from tests.support.servers import Db, eventually
from vitals.password import ChosenPassword, derive_secret, new_salt

CHOSEN, NEXT = "correct horse battery", "staple tulip anchor"


def station_at(secured: Secured, make_station: MakeStation) -> StationProcess:
    return make_station(secured.url_of("station"), mqtt_ca=secured.ca, station_client_id="station")


def change(station: StationProcess, cookie: str, old: str, new: str) -> tuple[int, str]:
    status, answer, _ = station.ask("POST", "/ui/password", {"old": old, "new": new}, Cookie=cookie)
    return status, answer.get("detail", "")


def sign_in_status(station: StationProcess, name: str, password: str) -> int:
    return station.ask("POST", "/signin", {"name": name, "password": password})[0]


def test_a_changed_password_keeps_this_login_and_ends_the_others(
    own_secured: Secured, make_accounts: MakeAccounts, make_station: MakeStation, make_ingest: MakeIngest, db: Db
) -> None:
    ingest = make_ingest(own_secured.url_of("ingest"), db, mqtt_ca=own_secured.ca, ingest_client_id="ingest")
    accounts = make_accounts()
    station = station_at(own_secured, make_station)
    here, elsewhere = (station.sign_in("eve", "word-of-eve") for _ in range(2))
    assert change(station, here, "word-of-eve", CHOSEN) == (200, "")
    assert station.ask("GET", "/ui/me", Cookie=here)[:2] == (200, {"name": "eve"})
    assert station.ask("GET", "/api/ward", Cookie=here)[0] == 200
    eventually(lambda: station.ask("GET", "/ui/me", Cookie=elsewhere)[0] == 401, 30, "the other login ends")
    assert sign_in_status(station, "eve", "word-of-eve") == 401
    assert sign_in_status(station, "eve", CHOSEN) == 200
    assert station.ask("GET", "/api/ward", Authorization=basic("eve", CHOSEN))[0] == 200
    eventually(lambda: change(station, here, CHOSEN, NEXT) == (200, ""), 30, "a change is possible every 10 s")
    assert (sign_in_status(station, "eve", CHOSEN), sign_in_status(station, "eve", NEXT)) == (401, 200)
    for password in ("word-of-eve", CHOSEN, NEXT):
        assert connects(own_secured.broker("eve", password)) == "Not authorized", "the broker never has the password"
    query = "SELECT count(*) FROM audit_event WHERE action = 'password_changed' AND actor = 'eve'"
    eventually(lambda: db.rows(query) == [(2,)], 30, "both changes are in the audit record")
    everything = station.said() + accounts.said() + ingest.said() + str(db.rows("SELECT * FROM audit_event"))
    assert CHOSEN not in everything
    assert (accounts.stop(), ingest.stop()) == (0, 0)


def test_a_chosen_password_is_valid_at_a_new_station_and_after_the_broker_lost_its_messages(
    own_secured: Secured, make_accounts: MakeAccounts, make_station: MakeStation
) -> None:
    accounts, station = make_accounts(), station_at(own_secured, make_station)
    assert change(station, station.sign_in("eve", "word-of-eve"), "word-of-eve", CHOSEN) == (200, "")
    station.kill()
    accounts.kill()
    with connect_dynsec(own_secured.broker("admin")) as dynsec:
        dynsec.publish([("vitalflow/accounts/eve/salt", b"", True)])
    make_accounts()
    second = station_at(own_secured, make_station)
    assert sign_in_status(second, "eve", CHOSEN) == 200
    assert sign_in_status(second, "ada", "word-of-ada") == 200, "with a generated password, as before"
    second.kill()
    own_secured.server.stop()
    # As in production: a start of the broker sets the passwords of built-in users, and people are in its file.
    own_secured.server.access = replace(own_secured.access, users=builtin_users(PASSWORDS))
    own_secured.server.start()
    third = station_at(own_secured, make_station)  # which cannot know the login from before
    eventually(lambda: sign_in_status(third, "eve", CHOSEN) == 200, 30, "the broker's restart changes nothing")


def test_a_generated_password_replaces_a_chosen_one(
    own_secured: Secured, make_accounts: MakeAccounts, make_station: MakeStation
) -> None:
    make_accounts()
    station = station_at(own_secured, make_station)
    assert change(station, station.sign_in("eve", "word-of-eve"), "word-of-eve", CHOSEN) == (200, "")
    generated = User("eve", Kind.READER, "icu-1", "a generated one")
    with connect_dynsec(own_secured.broker("admin")) as dynsec:
        topics = own_secured.access.topics
        enroll(dynsec, [generated], topics, by="a test", now=datetime.now(UTC), rotate_password=True)
        assert [user.salt for user in list_users(dynsec) if user.name == "eve"] == [None]
    eventually(lambda: sign_in_status(station, "eve", "a generated one") == 200, 30, "the station has no salt")
    eventually(lambda: sign_in_status(station, "eve", CHOSEN) == 401, 30, "the chosen one is refused")


def test_a_change_is_refused_with_the_reason_and_changes_nothing(
    own_secured: Secured, make_accounts: MakeAccounts, make_station: MakeStation
) -> None:
    make_accounts()
    station = station_at(own_secured, make_station)
    eve = station.sign_in("eve", "word-of-eve")
    for old, new, status, reason in (
        ("a wrong one", CHOSEN, 403, "The current password is wrong."),
        ("word-of-eve", "short", 409, "The new password has 5 characters; use 12 or more."),
        ("word-of-eve", "Password2026!", 409, "The new password is a common one or easy to guess"),
        ("word-of-eve", "steve knows eve", 409, "The new password contains your name"),
        ("word-of-eve", "word-of-eve", 409, "The new password is the current one; choose another."),
    ):
        answer = change(station, eve, old, new)
        assert (answer[0], answer[1][: len(reason)]) == (status, reason)
    operator = station.sign_in("operator", "word-of-operator")
    assert sign_in_status(station, "eve", "word-of-eve") == 200
    denied = "Nothing was changed: you do not have the right to do this; an administrator can give it."
    assert change(station, operator, "word-of-operator", CHOSEN) == (409, denied), "its password is in a file"
    assert station.ask("POST", "/ui/password", {"old": "x", "new": CHOSEN})[0] == 401
    script = station.ask("POST", "/ui/password", {"old": "x", "new": CHOSEN}, Authorization=basic("eve", "word-of-eve"))
    assert script[0] == 401
    assert [change(station, eve, f"guess {number}", CHOSEN)[0] for number in range(5)][-1] == 429, "guesses are delayed"


def test_without_the_service_nothing_is_changed_and_the_page_says_so(
    own_secured: Secured, make_station: MakeStation
) -> None:
    station = station_at(own_secured, make_station)
    eve = station.sign_in("eve", "word-of-eve")
    sentence = "Nothing was changed: the service that changes passwords is down; tell your technical support."
    assert change(station, eve, "word-of-eve", CHOSEN) == (503, sentence)
    assert sign_in_status(station, "eve", "word-of-eve") == 200


def test_a_user_changes_no_other_password_and_the_service_sets_nothing_else(
    own_secured: Secured, make_accounts: MakeAccounts
) -> None:
    accounts = make_accounts()
    salt = new_salt()
    good = json.dumps({"salt": salt, "secret": derive_secret(CHOSEN, salt)}).encode()
    with MqttProbe(own_secured.broker("eve")) as eve:
        assert eve.publish("vitalflow/accounts/ada/password", good) == "Not authorized"
        assert eve.publish("vitalflow/accounts/eve/salt", b"") == "Not authorized"
        assert eve.subscribe("vitalflow/accounts/#") == "Not authorized"
        for bad in (b"", b"{}", b"x" * 2000, good.replace(b"scrypt1", b"scrypt9"), good[:-1] + b',"roles":[]}'):
            assert eve.publish("vitalflow/accounts/eve/password", bad) == "Success"
        assert eve.publish("vitalflow/accounts/eve/password", good, retain=True) == "Success"
        eventually(lambda: accounts.said().count("'eve' has a new password") == 1, 30, "the good one")
    assert accounts.said().count("is unchanged") == 5
    assert connects(own_secured.broker("eve")) == "Not authorized"
    assert connects(own_secured.broker("eve", derive_secret(CHOSEN, salt))) == "Success"
    with connect_once(own_secured.broker("station"), [("vitalflow/accounts/+/salt", 0)]) as station:
        station.next(10)
        message = station.next(10)
        assert message is not None
        assert (message.topic, json.loads(message.payload)) == ("vitalflow/accounts/eve/salt", salt)
    with connect_dynsec(own_secured.broker("admin")) as dynsec:
        (found,) = (user for user in list_users(dynsec) if user.name == "eve")
    assert (found.kind, found.ward, found.salt) == (Kind.READER, "icu-1", salt)


def test_of_a_burst_of_changes_by_one_user_the_first_is_made_and_the_others_are_rejected(
    own_secured: Secured, make_accounts: MakeAccounts
) -> None:
    accounts = make_accounts()
    assert accounts.process is not None
    chosen = [{"salt": new_salt(), "secret": secrets.token_urlsafe(32)} for _ in range(5)]
    with connect_once(own_secured.broker("station"), [("vitalflow/accounts/+/rejected", 1)]) as station:
        station.next(10)
        accounts.process.send_signal(signal.SIGSTOP)  # all of them wait before the first is made
        with MqttProbe(own_secured.broker("eve")) as eve:
            for one in chosen:
                assert eve.publish("vitalflow/accounts/eve/password", json.dumps(one).encode()) == "Success"
        accounts.process.send_signal(signal.SIGCONT)
        reasons = [message.payload.decode() for _ in chosen[1:] if (message := station.next(30)) is not None]
    assert reasons == ["a password can be changed once in 10 s; try again in a minute"] * 4
    assert accounts.said().count("'eve' has a new password") == 1
    assert connects(own_secured.broker("eve", chosen[0]["secret"])) == "Success"
    assert connects(own_secured.broker("eve", chosen[-1]["secret"])) == "Not authorized"


def test_a_change_asks_the_plugin_about_its_user_only(own_secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    execute = DynsecClient.execute

    def record(self: DynsecClient, *commands: dict[str, Any]) -> list[dict[str, Any]]:
        asked.extend(command["command"] for command in commands)
        return execute(self, *commands)

    monkeypatch.setattr(DynsecClient, "execute", record)
    chosen = ChosenPassword(salt=new_salt(), secret=secrets.token_urlsafe(32))
    with connect_dynsec(own_secured.broker("admin")) as dynsec:
        set_chosen_password(dynsec, "eve", chosen, own_secured.access.topics, datetime.now(UTC))
    assert asked == ["getClient", "modifyClient"]
    assert connects(own_secured.broker("eve", chosen.secret)) == "Success"
