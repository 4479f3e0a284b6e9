"""Every action that a role may try, at a real broker and a real station: nurse, read-only, administrator."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from identity.dynsec import connect_dynsec
from identity.enrolment import enroll, revoke
from identity.policy import DYNSEC_TOPIC, Kind, User
from identity.settings import IdentitySettings
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.secured import Secured
from tests.fixtures.station import MakeStation, StationProcess, basic
from tests.support.mqtt_probe import MqttProbe, connects
from tests.support.servers import eventually

NAMES = {"nurse": "ada", "read-only": "eve", "administrator": "iris"}
LIST_CLIENTS = b'{"commands":[{"command":"listClients"}]}'
Attempt = Callable[[MqttProbe, str], str]


def publish(topic: str, payload: bytes = b"{}") -> Attempt:
    return lambda probe, name: probe.publish(topic.format(name=name), payload)


def subscribe(topic: str) -> Attempt:
    return lambda probe, name: probe.subscribe(topic.format(name=name))


ACTIONS: dict[str, Attempt] = {
    "see the readings of the ward": subscribe("vitalflow/vitals/icu-1/bed-1"),
    "see the readings of another ward": subscribe("vitalflow/vitals/icu-2/bed-9"),
    "see the alerts of the ward": subscribe("vitalflow/alerts/icu-1/#"),
    "see the limits of the ward": subscribe("vitalflow/limits/icu-1/bed-1"),
    "see which patient is in a bed": subscribe("vitalflow/assignments/icu-1/bed-1"),
    "see the state of the services": subscribe("vitalflow/services/+"),
    "acknowledge": publish("vitalflow/alert-commands/icu-1/bed-1/spo2-low/{name}"),
    "acknowledge in another's name": publish("vitalflow/alert-commands/icu-1/bed-1/spo2-low/grace"),
    "acknowledge in another ward": publish("vitalflow/alert-commands/icu-2/bed-9/spo2-low/{name}"),
    "record an admission": publish("vitalflow/audit/admissions/icu-1/bed-1/{name}"),
    "record an admission in another's name": publish("vitalflow/audit/admissions/icu-1/bed-1/grace"),
    "record an admission in another ward": publish("vitalflow/audit/admissions/icu-2/bed-9/{name}"),
    "publish a reading": publish("vitalflow/vitals/icu-1/bed-1"),
    "publish an alert": publish("vitalflow/alerts/icu-1/bed-1/spo2-low"),
    "remove limits of a device": publish("vitalflow/limits/icu-1/none", b""),
    "end the assignment of a device": publish("vitalflow/assignments/icu-1/none", b""),
    "enrol and revoke": publish(DYNSEC_TOPIC, LIST_CLIENTS),
    "read the answers about enrolments": subscribe(f"{DYNSEC_TOPIC}/response"),
    "record an enrolment": publish("vitalflow/audit/enrolment"),
    "record a sign-in": publish("vitalflow/audit/sign-in"),
    "change their own password": publish("vitalflow/accounts/{name}/password"),
    "change another's password": publish("vitalflow/accounts/grace/password"),
    "read passwords that are being changed": subscribe("vitalflow/accounts/+/password"),
    "read the audit record": subscribe("vitalflow/audit/#"),
    "read everything": subscribe("#"),
}
SEES = {
    "see the readings of the ward",
    "see the alerts of the ward",
    "see the limits of the ward",
    "see the state of the services",
    "change their own password",
}
ALLOWED = {
    "nurse": SEES | {"acknowledge", "record an admission"},
    "read-only": SEES,
    "administrator": {
        "remove limits of a device",
        "end the assignment of a device",
        "enrol and revoke",
        "read the answers about enrolments",
        "record an enrolment",
    },
}


@pytest.fixture
def three_roles(own_secured: Secured) -> Secured:
    """A broker with a user of each role."""
    with connect_dynsec(own_secured.broker("admin")) as dynsec:
        user = User("iris", Kind.ADMINISTRATOR, None, "word-of-iris")
        enroll(dynsec, [user], own_secured.access.topics, by="a test", now=datetime.now(UTC))
    return own_secured


def test_the_broker_allows_each_role_its_actions_and_denies_all_others(three_roles: Secured) -> None:
    found = {}
    for role, name in NAMES.items():
        with MqttProbe(three_roles.broker(name)) as probe:
            answers = {action: attempt(probe, name) for action, attempt in ACTIONS.items()}
        assert set(answers.values()) <= {"Success", "No matching subscribers", "Granted QoS 1", "Not authorized"}
        found[role] = {action for action, answer in answers.items() if answer != "Not authorized"}
    assert found == ALLOWED


def test_an_administrator_enrols_and_revokes_under_their_own_name_until_they_are_revoked(three_roles: Secured) -> None:
    settings = IdentitySettings.read(three_roles.settings("iris") | {"VITALFLOW_ADMIN_URL": three_roles.url_of("iris")})
    assert settings.administrator == "iris"
    user = User("seacole", Kind.PERSON, "icu-1", "word-of-seacole")
    with MqttProbe(three_roles.broker("ingest")) as record, connect_dynsec(settings.admin) as dynsec:
        record.subscribe("vitalflow/audit/#")
        enroll(dynsec, [user], settings.topics, by=settings.administrator, now=datetime.now(UTC))
        assert record.next_topic() == "vitalflow/audit/enrolment"
        revoke(dynsec, "seacole", settings.topics, by=settings.administrator, now=datetime.now(UTC))
    with connect_dynsec(three_roles.broker("admin")) as dynsec:
        revoke(dynsec, "iris", settings.topics, by="a test", now=datetime.now(UTC))
    assert connects(three_roles.broker("iris")) == "Not authorized"


def test_the_station_allows_each_role_its_actions_and_denies_all_others(
    three_roles: Secured, make_alerts: MakeAlerts, make_station: MakeStation
) -> None:
    make_alerts(three_roles.url_of("alerts"), mqtt_ca=three_roles.ca, alerts_client_id="alerts")
    station = make_station(three_roles.url_of("station"), mqtt_ca=three_roles.ca, station_client_id="station")
    refused = station.ask("POST", "/signin", {"name": "iris", "password": "word-of-iris"})[:2]
    sentence = "This user sees no patients; sign in as a nurse or as a read-only user."
    assert refused == (401, {"detail": sentence})
    assert station.ask("GET", "/api/ward", Authorization=basic("iris", "word-of-iris"))[0] == 401
    bed = AlertClient(0, three_roles.broker("grace"), three_roles.broker("bed-1"), "bed-1")
    try:
        bed.measure("bed-1", "icu-1", heart_rate=80)
        bed.measure("bed-1", "icu-1", heart_rate=140)
        bed.wait_for("icu-1/bed-1/heart-rate-high", state="active")
        act = {"ward": "icu-1", "device": "bed-1", "rule": "heart-rate-high", "action": "acknowledge"}
        limits = {"device": "bed-1", "limits": {"heart-rate-high": [150.0]}}
        for name, answer in (("eve", 403), ("ada", 200)):
            cookie = station.sign_in(name, f"word-of-{name}")
            eventually(lambda cookie=cookie: beds(station, cookie) == ["bed-1"], 30, "the bed of the ward")  # type: ignore[misc]
            assert station.ask("GET", "/api/beds/bed-9", Cookie=cookie)[0] == 404
            assert station.ask("POST", "/ui/alerts", act, Cookie=cookie)[0] == answer
            assert station.ask("PUT", "/ui/limits", limits, Cookie=cookie)[0] == answer
    finally:
        bed.close()


def beds(station: StationProcess, cookie: str) -> list[str]:
    return [bed["device"] for bed in station.ask("GET", "/api/ward", Cookie=cookie)[1]["beds"]]
