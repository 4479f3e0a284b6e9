"""Decide which of several brokers the next connection goes to, and when. Pure; the time is an argument.

Every client applies the same rule, so that clients of one list end at the same broker: a broker that ends a connection
is tried again for HOLD_S before the next one, because a restart takes a second or two. One that is silent, or that
refuses, is left at once. There is no return to an earlier broker while the present one works.
"""

from math import inf

from mqtt.endpoint import BrokerEndpoint
from vitals.backoff import Backoff

STEADY_S = 5.0
"""A connection that lasted at least this long was in use, and its end says nothing against the broker."""
HOLD_S = 3.0


class BrokerOrder:
    """The brokers of a list; with one broker, its back-off and nothing else.

    current    the broker of the next attempt, or of the present connection
    switches   connections to another broker than the one before
    """

    def __init__(self, broker: BrokerEndpoint, backoff: Backoff) -> None:
        self.broker = broker
        self._backoff = backoff
        self._index = 0
        self._failures = 0  # of this round
        self._hold_until = -inf
        self._used: int | None = None
        self.switches = 0

    @property
    def broker(self) -> BrokerEndpoint:
        """The list. It may be replaced by one with another login."""
        return self._broker

    @broker.setter
    def broker(self, broker: BrokerEndpoint) -> None:
        self._broker, self._candidates = broker, broker.candidates

    @property
    def current(self) -> BrokerEndpoint:
        """The broker of the next attempt, or of the present connection; never a list."""
        return self._candidates[self._index]

    @property
    def facts(self) -> dict[str, object]:
        """The broker in use, to show it beside the health of a service."""
        return {"broker": self.current.address}

    def describe(self, reason: str) -> str:
        """Return why there is no connection, with the broker's address if there are several."""
        return f"{self.current.address}: {reason}" if len(self._candidates) > 1 else reason

    def connected(self) -> bool:
        """Record that the broker has accepted a connection; return whether it is another one than before."""
        has_switched = self._used not in (None, self._index)
        self.switches += has_switched
        self._used = self._index
        return has_switched

    def ended(self, now: float, lasted_s: float = 0.0, *, silent: bool = False) -> float:
        """Record the end of an attempt or of a connection; return the seconds to wait before the next attempt.

        lasted_s   how long the connection lasted, without connecting; 0 if there was none
        silent     the broker did not answer in time: it may be frozen
        """
        if lasted_s >= STEADY_S:  # brokers that accept and then deny are a failed round too
            self._failures = 0
        if lasted_s >= STEADY_S and not silent:
            self._hold_until = now + HOLD_S
        elif now >= self._hold_until or silent:
            self._index = (self._index + 1) % len(self._candidates)
            self._failures += 1
            self._hold_until = -inf
            if self._failures % len(self._candidates):
                return 0.0
        return self._backoff.next(lasted_s)
