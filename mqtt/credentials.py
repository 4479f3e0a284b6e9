"""The credentials file of `devices simulate` and `devices replay`: the passwords of many devices of one process.

JSON: device name -> ward and password. Mode 0600, because it lets its reader act as any of the devices.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from mqtt.tls import require_private
from vitals.errors import PermanentError
from vitals.files import write_atomic


class Credential(Struct, frozen=True):
    """Ward and password of a device."""

    ward: str
    password: str


_decode = msgspec.json.Decoder(dict[str, Credential]).decode


def read_credentials(path: Path) -> dict[str, Credential]:
    """Read the file; raises PermanentError if it is unreadable, readable to others, or malformed."""
    try:
        content = path.read_bytes()
        require_private(path)
        return _decode(content)
    except OSError as error:
        raise PermanentError(f"the credentials file {path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise PermanentError(f"{path} is not a credentials file: {str(error).replace('`', '')}") from None


def write_credentials(path: Path, credentials: Mapping[str, Credential]) -> None:
    """Replace the file atomically, with mode 0600."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(credentials)) + b"\n")
