"""Requests over HTTP without a valid proof of their sender: each is counted, and the log names the address."""

import logging
import time
from collections import defaultdict

from prometheus_client import Counter
from starlette.requests import Request

from vitals.log import Throttle

log = logging.getLogger("edges")


class UnprovenRequests:
    """The requests that a listener refused with 401."""

    def __init__(self, messages: Counter) -> None:
        """`messages`: of the service, by answer."""
        self._counter = messages.labels("unproven")
        self._throttles: defaultdict[str, Throttle] = defaultdict(Throttle)

    def refuse(self, receiver: str, request: Request, reason: str) -> None:
        """Count a request; log it at most every half minute for each receiver, such as `webhook phone`."""
        self._counter.inc()
        if self._throttles[receiver].due(time.monotonic()):
            peer = request.client.host if request.client else "an unknown address"
            log.warning("%s: a request from %s is refused: %s", receiver, peer, reason)
