"""Settings: environment variables with the prefix VITALFLOW_, read once at start into a frozen object.

Each service derives its own class from `Settings`; `.env.example` lists them all. A secret, or any other
value, may come from a file instead: VITALFLOW_X_FILE names it.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vitals.errors import Never
from vitals.topics import Topics

PREFIX = "VITALFLOW_"
TESTS = "VITALFLOW_TEST_"  # what the tests read; no setting of a service
EXAMPLE = Path(__file__).parent.parent / ".env.example"
_BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_NO_PORT = re.compile(r":(?!//)(?!\d+(?:/|$)).*")


def _mqtt_url(text: str) -> str:
    Broker.parse(text)
    return text


def _taken_apart(url: str) -> SplitResult:
    """`urlsplit` for an address that may hold a password; raises ValueError that tells nothing of it.

    Two readers that understand such a password differently (Python's and PostgreSQL's) would each take a piece of it
    for a host or a port, and name it when they complain.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("this is no URL") from None
    torn = url.count("@") > 1 or ("@" in url and "@" not in parts.netloc)
    if parts.netloc and (torn or _BAD_PERCENT.search(parts.netloc)):
        raise ValueError("in a URL a password has its % written as %25, @ as %40, / as %2F, # as %23 and ? as %3F")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(str(error).partition(" as ")[0]) from None  # behind it stands what was taken for a port
    return parts


def _database_url(text: str) -> str:
    # Here and not above: devices have no use for it, and it takes longer to load than all the rest of them.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    parts = _taken_apart(text)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname:
        raise ValueError("expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    try:
        conninfo_to_dict(text)
    except ProgrammingError as error:
        raise ValueError(" ".join(str(error).split())) from None
    return text


def _topic_root(text: str) -> str:
    if not text.isprintable() or any(mark in text for mark in "+#") or text.strip("/") != text or not text:
        raise ValueError("expected a topic without wildcards and without a slash at either end")
    return text


MqttUrl = Annotated[str, AfterValidator(_mqtt_url)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
TopicRoot = Annotated[str, AfterValidator(_topic_root)]


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and who we are there, taken from a URL like mqtt://user:password@host:1883."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take the URL apart; raises ValueError that says what was expected."""
        expected = "expected mqtt://HOST:PORT or mqtt://USER:PASSWORD@HOST:PORT"
        parts = _taken_apart(url)
        if parts.scheme != "mqtt" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(expected)
        user = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        return cls(parts.hostname, parts.port or 1883, user, password)

    def __str__(self) -> str:
        """For people and logs: no password."""
        who = f"{self.username}@" if self.username else ""
        return f"mqtt://{who}{self.host}:{self.port}"


def without_password(url: str) -> str:
    """A database URL fit for a log line."""
    parts = urlsplit(url)
    who = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{who}{parts.hostname}{port}{parts.path}"


def _given(name: str, environ: Mapping[str, str]) -> str | None:
    """The text of one variable, or of the file that NAME_FILE names; None where neither is set."""
    path = environ.get(name + "_FILE")
    if path is None:
        return environ.get(name)
    if name in environ:
        raise Never(f"{name} and {name}_FILE are both set; keep one")
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise Never(f"{name}_FILE names {path!r}, which cannot be read: {reason}") from error


def _warn_of_strangers(environ: Mapping[str, str]) -> None:
    """Say which VITALFLOW_ variables nobody reads: a slip of the pen, most likely. `.env.example` knows all names."""
    if not EXAMPLE.exists():
        return  # an installation without it, such as a container
    known = set(re.findall(rf"^#? ?({PREFIX}\w+)=", EXAMPLE.read_text(), re.MULTILINE))
    for name in environ:
        if name.startswith(PREFIX) and name.removesuffix("_FILE") not in known and not name.startswith(TESTS):
            close = get_close_matches(name, known, 1)
            meant = f"; did you mean {close[0]}?" if close else ""
            logging.getLogger("vitalflow").warning("%s is not a setting of VitalFlow%s", name, meant)


class Settings(BaseModel):
    """What every service needs to know. Frozen: a setting that changes after start would be a lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mqtt_url: MqttUrl = Field("mqtt://127.0.0.1:1883", description="The broker: mqtt://USER:PASSWORD@HOST:PORT.")
    topic_root: TopicRoot = Field("vitalflow", description="Every topic begins with this.")

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read and check; raises Never that names each wrong setting, its value and what was expected.

        The value of a URL is shown without its password.
        """
        _warn_of_strangers(environ)
        given = {name: _given(PREFIX + name.upper(), environ) for name in cls.model_fields}
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise Never("; ".join(map(_complaint, error.errors()))) from None

    @property
    def broker(self) -> Broker:
        """`mqtt_url`, taken apart."""
        return Broker.parse(self.mqtt_url)

    @property
    def topics(self) -> Topics:
        """The topics below `topic_root`."""
        return Topics(self.topic_root)


def _complaint(error: Any) -> str:
    name = PREFIX + "_".join(str(part) for part in error["loc"]).upper()
    if not error["loc"]:  # two settings that do not go together: the text names them
        return str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{name} is not set; see .env.example"
    what = str(error["msg"]).removeprefix("Value error, ")
    return f"{name} has the value {_fit_to_show(str(error['input']))!r}: {what[0].lower()}{what[1:]}"


def _fit_to_show(value: str) -> str:
    """A value without what may be a password: in a URL before the '@', behind a '?', or where a port should be."""
    if "@" in value:
        return f"...@{value.rpartition('@')[2].partition('?')[0]}"
    if "://" in value:
        return _NO_PORT.sub(":...", value.partition("?")[0])
    return value
