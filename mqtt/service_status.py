"""Status of a service: birth, heartbeat and last will on the retained topic `services/{name}`.

Published by ingest, alerts and station. Read by screens that show the health of the services, and by a second instance
of the same service, which must not take over the session of the first.
"""

import os
import socket
from datetime import datetime
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import Meta, Struct

from vitals.payload import DECODE_ERRORS

HEARTBEAT_S = 2.0
"""A service that misses two heartbeats in a row counts as down. Short, because a service that restarts after a crash of
the broker waits this long before it takes its own session again."""


State = Literal["online", "offline", "standby"]


class ServiceStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Status of one instance.

    boot            its start in unix nanoseconds, which identifies it
    state           standby only on the topic of the standbys, `services/{name}/standby`
    broker          host and port of the broker that it is connected to
    problem         why it does not do its work although it runs, in one sentence without secrets; empty: it works
    problem_since   since when
    """

    state: State
    boot: int
    host: str = ""
    pid: int = 0
    broker: str = ""
    problem: str = ""
    problem_since: Annotated[datetime, Meta(tz=True)] | None = None

    @classmethod
    def here(cls, state: State, boot: int, **other: Any) -> Self:
        """Return the status of this process on this host."""
        return cls(state=state, boot=boot, host=socket.gethostname(), pid=os.getpid(), **other)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def is_ingest(name: str) -> bool:
    """Return whether a service is an ingest, by its client id: `ingest`, `ingest-2`."""
    return name.startswith("ingest")


_decode = msgspec.json.Decoder(ServiceStatus).decode


def encode_service_status(status: ServiceStatus) -> bytes:
    """Encode as a JSON object."""
    return msgspec.json.encode(status)


def decode_service_status(payload: bytes) -> ServiceStatus | None:
    """Decode a service status; None if the payload is malformed."""
    try:
        return _decode(payload)
    except DECODE_ERRORS:
        return None
