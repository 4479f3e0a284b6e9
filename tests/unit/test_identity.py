"""Certificates made and renewed, rights as written, the users' file, names: without a broker."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from identity import ca
from identity.accounts import CHANGE_INTERVAL_S, ChangeLimit
from identity.authority import CertificateAuthority
from identity.broker_bootstrap import BUILTIN_USERS, builtin_users, simulated_device_users, update_users_file
from identity.enrolment import check_name
from identity.policy import (
    ENROLLED_KINDS,
    READ_BELOW,
    WRITE,
    Kind,
    User,
    acls,
    client_definition,
    known_user,
    merge_users,
    role_definition,
)
from vitals.errors import PermanentError
from vitals.topics import Topics

NOW = datetime.now(UTC)
NAMES = ["localhost", "127.0.0.1"]
TOPICS = Topics()


def test_a_servers_certificate_is_kept_until_the_last_third_of_its_life(tmp_path: Path) -> None:
    authority, said = CertificateAuthority(tmp_path / "identity"), list[str]()
    first = authority.server_pair("broker", NAMES, NOW, said.append)
    assert authority.server_pair("broker", NAMES, NOW + timedelta(days=58), said.append) == first
    assert said == []
    second = authority.server_pair("broker", NAMES, NOW + timedelta(days=62), said.append)
    assert second != first
    assert said[0].startswith("renewed the certificate of the broker: it ends on ")


@pytest.mark.parametrize(
    ("names", "days", "why"),
    [
        ([*NAMES, "ward-7"], 0, "it is not for ward-7"),
        (NAMES, 100, "it is valid from"),
        (NAMES, -1, "it is valid from"),
    ],
)
def test_a_servers_certificate_is_made_anew_when_it_does_not_fit(
    tmp_path: Path, names: list[str], days: int, why: str
) -> None:
    authority, said = CertificateAuthority(tmp_path / "identity"), list[str]()
    authority.server_pair("broker", NAMES, NOW)
    authority.server_pair("broker", names, NOW + timedelta(days=days), said.append)
    assert why in said[0]


def test_a_certificate_of_an_earlier_ca_is_made_anew() -> None:
    pair = ca.sign_server(ca.new_ca("x", NOW), NAMES, NOW)
    assert ca.renewal_reason(pair, NAMES, ca.new_ca("x", NOW), NOW) == "it was signed by another CA"


def test_secrets_of_the_ca_are_for_its_owner_and_half_of_it_is_refused(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path / "identity")
    authority.server_pair("broker", NAMES, NOW)
    assert authority.folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in authority.folder.iterdir() if path.stat().st_mode & 0o077} == {"ca.crt", "broker.crt"}
    (authority.folder / "ca.crt").unlink()
    with pytest.raises(PermanentError, match=r"ca\.key exists but ca\.crt is missing"):
        authority.load_or_create(NOW)


def test_only_the_revoked_certificate_is_listed_once(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path / "identity")
    first, second, other = (authority.issue_client_pair(name, NOW) for name in ("bed-1", "bed-1", "bed-2"))
    assert authority.revoke("bed-3", NOW) == 0
    assert authority.revoke("bed-1", NOW) == 2
    assert authority.revoke("bed-1", NOW) == 0
    found = x509.load_pem_x509_crl(authority.revocation_list(NOW))
    assert {one.serial_number for one in found} == {
        ca.serial_number(first.certificate),
        ca.serial_number(second.certificate),
    }
    assert ca.serial_number(other.certificate) not in {one.serial_number for one in found}
    own = x509.load_pem_x509_certificate(authority.ca_certificate.read_bytes())
    assert found.next_update_utc == own.not_valid_after_utc


def test_a_device_has_four_rights_and_all_of_them_are_its_own() -> None:
    assert sorted(topic for _, topic in acls(User("bed-1", Kind.DEVICE, "icu-1"), TOPICS)) == [
        "vitalflow/limits/icu-1/bed-1",
        "vitalflow/receipts/icu-1/bed-1",
        "vitalflow/status/icu-1/bed-1",
        "vitalflow/vitals/icu-1/bed-1",
    ]


def test_only_the_alert_worker_may_write_alerts_and_only_ingest_receipts() -> None:
    everybody = [
        *builtin_users(dict.fromkeys(BUILTIN_USERS, "a-word")),
        User("bed-1", Kind.DEVICE, "icu-1"),
        User("ada", Kind.PERSON),
        User("eve", Kind.READER),
    ]
    for kind, names in (
        ("alerts", {"alerts"}),
        ("receipts", {"ingest"}),
        ("audit", {"admin", "ada", "operator", "station"}),
    ):
        assert allowed_names(everybody, "publishClientSend", kind) == names


def test_a_person_may_record_admissions_under_their_own_name_only_and_a_reader_none() -> None:
    assert (WRITE, "vitalflow/audit/admissions/icu-1/+/ada") in acls(User("ada", Kind.PERSON, "icu-1"), TOPICS)
    assert (WRITE, "vitalflow/audit/admissions/+/+/grace") in acls(User("grace", Kind.PERSON), TOPICS)
    written = [topic for kind, topic in acls(User("eve", Kind.READER), TOPICS) if kind == WRITE]
    assert written == ["vitalflow/accounts/eve/password"]


def test_assignments_are_written_for_persons_and_read_by_services_only() -> None:
    everybody = [
        *builtin_users(dict.fromkeys(BUILTIN_USERS, "a-word")),
        *(User(kind.value, kind, "icu-1") for kind in ENROLLED_KINDS),
    ]
    assert allowed_names(everybody, "publishClientSend", "assignments") == {"station", "admin", "administrator"}
    assert allowed_names(everybody, "subscribe", "assignments") == {
        "ingest", "alerts", "station", "mirror", "ward-bridge",
    }  # fmt: skip


def test_the_alert_worker_reads_the_status_of_ingest_and_no_report_below_it() -> None:
    (alerts,) = (user for user in builtin_users(dict.fromkeys(BUILTIN_USERS, "a-word")) if user.service == "alerts")
    rights = acls(alerts, TOPICS)
    assert (READ_BELOW, "vitalflow/services/+") in rights
    others = [topic for _, topic in rights if topic.startswith("vitalflow/services/") and "/alerts" not in topic]
    assert others == ["vitalflow/services/+"]


def test_an_alert_worker_of_some_wards_may_read_and_write_there_and_in_the_ward_of_the_stack_only() -> None:
    user = User("alerts-2", Kind.SERVICE, service="alerts", password="a-word", wards=("icu-2", "icu-3"))
    rights = acls(user, TOPICS)
    written = {topic for kind, topic in rights if kind == WRITE and "/services/" not in topic}
    assert written == {f"vitalflow/alerts/{ward}/+/+" for ward in ("icu-2", "icu-3", "stack")}
    for kind in ("vitals", "status", "alerts", "alert-commands", "limits", "assignments"):
        read = {topic for access, topic in rights if access == READ_BELOW and topic.startswith(f"vitalflow/{kind}/")}
        assert read == {f"vitalflow/{kind}/{ward}/#" for ward in ("icu-2", "icu-3", "stack")}
    assert known_user(client_definition(user)) == replace(user, password=None)


def allowed_names(users: Iterable[User], access: str, kind: str) -> set[str]:
    """Return who has this kind of access, or a prefix of it, to topics of this kind."""
    return {
        user.name
        for user in users
        for given, topic in acls(user, TOPICS)
        if given.startswith(access) and topic.split("/")[1:2] in ([kind], ["#"], ["+"])
    }


def test_a_person_of_one_ward_has_no_right_that_names_another_or_all() -> None:
    for _, topic in acls(User("ada", Kind.PERSON, "icu-1"), TOPICS):
        levels = topic.split("/")
        ward = levels[3] if levels[1] == "audit" else levels[2]
        own = ("vitalflow/alerts/stack/#", "vitalflow/accounts/ada/password")
        assert levels[1] == "services" or ward == "icu-1" or topic in own


def test_a_person_of_one_ward_sees_the_alerts_about_the_stack_and_acts_on_none() -> None:
    for kind in (Kind.PERSON, Kind.READER):
        of_stack = [right for right in acls(User("ada", kind, "icu-1"), TOPICS) if "/stack/" in right[1]]
        assert of_stack == [(READ_BELOW, "vitalflow/alerts/stack/#")]


def test_the_users_file_keeps_who_was_enrolled_and_changes_only_when_something_changes() -> None:
    enrolled = {"username": "bed-7", "password": "x", "salt": "AAAA", "iterations": 101, "roles": []}
    known = json.dumps({"clients": [enrolled], "roles": [{"rolename": "device:bed-7", "acls": []}]}).encode()
    belong = builtin_users(dict.fromkeys(BUILTIN_USERS, "a-word"))
    first = update_users_file(known, belong, TOPICS)
    assert first is not None
    assert b"a-word" not in first
    made = json.loads(first)
    assert enrolled in made["clients"]
    assert {"rolename": "device:bed-7", "acls": []} in made["roles"]
    assert update_users_file(first, belong, TOPICS) is None
    changed = update_users_file(first, builtin_users(dict.fromkeys(BUILTIN_USERS, "another")), TOPICS)
    assert changed is not None
    assert json.loads(changed)["clients"][1]["password"] != made["clients"][1]["password"]
    with pytest.raises(PermanentError, match="holds all enrolled users"):
        update_users_file(b"{", belong, TOPICS)


def test_a_revoked_operator_stays_revoked_at_the_next_set_up() -> None:
    users = builtin_users(dict.fromkeys(BUILTIN_USERS, "a-word"))
    known = merge_users(None, users, TOPICS)
    assert "operator" in {client["username"] for client in known["clients"]}
    for part, key, name in (("clients", "username", "operator"), ("roles", "rolename", "person:operator")):
        known[part] = [one for one in known[part] if one[key] != name]
    assert merge_users(known, users, TOPICS) == known


def test_enrolled_users_get_the_rights_of_this_version() -> None:
    ada, bed = User("ada", Kind.PERSON, "icu-1", "a-word"), User("bed-1", Kind.DEVICE, "icu-1", "a-word")
    known = merge_users(None, [ada, bed], TOPICS)
    for role in known["roles"]:  # as an installation before the topic was renamed has them
        for acl in role["acls"]:
            acl["topic"] = acl["topic"].replace("/alert-commands/", "/acks/")
    assert "/acks/" in json.dumps(known)
    made = merge_users(known, builtin_users(dict.fromkeys(BUILTIN_USERS, "a-word")), TOPICS)
    assert "/acks/" not in json.dumps(made)
    roles = {role["rolename"]: role for role in made["roles"]}
    assert roles["person:ada"] == role_definition(ada, TOPICS)
    assert roles["device:bed-1"] == role_definition(bed, TOPICS)
    before = {client["username"]: client for client in known["clients"]}
    assert [client for client in made["clients"] if client["username"] in before] == list(before.values())


def test_what_is_not_allowed_is_denied() -> None:
    denied = merge_users(None, [], TOPICS)["defaultACLAccess"]
    assert (denied["publishClientSend"], denied["subscribe"]) == (False, False)


def test_a_device_is_bound_to_its_client_id_and_a_person_is_not() -> None:
    users = [User("bed-1", Kind.DEVICE, "icu-1", "word"), User("ada", Kind.PERSON, None, "word")]
    bed, ada = merge_users(None, users, TOPICS)["clients"]
    assert bed["clientid"].startswith("bed-1.")
    assert "clientid" not in ada


def test_simulated_monitors_keep_their_passwords(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    first = simulated_device_users(path, ["bed-1"], "icu-1")
    again = simulated_device_users(path, ["bed-1", "bed-2"], "icu-1")
    assert again[0] == first[0]
    assert len({user.password for user in again}) == 2
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", " ", "a/b", "+", "#", "bed\x00", "bed\n", "\u202e", "x" * 201, " bed", "bed "])
def test_a_name_that_is_no_level_of_a_topic_is_one_sentence(name: str) -> None:
    with pytest.raises(PermanentError, match="cannot be used; expected 1 to 200 printable characters"):
        check_name("device", name)


def test_a_user_changes_the_password_once_in_an_interval_and_only_recent_names_are_kept() -> None:
    limit = ChangeLimit()
    for number in range(1000):
        limit.begin(f"user-{number}", 100.0)
    limit.begin("eve", 101.0)
    with pytest.raises(PermanentError, match="once in 10 s"):
        limit.begin("eve", 100.9 + CHANGE_INTERVAL_S)
    limit.begin("ada", 100.9 + CHANGE_INTERVAL_S)
    assert list(limit._changes) == ["eve", "ada"]
    limit.begin("eve", 101.0 + CHANGE_INTERVAL_S)
