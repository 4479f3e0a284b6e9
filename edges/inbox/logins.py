"""The login of each bed at the broker: every bed is an enrolled device with a connection of its own."""

from pathlib import Path

from mqtt.credentials import read_credentials
from mqtt.endpoint import BrokerEndpoint
from vitals.errors import PermanentError


class Logins:
    """The passwords of all beds in one file; without a file all beds log in as the user of the broker's URL."""

    def __init__(self, broker: BrokerEndpoint, path: Path | None) -> None:
        self._broker = broker
        self._path = path

    def endpoint(self, ward: str, device: str) -> BrokerEndpoint:
        """Return the broker with the login of a bed; the file is read anew, so that a bed can be enrolled later.

        Raises PermanentError if the file has no password for this device and ward.
        """
        if self._path is None:
            return self._broker
        found = read_credentials(self._path).get(device) if self._path.exists() else None
        if found is None:
            raise PermanentError(f"{self._path} has no device {device!r}; enrol it with --credentials {self._path}")
        if found.ward != ward:
            raise PermanentError(f"{self._path} has {device!r} for ward {found.ward!r} and not for {ward!r}")
        return self._broker.as_user(device, found.password)
