"""When the certificates of a connection to the broker end, as a metric. A thread of its own reads them once an hour.

The broker's certificate is read on a new connection, because the one in use keeps the certificate of its beginning.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from mqtt.endpoint import BrokerEndpoint
from mqtt.tls import read_expiry, read_server_expiry

INTERVAL_S = 3600.0
RETRY_S = 60.0  # while a certificate cannot be read


class CertificateExpiry(threading.Thread):
    """Sets the gauge of each certificate until the process ends.

    One that cannot be read keeps its last value, or has none. `files` are further certificates, by their label.
    """

    def __init__(
        self, registry: CollectorRegistry, name: str, broker: BrokerEndpoint, files: Mapping[str, Path | None]
    ) -> None:
        super().__init__(name="certificate-expiry", daemon=True)
        self._gauge = Gauge(
            name + "certificate_expiry_timestamp_seconds",
            "Unix time at which a certificate ends: ca, broker, client (the service's own) or station",
            ["certificate"],
            registry=registry,
        )
        own = {"ca": broker.ca if broker.tls else None, "client": broker.certificate, **files}
        self._readers: dict[str, Callable[[], datetime | None]] = {
            label: lambda path=path: read_expiry(path)  # type: ignore[misc]
            for label, path in own.items()
            if path is not None
        }
        if broker.tls:
            self._readers["broker"] = lambda: _first_expiry(broker)

    def run(self) -> None:
        """Read all certificates at intervals."""
        pause = threading.Event()
        while self._readers:
            pause.wait(INTERVAL_S if self.read() else RETRY_S)

    def read(self) -> bool:
        """Read all certificates once; return whether each could be read."""
        found = {label: read() for label, read in self._readers.items()}
        for label, ends in found.items():
            if ends is not None:
                self._gauge.labels(label).set(ends.timestamp())
        return None not in found.values()


def _first_expiry(broker: BrokerEndpoint) -> datetime | None:
    """Return when the first of the brokers' certificates ends; None if none can be read."""
    shown = (read_server_expiry(one.host, one.port) for one in broker.candidates)
    return min((ends for ends in shown if ends is not None), default=None)
