"""Access control lists of each kind of broker user, and the file of Mosquitto's dynamic security plugin. Pure.

Deny by default. Every user has a role of its own with literal names in it, because the plugin of Mosquitto 2.0 has no
pattern for the user's own name.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from mqtt.broker_log import LOG_TOPICS
from mqtt.endpoint import session_id
from vitals.audit import audit_filters
from vitals.topics import STACK_WARD, Topics

DYNSEC_TOPIC = "$CONTROL/dynamic-security/v1"
OFFLINE_SESSIONS_TOPIC = "$SYS/broker/clients/disconnected"
"""Mosquitto publishes here how many sessions it keeps for clients that are not connected."""
HOME_ASSISTANT_CONFIGS = "homeassistant/device/+/config"
"""Where Home Assistant receives the discovery of devices."""
ITERATIONS = 101  # of PBKDF2; passwords are 192 random bits, so more iterations add no strength. A login costs 0.1 ms

WRITE, READ, READ_BELOW = "publishClientSend", "subscribeLiteral", "subscribePattern"
RECEIVE = "publishClientReceive"


class Kind(StrEnum):
    """Kind of broker user.

    PERSON, READER and ADMINISTRATOR are the roles of users of the station: nurse, read-only, administrator. An
    administrator enrols and revokes with `vitalflow`, and sees no patient.

    MIRROR and WARD_BRIDGE are brokers that log in at another one (`identity.bridge`): the other broker of a pair, which
    reads the retained state, and the broker of a ward. FAILBACK writes that state, while `identity failback` runs.

    FLEET is for measurements: many simulated devices of one ward share one password, so that logins are not what is
    measured. Its password permits publishing as any device of that ward.
    """

    DEVICE = "device"
    FLEET = "fleet"
    PERSON = "person"
    READER = "reader"
    ADMINISTRATOR = "administrator"
    SERVICE = "service"
    ADMIN = "admin"
    MIRROR = "mirror"
    WARD_BRIDGE = "ward-bridge"
    FAILBACK = "failback"


ENROLLED_KINDS = (
    *(Kind.DEVICE, Kind.FLEET, Kind.PERSON, Kind.READER, Kind.ADMINISTRATOR),
    *(Kind.MIRROR, Kind.WARD_BRIDGE),
)
OPERATOR = "operator"
"""The built-in user for the shell of an installation."""
ROLES = {"nurse": Kind.PERSON, "read-only": Kind.READER, "administrator": Kind.ADMINISTRATOR}
"""The kinds of people, by the name of their role."""


@dataclass(frozen=True, slots=True)
class User:
    """A user of the broker.

    ward       of a device or a bridge: its ward; of a person or reader: the only ward it may see, None for all
    service    of a service user: which decides its rights (see `_service_acls`); `name` does not
    password   None for a device with a certificate
    salt       of a password that the user has chosen (`vitals.password`)
    wards      of an alert worker: the wards that it watches; empty for all
    """

    name: str
    kind: Kind
    ward: str | None = None
    password: str | None = None
    service: str = ""
    salt: str | None = None
    wards: tuple[str, ...] = ()


def acls(user: User, topics: Topics) -> list[tuple[str, str]]:
    """Return what a user may do, as (kind of access, topic or filter)."""
    name, root = user.name, topics.root
    match user.kind:
        case Kind.DEVICE:
            ward = user.ward or ""
            return [
                (WRITE, topics.vitals(ward, name)),
                (WRITE, topics.status(ward, name)),
                (READ, topics.receipts(ward, name)),
                (READ, topics.limits(ward, name)),
            ]
        case Kind.FLEET:
            ward = user.ward or ""
            return [
                (WRITE, topics.vitals(ward, "+")),
                (WRITE, topics.status(ward, "+")),
                (READ_BELOW, topics.receipts(ward, "+")),
            ]
        case Kind.PERSON | Kind.READER:
            ward = "+" if user.ward is None else user.ward
            seen = [f"{root}/{kind}/{ward}/#" for kind in ("vitals", "status", "alerts", "limits")]
            if user.ward is not None:
                seen.append(f"{root}/alerts/{STACK_WARD}/#")  # read-only: their ward is affected too
            else:
                seen = [f"{root}/{kind}/#" for kind in ("vitals", "status", "alerts", "limits")]
            read = [
                (READ_BELOW, topic)
                for topic in (*seen, f"{root}/services/+", topics.rules("+"), topics.rejections("+", name))
            ]
            if name != OPERATOR:  # its password is in a file, for the shell of the installation
                read.append((WRITE, topics.password_changes(name)))
            if user.kind is Kind.READER:
                return read
            # The station checks permission to acknowledge by subscribing to the user's own command topic.
            return [
                *read,
                (READ_BELOW, topics.alert_commands(ward, user=name)),
                (WRITE, topics.alert_commands(ward, user=name)),
                (WRITE, topics.admissions(ward, user=name)),
            ]
        case Kind.ADMIN:
            return [
                *acls(replace(user, kind=Kind.ADMINISTRATOR), topics),
                (READ_BELOW, topics.password_changes()),
                (WRITE, topics.password_rejected()),
            ]
        case Kind.ADMINISTRATOR:
            return [
                (WRITE, f"{DYNSEC_TOPIC}"),
                (READ, f"{DYNSEC_TOPIC}/response"),
                (RECEIVE, f"{DYNSEC_TOPIC}/response"),  # below $CONTROL nothing is allowed by default
                (WRITE, topics.enrolment),
                # Revoking a device clears its retained status, limits and assignment, which ends its alerts.
                (WRITE, f"{root}/status/+/+"),
                (WRITE, topics.limits()),
                (WRITE, topics.assignments()),
                (WRITE, topics.password_salt()),
                # `devices doctor` reports logins.
                *((READ, topic) for topic in LOG_TOPICS),
                (READ_BELOW, topics.logins("+")),
            ]
        case Kind.MIRROR:
            return [(READ_BELOW, name) for name in mirrored_filters(topics)]
        case Kind.FAILBACK:
            return [(access, name) for name in mirrored_filters(topics) for access in (WRITE, READ_BELOW)]
        case Kind.WARD_BRIDGE:
            up, down, commands = ward_bridge_filters(user.ward or "", name, topics)
            return [*((WRITE, topic) for topic in up), *((READ_BELOW, topic) for topic in (*down, *commands))]
        case Kind.SERVICE:
            return _service_acls(user, topics)


def mirrored_filters(topics: Topics) -> list[str]:
    """Return the topics that the standby broker of a pair mirrors: retained state that outlives a connection.

    Not the presence of devices and services: on the standby broker nothing is connected. Not the commands to alerts:
    what they changed is in the alert, and a command that was not carried out is given again.
    """
    return [topics.alerts(), topics.limits(), topics.assignments(), topics.rules("+"), topics.password_salt()]


def ward_worker(bridge: str) -> str:
    """Return the client id of the alert worker at a ward, by the name of the ward's bridge."""
    return f"alerts-{bridge}"


