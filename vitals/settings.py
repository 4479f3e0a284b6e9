"""Settings: environment variables with the prefix VITALFLOW_, read once at start into a frozen object.

Each service derives its own class from `Settings`; `.env.example` lists them all. A secret, or any other
value, may come from a file instead: VITALFLOW_X_FILE names it.
"""

import logging
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from vitals.broker import Broker as Broker
from vitals.errors import Never
from vitals.topics import Topics
from vitals.urls import fit_to_show, taken_apart
from vitals.urls import without_password as without_password

PREFIX = "VITALFLOW_"
TESTS = "VITALFLOW_TEST_"  # what the tests read; no setting of a service
EXAMPLE = Path(__file__).parent.parent / ".env.example"


def _mqtt_url(text: str) -> str:
    Broker.parse(text)
    return text


def _database_url(text: str) -> str:
    # Here and not above: devices have no use for it, and it takes longer to load than all the rest of them.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    parts = taken_apart(text)
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


def _path(path: Path) -> Path:
    if "\n" in str(path):
        raise ValueError("expected a file's name and not its content: leave out the _FILE behind the setting's name")
    return path


MqttUrl = Annotated[str, AfterValidator(_mqtt_url)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
TopicRoot = Annotated[str, AfterValidator(_topic_root)]
NamedFile = Annotated[Path, AfterValidator(_path)]


def _given(name: str, environ: Mapping[str, str]) -> str | None:
    """The text of one variable, or of the file that NAME_FILE names; None where neither is set."""
    path = environ.get(name + "_FILE")
    if path is None:
        return environ.get(name)
    if name in environ:
        raise Never(f"{name} and {name}_FILE are both set; keep one")
    try:
        text = Path(path).read_text().strip()
        if _everybody_can_read(Path(path)):
            logging.getLogger("vitalflow").warning(
                "%s_FILE names %r, which every user of this machine can read; run: chmod 600 %s", name, path, path
            )
        return text
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise Never(f"{name}_FILE names {path!r}, which cannot be read: {reason}") from error


def _everybody_can_read(path: Path) -> bool:
    """Whether users without a part in it can read a file: its own mode says so, and that of every folder above.

    Not asked of /run/secrets, where a container keeps what only it can see, readable to whichever user it runs as.
    """
    path = path.resolve()
    if path.is_relative_to("/run/secrets"):
        return False
    return bool(path.stat().st_mode & stat.S_IROTH) and all(
        folder.stat().st_mode & stat.S_IXOTH for folder in path.parents
    )


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

    database_readable_on_the_network: bool = Field(
        False, description="Let a database's address be one where the network can read along, or answer in its place."
    )
    mqtt_url: MqttUrl = Field("mqtt://127.0.0.1:1883", description="The broker: mqtts://USER:PASSWORD@HOST:PORT.")
    mqtt_password: str | None = Field(None, description="The password, where it does not stand in the URL.")
    mqtt_ca: NamedFile | None = Field(None, description="The certificate of the CA that made the broker's (ca.crt).")
    mqtt_certificate: NamedFile | None = Field(None, description="Our own certificate, instead of a password.")
    mqtt_key: NamedFile | None = Field(None, description="The private key of that certificate.")
    topic_root: TopicRoot = Field("vitalflow", description="Every topic begins with this.")

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read and check; raises Never that names each wrong setting, its value and what was expected.

        The value of a URL is shown without its password.
        """
        _warn_of_strangers(environ)
        given: dict[str, Any] = {name: _given(PREFIX + name.upper(), environ) for name in cls.model_fields}
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise Never("; ".join(map(_complaint, error.errors()))) from None

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        broker = Broker.parse(self.mqtt_url)
        if (self.mqtt_certificate is None) != (self.mqtt_key is None):
            raise ValueError("VITALFLOW_MQTT_CERTIFICATE and VITALFLOW_MQTT_KEY go together; set both or none")
        if self.mqtt_certificate is not None and not broker.tls:
            raise ValueError("VITALFLOW_MQTT_CERTIFICATE needs a VITALFLOW_MQTT_URL that begins with mqtts://")
        if self.mqtt_password is not None and broker.username is None:
            raise ValueError("VITALFLOW_MQTT_PASSWORD needs a user in VITALFLOW_MQTT_URL: mqtts://USER@HOST:PORT")
        return self

    @model_validator(mode="after")
    def _databases_are_safe_to_reach(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if not isinstance(value, str) or not value.startswith("postgres"):
                continue
            from vitals.database import danger_on_the_way  # which loads psycopg

            if not self.database_readable_on_the_network and (danger := danger_on_the_way(value)):
                raise ValueError(
                    f"{PREFIX}{name.upper()} would connect to {without_password(value)} {danger}; add "
                    "?sslmode=verify-full&sslrootcert=/path/to/ca.crt to it, or set "
                    f"{PREFIX}DATABASE_READABLE_ON_THE_NETWORK=true where you mean that"
                )
        return self

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """For a log line or a debugger: no password, whatever prints us."""
        for name, value in super().__repr_args__():
            yield name, _shown(name or "", value) if isinstance(value, str) else value

    @property
    def broker(self) -> Broker:
        """Where the broker is and who we are there."""
        broker = Broker.parse(self.mqtt_url)
        return replace(
            broker,
            password=broker.password if self.mqtt_password is None else self.mqtt_password,
            ca=self.mqtt_ca if broker.tls else None,
            certificate=self.mqtt_certificate,
            key=self.mqtt_key,
        )

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
    return f"{name} has the value {_shown(name, str(error['input']))!r}: {what[0].lower()}{what[1:]}"


def _shown(name: str, value: str) -> str:
    """The value of a setting without what may be a password in it."""
    if "PASSWORD" in name.upper():
        return "..."
    if name.upper().endswith("_URL") and ":" in value and not {"@", "/"} & set(value):
        return f"{value.partition(':')[0]}:..."  # USER:PASSWORD, perhaps, without what belongs around it
    return fit_to_show(value)
