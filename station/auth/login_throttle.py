"""Throttle of sign-in attempts by user and address. Pure: the caller passes the time.

Counted are attempts under one name from one address, and beside them all from one address. Not those under a name from
everywhere: a stranger could keep its owner out by guessing wrongly. The passwords that `identity` draws cannot be
guessed (192 bits); what this spares is the broker, which looks at each attempt.
"""

from dataclasses import dataclass

NAME_FREE, NAME_LONGEST_S = 3, 60.0  # attempts without a wait, and the longest wait between two of the others
ADDRESS_FREE, ADDRESS_LONGEST_S = 20, 5.0  # short: behind a proxy or a container's network all have one address
FORGOTTEN_AFTER_S = 900.0  # without an attempt
MAX_TRACKED = 10_000  # names and addresses that are remembered; a stranger may invent more

Key = tuple[str, ...]


@dataclass(slots=True)
class _Attempts:
    times: int = 0
    next_at: float = 0.0
    last_at: float = 0.0


class LoginThrottle:
    """All of the last minutes. Times are seconds of any clock that only goes forward."""

    def __init__(self) -> None:
        self._tried: dict[Key, _Attempts] = {}

    def wait(self, name: str, address: str, now: float) -> float:
        """Seconds until the next attempt is looked at; 0 for at once."""
        known = (self._tried.get(key) for key in _keys(name, address))
        return max([0.0, *(tried.next_at - now for tried in known if tried is not None)])

    def begin(self, name: str, address: str, now: float) -> None:
        """One is looked at from now on. It counts at once, so that many at the same time are many."""
        limits = ((NAME_FREE, NAME_LONGEST_S), (ADDRESS_FREE, ADDRESS_LONGEST_S))
        for key, (free, longest) in zip(_keys(name, address), limits, strict=True):
            tried = self._tried.pop(key, None)  # and put back as the newest
            if tried is None or now - tried.last_at > FORGOTTEN_AFTER_S:
                tried = _Attempts()
            tried.times += 1
            tried.last_at = now
            beyond = tried.times - free
            tried.next_at = now + min(2.0 ** min(beyond, 10), longest) if beyond >= 0 else 0.0
            self._tried[key] = tried
        while len(self._tried) > MAX_TRACKED:
            del self._tried[next(iter(self._tried))]

    def good(self, name: str, address: str) -> None:
        """Do not count the attempt that began: it was right, or could not be checked."""
        pair, alone = _keys(name, address)
        self._tried.pop(pair, None)
        tried = self._tried.get(alone)
        if tried is not None:
            tried.times, tried.next_at = tried.times - 1, 0.0


def _keys(name: str, address: str) -> tuple[Key, Key]:
    return (name, address), (address,)