def ward_bridge_filters(ward: str, bridge: str, topics: Topics) -> tuple[list[str], list[str], list[str]]:
    """Return what the broker of a ward sends to the centre, what it reads there, and the commands that it reads."""
    worker = ward_worker(bridge)
    up = [
        topics.vitals(ward, "+"),
        topics.status(ward, "+"),
        topics.alerts(ward),
        topics.service(worker),
        topics.rules(worker),
        topics.rejections(worker),
        topics.rejections(worker, "+"),
    ]
    down = [
        topics.receipts(ward, "+"),
        topics.limits(ward),
        topics.assignments(ward),
    ]
    return up, down, [topics.alert_commands(ward), topics.alert_commands(ward, user="+")]


def _service_acls(user: User, topics: Topics) -> list[tuple[str, str]]:
    root, own = topics.root, topics.service(user.name)
    presence = [(WRITE, own), (READ, own)]
    probe = [(WRITE, f"{own}/probe/#"), (READ_BELOW, f"{own}/probe/#")]  # the check of the broker at the start
    match user.service:
        case "ingest":
            kept = ("vitals", "status", "alerts", "alert-commands", "limits", "assignments", "audit")
            return [
                *presence,
                *((READ_BELOW, f"{root}/{kind}/#") for kind in kept),
                *((READ_BELOW, f"$share/+/{name}") for name in (topics.all_vitals, *audit_filters(root))),
                (WRITE, topics.receipts("+", "+")),
                *((READ, topic) for topic in LOG_TOPICS),  # they name client ids, so not every service may
                (WRITE, f"{own}/standby"),
                *probe,
                (READ_BELOW, f"$share/+/{own}/probe/#"),
                (READ_BELOW, topics.rules("+")),  # after its alerts, an alert worker publishes these
                (READ, topics.logins(user.name)),
                (WRITE, topics.logins(user.name)),
            ]
        case "alerts":
            wards = (*user.wards, STACK_WARD) if user.wards else ("+",)
            return [
                *presence,
                *(
                    (READ_BELOW, f"{root}/{kind}/{ward}/#" if user.wards else f"{root}/{kind}/#")
                    for kind in ("vitals", "status", "alerts", "alert-commands", "limits", "assignments")
                    for ward in wards
                ),
                (READ_BELOW, f"{own}/#"),
                (WRITE, f"{own}/#"),
                # The status of an ingest becomes an alert. Topics below it, such as its login report, are not read.
                (READ_BELOW, topics.service("+")),
                *((WRITE, topics.alert(ward, "+", "+")) for ward in wards),
                (READ_BELOW, "$SYS/broker/publish/#"),
                (READ_BELOW, "$SYS/broker/messages/#"),
                (READ, OFFLINE_SESSIONS_TOPIC),
            ]
        case "station":
            return [
                *presence,
                *(
                    (READ_BELOW, f"{root}/{kind}/#")
                    for kind in ("vitals", "status", "alerts", "limits", "assignments", "services")
                ),
                (WRITE, topics.limits()),
                (WRITE, topics.assignments()),
                (WRITE, topics.sign_ins),
                (READ_BELOW, topics.password_salt()),
                (READ_BELOW, topics.password_rejected()),
            ]
        case "edges":
            # Readings are published with the logins of the beds. An admission changes assignments, and with the patient
            # the limits of a bed; what is retained decides.
            return [
                *presence,
                *probe,
                *((READ_BELOW, f"{root}/{kind}/#") for kind in ("limits", "assignments")),
                (WRITE, topics.limits()),
                (WRITE, topics.assignments()),
                (WRITE, topics.admissions(user=user.name)),
            ]
        case "edges-out":  # reads what it sends to other systems, and whether the alert workers are there
            return [
                *presence,
                *((READ_BELOW, f"{root}/{kind}/#") for kind in ("alerts", "vitals")),
                (READ_BELOW, topics.service("+")),
            ]
        case "edges-home-assistant":
            return [
                *presence,
                *((READ_BELOW, f"{root}/{kind}/#") for kind in ("alerts", "vitals", "status")),
                (READ_BELOW, topics.service("+")),
                *((kind, HOME_ASSISTANT_CONFIGS) for kind in (WRITE, READ_BELOW)),
                *((kind, f"{root}/home-assistant/#") for kind in (WRITE, READ_BELOW)),
            ]
        case "home-assistant":  # Home Assistant itself, which announces its starts
            return [
                *((READ_BELOW, name) for name in ("homeassistant/#", f"{root}/home-assistant/#")),
                (WRITE, "homeassistant/status"),
            ]
        case "health":
            return [(WRITE, topics.health), (READ, topics.health), (READ, OFFLINE_SESSIONS_TOPIC)]
        case unknown:
            raise ValueError(f"no service is called {unknown!r}")


