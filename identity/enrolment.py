"""Add, list and revoke users of the broker, and assign patients to beds; the changes are published for the audit.

A change takes effect at once and without a restart: the broker's own plugin creates and deletes its users.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec

from identity.dynsec import CommandRejected, DynsecClient, connect_dynsec
from identity.policy import ROLES, Kind, User, client_definition, known_user, role_definition, role_name
from identity.settings import IdentitySettings
from vitals.assignment import Assignment, encode_assignment
from vitals.errors import PermanentError
from vitals.reading import MAX_TEXT
from vitals.topics import Topics, is_name


def check_name(what: str, name: str) -> None:
    """Raise PermanentError for a name that cannot be one level of a topic."""
    if not is_name(name) or name in (".", ".."):  # a name can become a folder's
        raise PermanentError(
            f"the {what} name {name[:60]!r} cannot be used; expected 1 to {MAX_TEXT} printable characters without "
            "'/', '+' and '#', no space at either end, and neither '.' nor '..'"
        )


def check_users(users: Sequence[User]) -> None:
    """Raise PermanentError for a name that cannot be used or is given twice."""
    for user in users:
        check_name(user.kind, user.name)
        for ward in (*user.wards, *([] if user.ward is None else [user.ward])):
            check_name("ward", ward)
    if twice := [name for name, number in Counter(user.name for user in users).items() if number > 1]:
        raise PermanentError(f"the name {twice[0]!r} is given twice; each device is enrolled once")


def enroll(
    dynsec: DynsecClient,
    users: Sequence[User],
    topics: Topics,
    *,
    by: str,
    now: datetime,
    rotate_password: bool = False,
) -> None:
    """Add these users. Raises PermanentError for a name that cannot be used or is taken.

    rotate_password   a user that exists already gets a new password and the current rights; it is disconnected
    """
    check_users(users)
    known = {user.name: user for user in list_users(dynsec)}
    for user in users:
        present = known.get(user.name)
        if present is not None and not (rotate_password and present.kind == user.kind):
            which = f"a {present.kind}" + (f" of ward {present.ward}" if present.ward else "")
            raise PermanentError(
                f"{user.name!r} is enrolled already, as {which}; revoke it first, "
                "or give it a new password with --rotate-password"
            )
    for user in users:
        if user.name in known:
            _delete(dynsec, user.name, user.kind)
        dynsec.execute(
            {"command": "createRole", **role_definition(user, topics)},
            {"command": "createClient", **client_definition(user)},
        )
        action = "enrolled_again" if user.name in known else "enrolled"
        dynsec.publish([audit_message(topics, action, user, by, now), *_no_salt(topics, user)])


def enroll_user(settings: IdentitySettings, user: User, now: datetime, *, rotate_password: bool) -> None:
    """Add a user at the broker of these settings, and at each of a pair; see `enroll`."""
    with connect_dynsec(settings.admin, settings.pair) as dynsec:
        by = settings.administrator
        enroll(dynsec, [user], settings.topics, by=by, now=now, rotate_password=rotate_password)


def revoke(
    dynsec: DynsecClient, name: str, topics: Topics, *, by: str, now: datetime, kind: Kind | None = None
) -> User:
    """Delete a user, which disconnects it. Raises PermanentError if there is no such user (of this kind).

    A device's retained status, limits and assignment are cleared as well, which ends its alerts.
    """
    found = next((user for user in list_users(dynsec) if user.name == name and kind in (None, user.kind)), None)
    if found is None:
        raise PermanentError(f"{name[:60]!r} is not enrolled; `list` shows all names")
    if found.kind == Kind.ADMIN or (found.kind == Kind.SERVICE and found.service in ("", name)):
        raise PermanentError(f"{name!r} is a built-in {found.kind} user and cannot be revoked")
    _delete(dynsec, name, found.kind)
    messages = [audit_message(topics, "revoked", found, by, now), *_no_salt(topics, found)]
    if found.kind == Kind.DEVICE and found.ward is not None:
        messages += [
            (topic(found.ward, name), b"", True) for topic in (topics.status, topics.limits, topics.assignments)
        ]
    dynsec.publish(messages)
    return found


def assign(dynsec: DynsecClient, device: str, assignment: Assignment, topics: Topics) -> str:
    """Assign a patient to the bed of an enrolled device and return its ward.

    Raises PermanentError for a device that is not enrolled and an assignment that would be rejected.
    """
    payload = encode_assignment(assignment)
    ward = _ward_of(dynsec, device)
    dynsec.publish([(topics.assignments(ward, device), payload, True)])
    return ward


def discharge(dynsec: DynsecClient, device: str, topics: Topics, *, by: str, now: datetime) -> str:
    """Discharge the patient of a bed, which ends its alerts and its limits, and return its ward."""
    ward = _ward_of(dynsec, device)
    payload = encode_assignment(Assignment(patient_id=None, by=by, time=now))
    dynsec.publish([(topics.assignments(ward, device), payload, True), (topics.limits(ward, device), b"", True)])
    return ward


def _ward_of(dynsec: DynsecClient, device: str) -> str:
    for user in list_users(dynsec):
        if user.name == device and user.kind == Kind.DEVICE and user.ward is not None:
            return user.ward
    raise PermanentError(f"no device {device[:60]!r} is enrolled; `vitalflow devices list` shows all")


def list_users(dynsec: DynsecClient) -> list[User]:
    """Return every user of the broker, sorted by kind and name."""
    (data,) = dynsec.execute({"command": "listClients", "verbose": True})
    return sorted(map(known_user, data.get("clients", [])), key=lambda user: (user.kind, user.name))


def find_user(dynsec: DynsecClient, name: str) -> User:
    """Return one user of the broker; raises CommandRejected if there is none of that name."""
    (data,) = dynsec.execute({"command": "getClient", "username": name})
    return known_user(data["client"])


def _delete(dynsec: DynsecClient, name: str, kind: Kind) -> None:
    # The client first: the plugin disconnects it, and without a client the role grants nothing.
    # Mosquitto 2.0.21 crashes if a role is deleted that a user still has.
    dynsec.execute({"command": "deleteClient", "username": name})
    try:
        dynsec.execute({"command": "deleteRole", "rolename": role_name(User(name, kind))})
    except CommandRejected as error:
        if "not found" not in str(error):
            raise


def _no_salt(topics: Topics, user: User) -> list[tuple[str, bytes, bool]]:
    """Return the message that a person has no chosen password: revoked, or with a generated one."""
    return [(topics.password_salt(user.name), b"", True)] if user.kind in ROLES.values() else []


def audit_message(topics: Topics, action: str, user: User, by: str, now: datetime) -> tuple[str, bytes, bool]:
    """Return the message that records a change of a user, in the form of `DynsecClient.publish`."""
    record = {"time": now, "by": by, "action": action, "name": user.name, "kind": user.kind, "ward": user.ward}
    return topics.enrolment, msgspec.json.encode(record), False
