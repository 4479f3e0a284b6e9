"""Throttle of sign-in attempts by user and address. Pure: the caller passes the time.

Attempts are counted by name and address, and by address. They are not counted by name alone: an attacker could then
lock a user out with wrong passwords. Passwords that `identity` generates cannot be guessed (192 bits); the throttle
limits the load of the broker, which checks each attempt.
"""

from dataclasses import dataclass

NAME_FREE, NAME_MAX_WAIT_S = 3, 60.0  # attempts without a wait, and the maximum wait between further ones
ADDRESS_FREE, ADDRESS_MAX_WAIT_S = 20, 5.0  # short: all users behind a proxy have one address
FORGOTTEN_AFTER_S = 900.0  # without an attempt
MAX_TRACKED = 10_000  # names and addresses; an attacker may use any number

Key = tuple[str, ...]


@dataclass(slots=True)
class _Attempts:
    times: int = 0
    next_at: float = 0.0
    last_at: float = 0.0


class LoginThrottle:
    """Counts of recent attempts. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._tried: dict[Key, _Attempts] = {}

    def wait(self, name: str, address: str, now: float) -> float:
        """Return the seconds until the next attempt is allowed, 0 for none."""
        known = (self._tried.get(key) for key in _keys(name, address))
        return max([0.0, *(tried.next_at - now for tried in known if tried is not None)])

    def begin(self, name: str, address: str, now: float) -> None:
        """Count an attempt when it begins, so that simultaneous attempts are all counted."""
        limits = ((NAME_FREE, NAME_MAX_WAIT_S), (ADDRESS_FREE, ADDRESS_MAX_WAIT_S))
        for key, (free, max_wait_s) in zip(_keys(name, address), limits, strict=True):
            tried = self._tried.pop(key, None)  # reinserted below as the newest
            if tried is None or now - tried.last_at > FORGOTTEN_AFTER_S:
                tried = _Attempts()
            tried.times += 1
            tried.last_at = now
            beyond = tried.times - free
            tried.next_at = now + min(2.0 ** min(beyond, 10), max_wait_s) if beyond >= 0 else 0.0
            self._tried[key] = tried
        while len(self._tried) > MAX_TRACKED:
            del self._tried[next(iter(self._tried))]

    def good(self, name: str, address: str) -> None:
        """Remove the attempt from the counts: it succeeded, or could not be checked."""
        pair, alone = _keys(name, address)
        self._tried.pop(pair, None)
        tried = self._tried.get(alone)
        if tried is not None:
            tried.times, tried.next_at = tried.times - 1, 0.0


def _keys(name: str, address: str) -> tuple[Key, Key]:
    return (name, address), (address,)
