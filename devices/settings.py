"""The settings of the bedside monitors, read once at start."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from devices.source import Source
from identity.settings import IdentitySettings
from mqtt.credentials import read_credentials
from mqtt.endpoint import BrokerEndpoint
from mqtt.settings import BrokerSettings
from sql.settings import DatabaseSettings, DatabaseUrl
from vitals.errors import PermanentError
from vitals.program import vitalflow_command


class DevicesSettings(BrokerSettings):
    """Settings of a fleet; each is the environment variable VITALFLOW_ with the name in capitals."""

    devices_credentials: Path | None = Field(None, description="File with the passwords of all devices.")


def device_endpoints(settings: DevicesSettings, sources: Sequence[Source]) -> Callable[[str], BrokerEndpoint]:
    """Return the broker with each device's login: its password from the file, or for all devices the user of the URL.

    Raises PermanentError for devices that are not in the file, or are for another ward.
    """
    broker, path = settings.broker, settings.devices_credentials
    if path is None:
        return lambda _: broker
    credentials = read_credentials(path) if path.exists() else {}  # nothing was enrolled yet
    missing = {source.device: source.ward for source in sources if source.device not in credentials}
    if missing:
        raise PermanentError(_enroll_hint(missing, path))
    for source in sources:
        name, ward = source.device, source.ward
        if credentials[name].ward != ward:
            raise PermanentError(
                f"{path} has {name!r} for ward {credentials[name].ward!r} and not for {ward!r}; "
                f"vitalflow devices revoke {name}, and enroll it for {ward!r} with --credentials {path}"
            )
    return lambda device: broker.as_user(device, credentials[device].password)


def _enroll_hint(missing: Mapping[str, str], path: Path) -> str:
    """Return a sentence about devices without a password, with the command that enrols those of the first ward."""
    first, *others = missing
    names = [name for name, ward in missing.items() if ward == missing[first]]
    more = f" and {len(others)} more, so the broker would reject them" if others else ", so the broker would reject it"
    arguments = ["devices", "enroll", *names, "--ward", missing[first], "--credentials", str(path)]
    command = f"{vitalflow_command()} {shlex.join(arguments)}"
    return f"{path} has no device {first!r}{more}; enrol {'them' if others else 'it'}: {command}"


class DoctorSettings(IdentitySettings, DatabaseSettings):
    """Settings of `devices doctor`: the broker as a person and as its admin, and the database, if it is known."""

    reader_url: DatabaseUrl | None = Field(None, description="URL of the database, with the login vitalflow_reader.")
    raw_retention_days: int = Field(
        30, ge=1, le=36_500, description="Readings older than this number of days are rejected."
    )
