"""Who may publish and read what at the broker: the rights of each kind of user, and the file they are kept in.

Pure. The file is that of Mosquitto's dynamic security plugin; what is not allowed here is denied. Every user has a role
of its own with literal names in it: the plugin of 2.0 knows no pattern for "your own name".
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mqtt.endpoint import session_id
from vitals.topics import Topics

DYNSEC_TOPIC = "$CONTROL/dynamic-security/v1"
OFFLINE_SESSIONS_TOPIC = "$SYS/broker/clients/disconnected"
"""Where Mosquitto tells how many sessions it keeps for clients that are not connected."""
ITERATIONS = (
    101  # of PBKDF2: our passwords are 192 random bits, which no repetition makes stronger; a login costs 0.1 ms
)

WRITE, READ, READ_BELOW = "publishClientSend", "subscribeLiteral", "subscribePattern"
RECEIVE = "publishClientReceive"


class Kind(StrEnum):
    """What a user of the broker is. A fleet is many simulated devices of one ward under one password: for measurements,
    where a password each would measure the logins; whoever has it can be every device of that ward."""

    DEVICE = "device"
    FLEET = "fleet"
    PERSON = "person"
    READER = "reader"
    SERVICE = "service"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """A user of the broker.

    ward       of a device: where it is; of a person or reader: the only ward that it may see, None for all
    does       of a service: what it is (ingest, alerts, station, health); its name is only its name
    password   None for a device that has a certificate
    """

    name: str
    kind: Kind
    ward: str | None = None
    password: str | None = None
    service: str = ""


def acls(user: User, topics: Topics) -> list[tuple[str, str]]:
    """What a user may do, as (kind of access, topic or filter)."""
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
            if user.ward is None:
                seen = [f"{root}/{kind}/#" for kind in ("vitals", "status", "alerts", "limits")]
            read = [
                (READ_BELOW, topic)
                for topic in (*seen, f"{root}/services/+", topics.rules("+"), topics.rejections("+", name))
            ]
            if user.kind is Kind.READER:
                return read
            # Reading its own word is of no use to it; the station learns from it that it may say one.
            return [
                *read,
                (READ_BELOW, topics.alert_commands(ward, user=name)),
                (WRITE, topics.alert_commands(ward, user=name)),
            ]
        case Kind.ADMIN:
            return [
                (WRITE, f"{DYNSEC_TOPIC}"),
                (READ, f"{DYNSEC_TOPIC}/response"),
                (RECEIVE, f"{DYNSEC_TOPIC}/response"),  # nothing below $CONTROL is allowed by default
                (WRITE, topics.enrolment),
                # To make a device forgotten that is gone for good: its alerts end, its limits go.
                (WRITE, f"{root}/status/+/+"),
                (WRITE, topics.limits()),
            ]
        case Kind.SERVICE:
            return _service_acls(user, topics)


def _service_acls(user: User, topics: Topics) -> list[tuple[str, str]]:
    root, own = topics.root, topics.service(user.name)
    presence = [(WRITE, own), (READ, own)]
    match user.service:
        case "ingest":
            kept = ("vitals", "status", "alerts", "alert-commands", "limits", "audit")
            return [
                *presence,
                *((READ_BELOW, f"{root}/{kind}/#") for kind in kept),
                (READ_BELOW, f"$share/+/{root}/vitals/#"),
                (WRITE, topics.receipts("+", "+")),
            ]
        case "alerts":
            return [
                *presence,
                *(
                    (READ_BELOW, f"{root}/{kind}/#")
                    for kind in ("vitals", "status", "alerts", "alert-commands", "limits")
                ),
                (READ_BELOW, f"{own}/#"),
                (WRITE, f"{own}/#"),
                (WRITE, f"{root}/alerts/+/+/+"),
                (READ_BELOW, "$SYS/broker/#"),
            ]
        case "station":
            return [
                *presence,
                *((READ_BELOW, f"{root}/{kind}/#") for kind in ("vitals", "status", "alerts", "limits", "services")),
                (WRITE, topics.limits()),
            ]
        case "health":
            return [(WRITE, topics.health), (READ, topics.health), (READ, OFFLINE_SESSIONS_TOPIC)]
        case unknown:
            raise ValueError(f"no service does {unknown!r}")


def role_definition(user: User, topics: Topics) -> dict[str, Any]:
    """The user's own role, as the plugin has it."""
    allowed = [{"acltype": kind, "topic": topic, "priority": 0, "allow": True} for kind, topic in acls(user, topics)]
    return {"rolename": role_name(user), "acls": allowed}


def role_name(user: User) -> str:
    """The name of a user's own role; `list` reads kind and ward back from it."""
    return f"{user.kind}:{user.name}"


def client_definition(user: User) -> dict[str, Any]:
    """The user as a command to the plugin has it; the password is in clear there."""
    client: dict[str, Any] = {"username": user.name, "roles": [{"rolename": role_name(user)}]}
    client["textname"] = user.kind.value
    client["textdescription"] = user.ward or ""
    if user.password is not None:
        client["password"] = user.password
        if user.kind is Kind.DEVICE:
            # A device has one connection, and may not have it under the id of another one's.
            client["clientid"] = session_id(user.name, user.password.encode())
    return client


def merge_users(known: Mapping[str, Any] | None, users: Iterable[User], topics: Topics) -> dict[str, Any]:
    """The plugin's file with these users in it, and whoever else was in it already (the enrolled ones).

    The rights of those given are as this version has them; a password that fits already keeps its salt, so that a file
    in which nothing changes stays the same.
    """
    known = known or {}
    clients = {client["username"]: client for client in known.get("clients", [])}
    roles = {role["rolename"]: role for role in known.get("roles", [])}
    for user in users:
        wanted = client_definition(user)
        wanted |= _password_fields(wanted.pop("password", None), clients.get(user.name, {}))
        clients[user.name] = wanted
        roles[role_name(user)] = role_definition(user, topics)
    return {
        "defaultACLAccess": {
            "publishClientSend": False,
            # What a user may subscribe to is decided when it subscribes; a second look at each message costs time.
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
