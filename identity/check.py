"""Check all files of a CA's folder, for `vitalflow identity check`. Reads only.

Each problem is one sentence with its fix. The same files are also checked when they are used.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509

from identity import ca
from identity.authority import CertificateAuthority
from identity.ca import KeyPair
from mqtt.tls import RENEW_COMMAND, new_ca_command, require_private
from vitals.errors import PermanentError

SECRET = (".key", ".json")
MARKS = {b"BEGIN CERTIFICATE": "a certificate", b"PRIVATE KEY": "a private key"}


def find_problems(folder: Path, names: Sequence[str], now: datetime) -> Iterator[str]:
    """Yield every problem. `names`: the host names that the broker's certificate must have."""
    certificate, key = folder / "ca.crt", folder / "ca.key"
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        yield f"{folder} cannot be read: {error.strerror}; VITALFLOW_CA_DIR names the CA's folder; {RENEW_COMMAND}"
        return
    if certificate not in files and key not in files:
        yield f"{certificate} is missing; {RENEW_COMMAND}"
        return
    for path in files:
        if path.suffix in SECRET:
            try:
                require_private(path)
            except PermanentError as error:
                yield str(error)
    authority = KeyPair(*(path.read_bytes() if path in files else b"" for path in (certificate, key)))
    if not ca.is_key_pair(authority):
        try:
            CertificateAuthority(folder).load_or_create(now)
        except PermanentError as error:
            yield str(error)
        return  # without a CA nothing else can be checked
    yield from _check_validity(folder / "ca.crt", authority.certificate, new_ca_command(folder), now)
    for certificate in sorted(folder.glob("*.crt")):
        if certificate.name != "ca.crt":
            yield from _check_server(certificate, names if certificate.name == "broker.crt" else [], authority, now)


def list_certificates(folder: Path, now: datetime) -> Iterator[str]:
    """Yield a line for every certificate in the folder: its file, until when it is valid, and the days left."""
    for path in sorted(folder.glob("*.crt")):
        try:
            ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        except (OSError, ValueError):
            continue  # find_problems names it
        yield f"{path.name:<14} valid until {ends:%Y-%m-%d %H:%M} UTC, {(ends - now).days} days left"


def _check_server(certificate: Path, names: Sequence[str], authority: KeyPair, now: datetime) -> Iterator[str]:
    key = certificate.with_suffix(".key")
    if not key.exists():
        yield f"{key}, the private key of {certificate.name}, is missing; {RENEW_COMMAND}"
        return
    pair = KeyPair(certificate.read_bytes(), key.read_bytes())
    for path, (mark, what) in zip((certificate, key), MARKS.items(), strict=True):
        if mark not in (content := path.read_bytes()):
            instead = next((name for sign, name in MARKS.items() if sign in content), "not a PEM file")
            yield f"{path} is {instead}; expected {what}: are the two files swapped? {RENEW_COMMAND}"
            return
    if not ca.is_key_pair(pair):
        yield f"{key} does not belong to {certificate}; {RENEW_COMMAND}"
        return
    wrong_time = list(_check_validity(certificate, pair.certificate, RENEW_COMMAND, now))
    yield from wrong_time
    try:
        due = ca.renewal_reason(pair, names, authority, now)
    except x509.ExtensionNotFound:
        due = "it is not a server certificate"
    if due is not None and not wrong_time:
        yield f"{certificate} is due for renewal: {due}; {RENEW_COMMAND}"


def _check_validity(path: Path, certificate: bytes, fix: str, now: datetime) -> Iterator[str]:
    found = x509.load_pem_x509_certificate(certificate)
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    if now < begins:
        yield (
            f"{path} is valid from {begins:%Y-%m-%d %H:%M} UTC, and this machine's clock says "
            f"{now:%Y-%m-%d %H:%M} UTC; if the clock is wrong: timedatectl set-ntp true"
        )
    elif now > ends:
        yield (
            f"{path} has expired on {ends:%Y-%m-%d %H:%M} UTC, and this machine's clock says {now:%Y-%m-%d %H:%M} UTC; "
            f"if the clock is wrong: timedatectl set-ntp true; else {fix}"
        )
