"""The settings of the bedside monitors, read once at start."""

from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import Field

from devices.source import Source
from vitals.broker import Broker
from vitals.credentials import read_credentials
from vitals.errors import Never
from vitals.settings import Settings


class DevicesSettings(Settings):
    """What a fleet needs to know; each is VITALFLOW_ and the name in capitals."""

    devices_credentials: Path | None = Field(None, description="A file with the passwords of all devices.")


def logins(settings: DevicesSettings, sources: Iterable[Source]) -> Callable[[str], Broker]:
    """The broker as each device logs in there: by its own password of the file, or all as the user of the URL.

    Raises Never for a device that the file does not know, or knows on another ward.
    """
    broker, path = settings.broker, settings.devices_credentials
    if path is None:
        return lambda _: broker
    known = read_credentials(path)
    for source in sources:
        name, ward = source.device, source.ward
        if name not in known:
            raise Never(
                f"{path} has no device {name!r}, so the broker would refuse it; let it in: "
                f"python -m devices enroll {name} --ward {ward} --credentials {path}"
            )
        if known[name].ward != ward:
            raise Never(
                f"{name!r} is enrolled for ward {known[name].ward!r} and not for {ward!r}; "
                f"python -m devices revoke {name}, and enroll it for {ward!r}"
            )
    return lambda device: broker.as_user(device, known[device].password)
