"""Passwords that users choose: which are refused, and the secret that the broker receives in place of one.

Mosquitto 2.0 hashes each password that it receives while it runs with 101 iterations of PBKDF2. That is enough for the
192 random bits that `identity` generates and far too little for a text that a person remembers. So the broker receives
the result of scrypt over the chosen password and a random salt, and only a holder of that password can compute it.
"""

import base64
import gzip
import hashlib
import secrets
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from vitals.errors import PermanentError
from vitals.payload import DECODE_ERRORS

MIN_LENGTH, MAX_LENGTH = 12, 1000  # characters
MIN_DISTINCT = 5  # different characters
# A choice of OWASP's Password Storage Cheat Sheet: 16 MiB and 0.2 s of one processor for each attempt.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 5
SCHEME = "scrypt1"  # names these parameters; other ones need another name
COMMON = Path(__file__).parent / "common_passwords" / "passwords.txt.gz"

Salt = Annotated[str, Meta(pattern=rf"^{SCHEME}\.[A-Za-z0-9_-]{{22}}$")]
"""The scheme and 128 random bits."""


class PasswordRejected(PermanentError):
    """The chosen password is refused; the message says why."""


class ChosenPassword(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a user's password, without the password: the salt, and the secret for the broker."""

    salt: Salt
    secret: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]


_decode = msgspec.json.Decoder(ChosenPassword).decode
_decode_salt = msgspec.json.Decoder(Salt).decode


def require_acceptable(password: str, name: str) -> None:
    """Raise PasswordRejected for a password that is too short, common or easy to guess for the user `name`."""
    if len(password) < MIN_LENGTH:
        raise PasswordRejected(f"the new password has {len(password)} characters; use {MIN_LENGTH} or more")
    if len(password) > MAX_LENGTH or "\0" in password:
        raise PasswordRejected(f"use at most {MAX_LENGTH} characters, without NUL")
    text = password.casefold()
    if len(name) >= 3 and name.casefold() in text:
        raise PasswordRejected("the new password contains your name; choose one that others cannot guess")
    steps = [abs(ord(after) - ord(before)) <= 1 for before, after in pairwise(text)]
    if len(set(text)) < MIN_DISTINCT or all(steps) or _is_common(text):
        raise PasswordRejected(
            "the new password is a common one or easy to guess; three or four random words are better"
        )


def new_salt() -> str:
    """Return a random salt."""
    return f"{SCHEME}.{secrets.token_urlsafe(16)}"


def derive_secret(password: str, salt: str) -> str:
    """Return the secret for the broker. Takes about 0.2 s of processor time, without the interpreter's lock."""
    key = hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt.encode(),
        n=SCRYPT_N,
        r=SCRYPT_R,
        p=SCRYPT_P,
        maxmem=64 * 2**20,
        dklen=32,
    )
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def decode_chosen(payload: bytes) -> ChosenPassword:
    """Decode a change of a password; raises ValueError."""
    try:
        return _decode(payload)
    except DECODE_ERRORS:
        raise ValueError("not a salt and a secret") from None


def decode_salt(payload: bytes) -> str:
    """Decode a published salt; raises ValueError."""
    try:
        return _decode_salt(payload)
    except DECODE_ERRORS:
        raise ValueError("not a salt") from None


def _is_common(text: str) -> bool:
    """Return whether a common password is this text, is repeated in it, or is in it with digits or marks around."""
    common, core = _common_passwords(), text.strip("".join({mark for mark in text if not mark.isalpha()}))
    size = next(size for size in range(1, len(text) + 1) if (text[:size] * len(text))[: len(text)] == text)
    return bool({text, core, text[:size]} & common) or not core or size <= len(text) // 3


@cache
def _common_passwords() -> frozenset[str]:
    """Return about 20,000 common passwords: the list of Django 5.2 (BSD, `common_passwords/LICENSE`)."""
    return frozenset(gzip.decompress(COMMON.read_bytes()).decode().split("\n")) | {"vitalflow"} - {""}
