"""A service's presence: birth, heartbeat and last will on the retained topic `services/{name}`.

Published by ingest, alerts and station; read by whoever shows the health of the stack, and by a second instance of the
same service, which must not push the first one out.
"""

from typing import Literal

import msgspec
from msgspec import Struct

from vitals.payload import DECODE_ERRORS

HEARTBEAT_S = 2.0
"""Seconds between two heartbeats; one that is missing twice in a row is not there any more. Short, because a service
that comes back after a broker's crash waits that long before it believes that nobody else holds its session."""


class ServiceStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a service says of itself. `boot` is the unix time of its start in nanoseconds and names the instance."""

    state: Literal["online", "offline"]
    boot: int
    host: str = ""
    pid: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


_decode = msgspec.json.Decoder(ServiceStatus).decode


def encode_service_status(status: ServiceStatus) -> bytes:
    """A presence as a JSON object."""
    return msgspec.json.encode(status)


def decode_service_status(payload: bytes) -> ServiceStatus | None:
    """Take a presence apart; None for anything that is none."""
    try:
        return _decode(payload)
    except DECODE_ERRORS:
        return None
