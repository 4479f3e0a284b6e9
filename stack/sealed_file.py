"""A file that a passphrase opens, written and read in one pass: memory does not grow with its content.

The first line holds an age identity, encrypted with a key that scrypt derives from the passphrase. The rest is
encrypted to this identity in the format of age (age-encryption.org/v1), which detects every change and a missing end.
age's own passphrases are not used: pyrage holds such a content in memory, and chooses the cost of scrypt by the speed
of the machine at that moment: 1 GiB and 12 s here, and a machine under load may refuse a file that it wrote itself.
"""

import base64
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import IO

import pyrage
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from vitals.errors import PermanentError

SCRYPT_N = 1 << 17  # 128 MiB and about half a second
MAX_HEADER = 512  # bytes; it has about 250
_HEADER = re.compile(rb"vitalflow-backup ([0-9]+) ([\w=-]+) ([\w=-]+)\n")


def seal(chunks: Iterator[bytes], file: IO[bytes], passphrase: bytes) -> None:
    """Write the content of `chunks` to `file`, encrypted. Errors of both are raised unchanged."""
    identity, salt = pyrage.x25519.Identity.generate(), os.urandom(16)
    token = Fernet(_derive_key(passphrase, salt)).encrypt(str(identity).encode())
    file.write(b"vitalflow-backup 1 %s %s\n" % (base64.urlsafe_b64encode(salt), token))
    source, target = _Source(chunks), _Target(file)
    try:
        pyrage.encrypt_io(source, target, [identity.to_public()])
    except pyrage.EncryptError:
        raise source.error or target.error or RuntimeError("encryption failed") from None


@contextmanager
def unseal(file: io.BufferedReader, passphrase: bytes, name: str) -> Iterator[IO[bytes]]:
    """Yield the content of a sealed file. Raises PermanentError, which calls it `name`, if it is not intact.

    Damage is reported at the end of the block at the latest: a caller that changed something before must undo it.
    """
    identity = _read_identity(file.readline(MAX_HEADER), passphrase, name)
    pipe, into = os.pipe()
    failed: list[Exception] = []

    def decrypt() -> None:
        target = _Target(os.fdopen(into, "wb"))
        try:
            with target.file:
                pyrage.decrypt_io(file, target, [identity])
        except (pyrage.DecryptError, OSError) as error:
            if target.error is None and not isinstance(error, BrokenPipeError):  # the caller has stopped reading
                failed.append(error)

    thread, problem = Thread(target=decrypt), None
    thread.start()
    try:
        with os.fdopen(pipe, "rb") as content:
            yield content
            while content.read(1 << 20):
                pass
    except Exception as error:
        problem = error
    finally:
        thread.join()
    if failed:
        raise PermanentError(f"{name} is damaged or truncated")
    if problem is not None:
        raise problem


def _read_identity(header: bytes, passphrase: bytes, name: str) -> pyrage.x25519.Identity:
    found = _HEADER.fullmatch(header)
    if found is None:
        raise PermanentError(f"{name} is not a backup of VitalFlow, or its first line is damaged")
    if found[1] != b"1":
        raise PermanentError(f"{name} was written by a newer version of VitalFlow, in format {found[1].decode()}")
    try:
        salt = base64.urlsafe_b64decode(found[2])
        return pyrage.x25519.Identity.from_str(Fernet(_derive_key(passphrase, salt)).decrypt(found[3]).decode())
    except (ValueError, InvalidToken):
        raise PermanentError(f"the passphrase does not open {name}, or its first line is damaged") from None


def _derive_key(passphrase: bytes, salt: bytes) -> bytes:
    return base64.urlsafe_b64encode(Scrypt(salt=salt, length=32, n=SCRYPT_N, r=8, p=1).derive(passphrase))


class _Source(io.BufferedIOBase):
    """Reads from an iterator, and keeps its error, of which pyrage passes on only the text."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.error: BaseException | None = None
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int | None = -1) -> bytes:
        """Return at most `size` bytes; none at the end."""
        try:
            while not self._rest and (chunk := next(self._chunks, None)) is not None:
                self._rest = memoryview(chunk)
        except BaseException as error:
            self.error = error
            raise
        taken = self._rest[:size]
        self._rest = self._rest[len(taken) :]
        return bytes(taken)


class _Target(io.BufferedIOBase):
    """Writes to a file, and keeps its error."""

    def __init__(self, file: IO[bytes]) -> None:
        self.error: OSError | None = None
        self.file = file

    def write(self, content: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        """Write all of it."""
        try:
            return self.file.write(content)
        except OSError as error:
            self.error = error
            raise
