"""A file of passwords for many devices of one process: what `devices simulate` and `devices replay` connect with.

JSON: the device's name -> its ward and password. For its owner only, because whoever reads it can be every one of them.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from mqtt.tls import require_private
from vitals.errors import PermanentError
from vitals.files import write_atomic


class Credential(Struct, frozen=True):
    """How one device comes in, and where it is."""

    ward: str
    password: str


_decode = msgspec.json.Decoder(dict[str, Credential]).decode


def read_credentials(path: Path) -> dict[str, Credential]:
    """Read the file; raises PermanentError where it cannot be read, others can read it, or it is something else."""
    try:
        content = path.read_bytes()
        require_private(path)
        return _decode(content)
    except OSError as error:
        raise PermanentError(f"the credentials file {path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise PermanentError(f"{path} is no credentials file: {str(error).replace('`', '')}") from None


def write_credentials(path: Path, credentials: Mapping[str, Credential]) -> None:
    """Write the file in one step, for its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(credentials)) + b"\n")
