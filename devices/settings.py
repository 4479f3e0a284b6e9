"""The settings of the bedside monitors, read once at start."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from devices.source import Source
from mqtt.credentials import read_credentials
from mqtt.endpoint import BrokerEndpoint
from mqtt.settings import BrokerSettings
from vitals.errors import PermanentError
from vitals.program import vitalflow_command


class DevicesSettings(BrokerSettings):
    """What a fleet needs to know; each is VITALFLOW_ and the name in capitals."""

    devices_credentials: Path | None = Field(None, description="A file with the passwords of all devices.")


def device_endpoints(settings: DevicesSettings, sources: Sequence[Source]) -> Callable[[str], BrokerEndpoint]:
    """The broker as each device logs in there: by its own password of the file, or all as the user of the URL.

    Raises PermanentError for devices that the file does not know, or knows on another ward.
    """
    broker, path = settings.broker, settings.devices_credentials
    if path is None:
        return lambda _: broker
    known = read_credentials(path)
    missing = {source.device: source.ward for source in sources if source.device not in known}
    if missing:
        raise PermanentError(_enroll_hint(missing, path))
    for source in sources:
        name, ward = source.device, source.ward
        if known[name].ward != ward:
            raise PermanentError(
                f"{path} has {name!r} for ward {known[name].ward!r} and not for {ward!r}; "
                f"vitalflow devices revoke {name}, and enroll it for {ward!r} with --credentials {path}"
            )
    return lambda device: broker.as_user(device, known[device].password)


def _enroll_hint(missing: Mapping[str, str], path: Path) -> str:
    """The sentence about devices that have no password yet, each with its ward, and the line that mends it."""
    first, *others = missing
    names = [name for name, ward in missing.items() if ward == missing[first]]
    more = f" and {len(others)} more, so the broker would refuse them" if others else ", so the broker would refuse it"
    words = ["devices", "enroll", *names, "--ward", missing[first], "--credentials", str(path)]
    return f"{path} has no device {first!r}{more}; let {'them' if others else 'it'} in: {vitalflow_command()} {shlex.join(words)}"
