"""Settings: environment variables with the prefix VITALFLOW_, read once at start into a frozen object.

Each service derives its own class from `Settings`; `.env.example` lists them all. A secret, or any other
value, may come from a file instead: VITALFLOW_X_FILE names it.
"""

import logging
import re
import stat
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vitals.errors import PermanentError
from vitals.topics import Topics
from vitals.urls import redact

PREFIX = "VITALFLOW_"
TESTS = "VITALFLOW_TEST_"  # what the tests read; no setting of a service
EXAMPLE = Path(__file__).parent.parent / ".env.example"


def _topic_root(text: str) -> str:
    if not text.isprintable() or any(mark in text for mark in "+#") or text.strip("/") != text or not text:
        raise ValueError("expected a topic without wildcards and without a slash at either end")
    return text


def _path(path: Path) -> Path:
    if "\n" in str(path):
        raise ValueError("expected a file's name and not its content: leave out the _FILE behind the setting's name")
    return path


TopicRoot = Annotated[str, AfterValidator(_topic_root)]
NamedFile = Annotated[Path, AfterValidator(_path)]


def _read_var(name: str, environ: Mapping[str, str]) -> str | None:
    """The text of one variable, or of the file that NAME_FILE names; None where neither is set."""
    path = environ.get(name + "_FILE")
    if path is None:
        return environ.get(name)
    if name in environ:
        raise PermanentError(f"{name} and {name}_FILE are both set; keep one")
    try:
        text = Path(path).read_text().strip()
        if _everybody_can_read(Path(path)):
            logging.getLogger("vitalflow").warning(
                "%s_FILE names %r, which every user of this machine can read; run: chmod 600 %s", name, path, path
            )
        return text
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise PermanentError(f"{name}_FILE names {path!r}, which cannot be read: {reason}") from error


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


def _warn_unknown_vars(environ: Mapping[str, str]) -> None:
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

    topic_root: TopicRoot = Field("vitalflow", description="Every topic begins with this.")

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read and check; raises PermanentError that names each wrong setting, its value and what was expected.

        The value of a URL is shown without its password.
        """
        _warn_unknown_vars(environ)
        given: dict[str, Any] = {name: _read_var(PREFIX + name.upper(), environ) for name in cls.model_fields}
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise PermanentError("; ".join(map(_format_error, error.errors()))) from None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """For a log line or a debugger: no password, whatever prints us."""
        for name, value in super().__repr_args__():
            yield name, _shown(name or "", value) if isinstance(value, str) else value

    @property
    def topics(self) -> Topics:
        """The topics below `topic_root`."""
        return Topics(self.topic_root)


def _format_error(error: Any) -> str:
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
    return redact(value)
