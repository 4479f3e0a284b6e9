"""The story of letting somebody in and of turning somebody away; each is told on the audit topic.

It takes effect at once and without a restart: the broker's own plugin makes and deletes its users.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from identity.dynsec import CommandRejected, DynsecClient
from identity.policy import Kind, User, client_definition, role_definition, role_name
from vitals.errors import PermanentError
from vitals.reading import MAX_TEXT
from vitals.topics import Topics


@dataclass(frozen=True, slots=True)
class EnrolledUser:
    """Somebody whom the broker knows."""

    name: str
    kind: str
    ward: str | None


def check_name(what: str, name: str) -> None:
    """Raise PermanentError for a name that cannot be a level of a topic, or would be more than one."""
    fits = 0 < len(name) <= MAX_TEXT and name.isprintable() and not set(name) & set("+#/")
    if not fits or name.strip() != name or name in (".", ".."):  # which are folders, where a name becomes one
        raise PermanentError(
            f"the {what} name {name[:60]!r} cannot be used; expected 1 to {MAX_TEXT} printable characters without "
            "'/', '+' and '#', no space at either end, and neither '.' nor '..'"
        )


def check_users(users: Sequence[User]) -> None:
    """Raise PermanentError for a name that cannot be used, or that two of them have."""
    for user in users:
        check_name(user.kind, user.name)
        if user.ward is not None:
            check_name("ward", user.ward)
    if twice := [name for name, number in Counter(user.name for user in users).items() if number > 1]:
        raise PermanentError(f"the name {twice[0]!r} is there twice; each is enrolled once")


def enroll(
    dynsec: DynsecClient,
    users: Sequence[User],
    topics: Topics,
    *,
    by: str,
    now: datetime,
    rotate_password: bool = False,
) -> None:
    """Let these users in. Raises PermanentError for a name that cannot be used or is taken.

    rotate_password   a user that exists already gets a new password and the current rights; it is disconnected
    """
    check_users(users)
    known = {one.name: one for one in list_users(dynsec)}
    for user in users:
        there = known.get(user.name)
        if there is not None and not (rotate_password and there.kind == user.kind):
            which = f"a {there.kind}" + (f" of ward {there.ward}" if there.ward else "")
            raise PermanentError(
                f"{user.name!r} is enrolled already, as {which}; revoke it first, or give it a new password with --rotate-password"
            )
    for user in users:
        if user.name in known:
            _delete(dynsec, user.name, user.kind)
        dynsec.execute(
            {"command": "createRole", **role_definition(user, topics)},
            {"command": "createClient", **client_definition(user)},
        )
        action = "enrolled_again" if user.name in known else "enrolled"
        dynsec.publish([_audit_message(topics, action, EnrolledUser(user.name, user.kind, user.ward), by, now)])


def revoke(
    dynsec: DynsecClient, name: str, topics: Topics, *, by: str, now: datetime, kind: Kind | None = None
) -> EnrolledUser:
    """Turn a user away: it is disconnected and cannot come back. Raises PermanentError where nobody of that kind has the name.

    A device is forgotten besides: what it retained at the broker goes, so that its alerts end with that reason.
    """
    found = next((one for one in list_users(dynsec) if one.name == name and kind in (None, one.kind)), None)
    if found is None:
        raise PermanentError(f"nobody is enrolled as {name[:60]!r}; `list` shows who is")
    if found.kind in (Kind.SERVICE, Kind.ADMIN):
        raise PermanentError(f"{name!r} is a {found.kind} of this installation and is not revoked by name")
    _delete(dynsec, name, Kind(found.kind))
    told = [_audit_message(topics, "revoked", found, by, now)]
    if found.kind == Kind.DEVICE and found.ward is not None:
        told += [(topics.status(found.ward, name), b"", True), (topics.limits(found.ward, name), b"", True)]
    dynsec.publish(told)
    return found


def list_users(dynsec: DynsecClient) -> list[EnrolledUser]:
    """Everybody whom the broker knows, by kind and name."""
    (data,) = dynsec.execute({"command": "listClients", "verbose": True})
    found = [
        EnrolledUser(one["username"], one.get("textname", ""), one.get("textdescription") or None)
        for one in data.get("clients", [])
    ]
    return sorted(found, key=lambda one: (one.kind, one.name))


def _delete(dynsec: DynsecClient, name: str, kind: Kind) -> None:
    # The client first: the plugin disconnects it, and without it the role gives nobody anything.
    dynsec.execute({"command": "deleteClient", "username": name})
    try:
        dynsec.execute({"command": "deleteRole", "rolename": role_name(User(name, kind))})
    except CommandRejected as refused:
        if "not found" not in str(refused):
            raise


def _audit_message(topics: Topics, action: str, who: EnrolledUser, by: str, now: datetime) -> tuple[str, bytes, bool]:
    told = {"time": now, "by": by, "action": action, "name": who.name, "kind": who.kind, "ward": who.ward}
    return topics.enrolment, msgspec.json.encode(told), False
