"""The members of a backup: a tar archive, written and read in one pass inside a sealed file.

A member of a tar archive states its size first, so content of unknown size is stored in numbered parts.
"""

import tarfile
import time
from collections.abc import Generator, Iterable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from stack.sealed_file import unseal
from vitals.errors import PermanentError

FORMAT = 1
MANIFEST = "manifest.json"
MAX_PART = 16 << 20  # bytes; no member is larger

Member = tuple[str, bytes]


class Manifest(Struct, frozen=True):
    """The first member: which versions wrote the backup, so that a restore can refuse before it changes anything.

    postgresql   its major version
    license      TimescaleDB's: `timescale` for the Community edition, `apache`
    migrations   the names of the applied ones
    """

    format: int
    vitalflow: str
    created: datetime
    postgresql: int
    timescaledb: str
    license: str
    migrations: list[str]


def parts(folder: str, chunks: Iterable[bytes]) -> Iterator[Member]:
    """Yield each chunk as a member in `folder`."""
    for number, chunk in enumerate(chunks):
        yield f"{folder}/{number:08}", chunk


def pack(members: Iterable[Member]) -> Generator[bytes, None, None]:
    """Yield the bytes of a tar archive."""
    for name, content in members:
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = len(content), 0o600, int(time.time())
        yield header.tobuf(tarfile.PAX_FORMAT)
        yield content
        yield bytes(-len(content) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def members(file: Path, passphrase: bytes) -> Generator[Member, None, None]:
    """Yield name and content of each member; raises PermanentError for a file that is not an intact backup."""
    foreign = PermanentError(f"{file} is not a backup of VitalFlow")
    try:
        with (
            file.open("rb") as raw,
            unseal(raw, passphrase, str(file)) as content,
            tarfile.open(fileobj=content, mode="r|") as archive,
        ):
            for member in archive:
                if not member.isfile() or member.size > MAX_PART or not _is_inside(member.name):
                    raise foreign
                taken = archive.extractfile(member)
                assert taken is not None
                yield member.name, taken.read()
    except OSError as error:
        raise PermanentError(f"{file} cannot be read: {error.strerror}") from None
    except tarfile.TarError:
        raise foreign from None


def read_manifest(member: Member, file: Path) -> Manifest:
    """Return the manifest; raises PermanentError if the member is another one or of a newer format."""
    try:
        if member[0] != MANIFEST:
            raise msgspec.DecodeError
        manifest = msgspec.json.decode(member[1], type=Manifest)
    except msgspec.DecodeError:
        raise PermanentError(f"{file} is not a backup of VitalFlow") from None
    if manifest.format != FORMAT:
        raise PermanentError(f"{file} was written by VitalFlow {manifest.vitalflow} in the format {manifest.format}")
    return manifest


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")
