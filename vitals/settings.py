"""Settings: environment variables with the prefix VITALFLOW_, read once at start into a frozen object.

Each program derives its own class from `Settings`; `.env.example` lists all settings. VITALFLOW_X_FILE names a file
that holds the value of VITALFLOW_X, for secrets.
"""

import logging
import re
import stat
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from vitals.errors import PermanentError
from vitals.topics import Topics
from vitals.urls import redact

PREFIX = "VITALFLOW_"
TESTS = "VITALFLOW_TEST_"  # read by the tests, not by a program
EXAMPLE = Path(__file__).parent.parent / ".env.example"
RENAMED = {
    "DATABASE_READABLE_ON_THE_NETWORK": "DATABASE_ALLOW_INSECURE",
    "IDENTITY": "CA_DIR",
    "IDENTITY_NAMES": "BROKER_HOSTNAMES",
    "INGEST_SHARE": "INGEST_SHARE_GROUP",
    "INGEST_WINDOW": "INGEST_RECEIVE_MAXIMUM",
    "MQTT_WITHOUT_ENCRYPTION_PORT": "MQTT_PLAINTEXT_PORT",
    "STATION_NAMES": "STATION_ALLOWED_HOSTS",
    "STATION_OPEN": "STATION_ALLOW_HTTP",
}
"""Settings before 0.2.0. They have no effect; the warning about an unknown setting names the present one."""
log = logging.getLogger("vitalflow")


def _topic_root(text: str) -> str:
    if not text.isprintable() or any(mark in text for mark in "+#") or text.strip("/") != text or not text:
        raise ValueError("expected a topic without wildcards and without a slash at either end")
    return text


def _path(path: Path) -> Path:
    if "\n" in str(path):
        raise ValueError("expected a file name, not the content of a file: remove _FILE from the name of the setting")
    return path


def _devices(text: str) -> str:
    for device in text.split(",") if text else ():
        levels = device.split("/")
        if len(levels) != 2 or any(
            not level or level.strip() != level or ("+" in level and level != "+") or "#" in level for level in levels
        ):
            raise ValueError("expected WARD/DEVICE with commas between them, + for any ward or any device")
    return text


TopicRoot = Annotated[str, AfterValidator(_topic_root)]
DevicePatterns = Annotated[str, AfterValidator(_devices)]
NamedFile = Annotated[Path, AfterValidator(_path)]


class Settings(BaseSettings):
    """Settings that every program has. Frozen after start."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    log_format: Literal["text", "json"] = Field(
        "text", description="text: a line per event for people; json: an object per event for a log collector."
    )
    topic_root: TopicRoot = Field("vitalflow", description="Every topic begins with this.")
    arrival_time_devices: DevicePatterns = Field(
        "", description="Devices without a clock: WARD/DEVICE with commas, + for any; readings get the time of arrival."
    )

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read and check; raises PermanentError that names each wrong setting, its value and what was expected.

        Values are shown without passwords. Unknown variables are logged with the nearest known name.
        """
        _warn_unknown_vars(environ)
        source = EnvSettingsSource(cls)
        source.env_vars = {name.lower(): _read_var(name, environ) for name in map(variable, cls.model_fields)}
        try:
            # Only this source, not the environment of the process; mypy knows the fields alone.
            return cls(_build_sources=((source,), {}))  # type: ignore[call-arg]
        except ValidationError as error:
            raise PermanentError("; ".join(map(_format_error, error.errors()))) from None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show URLs without their passwords."""
        for name, value in super().__repr_args__():
            yield name, _redact(name or "", value) if isinstance(value, str) else value

    @property
    def topics(self) -> Topics:
        """The topics below `topic_root`, and the devices whose readings get the time of arrival."""
        return Topics(self.topic_root, frozenset(filter(None, self.arrival_time_devices.split(","))))


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + field.upper()


def _read_var(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the value of a variable, or the content of the file that NAME_FILE names; None if neither is set."""
    path = environ.get(name + "_FILE")
    if path is None:
        return environ.get(name)
    if name in environ:
        raise PermanentError(f"{name} and {name}_FILE are both set; keep one")
    try:
        text = Path(path).read_text().strip()
        if _is_world_readable(Path(path)):
            log.warning("%s_FILE names %r, which every local user can read; run: chmod 600 %s", name, path, path)
        return text
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise PermanentError(f"{name}_FILE names {path!r}, which cannot be read: {reason}") from error


def _is_world_readable(path: Path) -> bool:
    """Return whether the modes of a file and of all folders above it let any local user read it.

    False below /run/secrets: only the container itself sees these files, and they are readable to each of its users.
    """
    path = path.resolve()
    if path.is_relative_to("/run/secrets") or not path.stat().st_mode & stat.S_IROTH:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)


def _warn_unknown_vars(environ: Mapping[str, str]) -> None:
    """Warn about unknown VITALFLOW_ variables, usually typos. The known ones are those of .env.example."""
    if not EXAMPLE.exists():
        return  # an installation without it, such as a container
    known = set(re.findall(rf"^#? ?({PREFIX}\w+)=", EXAMPLE.read_text(), re.MULTILINE))
    for name in environ:
        setting = name.removesuffix("_FILE")
        if name.startswith(PREFIX) and setting not in known and not name.startswith(TESTS):
            renamed = RENAMED.get(setting.removeprefix(PREFIX))
            near = [PREFIX + renamed] if renamed else get_close_matches(name, known, 1)
            hint = "".join(f"; did you mean {close}?" for close in near)
            log.warning("%s is not a setting of VitalFlow%s", name, hint)


def _format_error(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:  # from a validator of the whole model, whose text names the settings
        return message
    name = variable("_".join(map(str, error["loc"])))
    if error["type"] == "missing":
        return f"{name} is not set; see .env.example"
    return f"{name} has the value {_redact(name, str(error['input']))!r}: {message[0].lower()}{message[1:]}"


def _redact(name: str, value: str) -> str:
    """Return the value of a setting without what may be a password in it."""
    if name.upper().endswith("_URL") and ":" in value and not {"@", "/"} & set(value):
        return f"{value.partition(':')[0]}:..."  # perhaps USER:PASSWORD without a scheme and a host
    return redact(value)