def role_definition(user: User, topics: Topics) -> dict[str, Any]:
    """Return the user's own role in the plugin's format."""
    allowed = [{"acltype": kind, "topic": topic, "priority": 0, "allow": True} for kind, topic in acls(user, topics)]
    return {"rolename": role_name(user), "acls": allowed}


def role_name(user: User) -> str:
    """Return the name of the user's own role."""
    return f"{user.kind}:{user.name}"


def client_definition(user: User) -> dict[str, Any]:
    """Return the user in the format of the plugin's commands; the password is in clear text."""
    client: dict[str, Any] = {
        "username": user.name,
        "roles": [{"rolename": role_name(user)}],
        "textname": textname(user.kind, user.salt),
        "textdescription": " ".join(filter(None, (user.ward or user.service, ",".join(user.wards)))),
    }
    if user.password is not None:
        client["password"] = user.password
        if user.kind is Kind.DEVICE:
            # One connection per device, and no device can take over the session of another one.
            client["clientid"] = session_id(user.name, user.password.encode())
    return client


def textname(kind: Kind, salt: str | None) -> str:
    """Return what the plugin keeps as a user's text name: the kind, and the salt of a chosen password."""
    return str(kind) if salt is None else f"{kind} {salt}"


def known_user(client: Mapping[str, Any]) -> User:
    """Return the user that `client_definition` described, without the password."""
    kind, _, salt = client.get("textname", "").partition(" ")
    detail = client.get("textdescription", "")
    if kind == Kind.SERVICE:  # without a detail: by a version before 0.2.0
        service, _, wards = detail.partition(" ")
        return User(client["username"], kind, service=service, wards=tuple(filter(None, wards.split(","))))
    return User(client["username"], kind, detail or None, salt=salt or None)


