"""Replace names of patients, beds and wards, and shift times. Pure but for the key file.

A name becomes a keyed hash (HMAC-SHA-256), so the same patient has the same one in each export with the same key, and
without the key a list of known names cannot be tried. The times of a patient are shifted by a number of whole days that
the key determines, so that intervals and the time of day remain. As in MIMIC (https://mimic.mit.edu), times lie in the
future, where they cannot be mistaken for true ones; unlike there, neither weekday nor season is kept. docs/research.md
states the limits.
"""

import hmac
import os
import secrets
import stat
from datetime import timedelta
from pathlib import Path

from vitals.errors import PermanentError

KEY_BYTES = 32
MIN_SHIFT_DAYS = 36_525  # a century
SHIFT_RANGE_DAYS = 36_525  # times end before 2262, the last year of a timestamp in nanoseconds (pandas)
DEFAULT_KEY = Path("~/.config/vitalflow/deidentification.key")


class Pseudonyms:
    """Keyed names and shifts."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def patient(self, patient_id: str) -> str:
        """Return the name of a patient; ids in upper and lower case are one, as for names of patients."""
        return f"p-{self._hash('patient', patient_id.lower()).hex()[:16]}"

    def device(self, device_id: str) -> str:
        """Return the name of a device."""
        return f"d-{self._hash('device', device_id).hex()[:16]}"

    def ward(self, ward: str) -> str:
        """Return the name of a ward."""
        return f"w-{self._hash('ward', ward).hex()[:16]}"

    def shift(self, device_id: str, patient_id: str | None) -> timedelta:
        """Return the shift of a patient's times, or of the readings of a bed that belong to no known patient."""
        if patient_id is None:
            digest = self._hash("shift of device", device_id)
        else:
            digest = self._hash("shift of patient", patient_id.lower())
        return timedelta(days=MIN_SHIFT_DAYS + int.from_bytes(digest, "big") % SHIFT_RANGE_DAYS)

    def _hash(self, kind: str, name: str) -> bytes:
        return hmac.digest(self._key, f"{kind}\0{name}".encode(), "sha256")


def read_key(path: Path) -> tuple[bytes, bool]:
    """Return the key in a file and whether it was created now; raises PermanentError if others can read it."""
    try:
        try:
            return _existing_key(path), False
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _create_key(path)
            return _existing_key(path), True
    except OSError as error:
        raise PermanentError(f"the key {path}: {error.strerror}") from None


def _existing_key(path: Path) -> bytes:
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise PermanentError(f"other users of this machine can read the key {path}: chmod 600 {path}")
        text = file.read(1024).strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise PermanentError(f"{path} is no key: expected {2 * KEY_BYTES} hexadecimal digits")
    return key


def _create_key(path: Path) -> None:
    """Create the file complete, or leave the one that another process has just created."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{secrets.token_hex(KEY_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(new)
        except FileExistsError:
            return
    finally:
        new.unlink(missing_ok=True)
