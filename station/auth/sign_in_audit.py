"""Audit records of sign-ins and refused sign-ins, throttled. Pure: the caller passes the time.

The first event of a user from an address is recorded at once, further ones within a minute in one record with their
number, so that a flood of attempts cannot fill the audit log. No password is passed to this module. The name of a
refused sign-in is recorded only if that user has signed in since the station's start: any other text may be a password
in the wrong field.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

Action = Literal["signed_in", "sign_in_refused"]

INTERVAL = timedelta(seconds=60)
MAX_REFUSED = 200  # recorded separately within the interval; further ones are counted together, without an address
MAX_NAMES = 10_000

Key = tuple[Action, str | None, str | None]


@dataclass(slots=True)
class _Recent:
    """Events since the last record of one key. `until`: when the next record may follow."""

    until: datetime
    count: int
    last_at: datetime


class SignInAudit:
    """Sign-ins that are not in the audit log yet."""

    def __init__(self) -> None:
        self._recent: dict[Key, _Recent] = {}
        self._due: list[bytes] = []
        self._names: dict[str, None] = {}

    def signed_in(self, name: str, address: str, now: datetime) -> None:
        """Count a sign-in."""
        self._names[name] = None
        while len(self._names) > MAX_NAMES:
            del self._names[next(iter(self._names))]
        self._count(("signed_in", name, address), now)

    def refused(self, name: str, address: str, now: datetime) -> None:
        """Count a refused sign-in."""
        key: Key = ("sign_in_refused", name if name in self._names else None, address)
        if key not in self._recent and sum(action == key[0] for action, *_ in self._recent) >= MAX_REFUSED:
            key = ("sign_in_refused", None, None)
        self._count(key, now)

    def take_due(self, now: datetime) -> list[bytes]:
        """Return the payloads that are due now, and forget them."""
        for key, recent in list(self._recent.items()):
            if now < recent.until:
                continue
            if recent.count:
                self._due.append(_payload(key, recent.last_at, recent.count))
                self._recent[key] = _Recent(now + INTERVAL, 0, now)
            else:
                del self._recent[key]
        due, self._due = self._due, []
        return due

    @property
    def waiting(self) -> int:
        """Return the number of sign-ins that `take_due` has not returned yet."""
        return len(self._due) + sum(recent.count for recent in self._recent.values())

    def _count(self, key: Key, now: datetime) -> None:
        recent = self._recent.get(key)
        if recent is None:
            self._recent[key] = _Recent(now + INTERVAL, 0, now)
            self._due.append(_payload(key, now, 1))
        else:
            recent.count, recent.last_at = recent.count + 1, now


def _payload(key: Key, at: datetime, count: int) -> bytes:
    action, name, address = key
    record = {"time": at, "action": action, "by": name, "address": address, "count": count}
    return msgspec.json.encode({field: value for field, value in record.items() if value is not None})