def merge_users(known: Mapping[str, Any] | None, users: Iterable[User], topics: Topics) -> dict[str, Any]:
    """Return the plugin's file with these users and all users that are `known` from its present content.

    All enrolled users and added services get the rights of this version, so an upgrade that renames topics applies to
    them too. A password that still matches keeps its salt, so the file stays equal if nothing changes. A person who is
    missing although the file has an admin was revoked, and is not added.
    """
    known = known or {}
    clients = {client["username"]: client for client in known.get("clients", [])}
    roles = {role["rolename"]: role for role in known.get("roles", [])}
    for client in list(clients.values()):
        enrolled = known_user(client)
        if enrolled.kind in ENROLLED_KINDS or enrolled.service:
            roles[role_name(enrolled)] = role_definition(enrolled, topics)
    set_up_before = any(client.get("textname") == Kind.ADMIN for client in known.get("clients", []))
    for user in users:
        if user.kind in ROLES.values() and set_up_before and user.name not in clients:
            continue  # revoked since the first set-up
        wanted = client_definition(user)
        wanted |= _password_fields(wanted.pop("password", None), clients.get(user.name, {}))
        clients[user.name] = wanted
        roles[role_name(user)] = role_definition(user, topics)
    return {
        "defaultACLAccess": {
            "publishClientSend": False,
            # Reading is checked once, at SUBSCRIBE; checking each delivered message as well would cost time.
            "publishClientReceive": True,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": list(clients.values()),
        "groups": known.get("groups", []),
        "roles": list(roles.values()),
    }


def _password_fields(password: str | None, before: Mapping[str, Any]) -> dict[str, Any]:
    if password is None:
        return {}
    if {"password", "salt", "iterations"} <= before.keys():
        again = _hash(password, base64.b64decode(before["salt"]), before["iterations"])
        if hmac.compare_digest(again, before["password"]):
            return {key: before[key] for key in ("password", "salt", "iterations")}
    salt = os.urandom(12)
    return {
        "password": _hash(password, salt, ITERATIONS),
        "salt": base64.b64encode(salt).decode(),
        "iterations": ITERATIONS,
    }


def _hash(password: str, salt: bytes, iterations: int) -> str:
    return base64.b64encode(hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)).decode()
