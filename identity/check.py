"""What is wrong with the files of a CA's folder: each mistake is one sentence that says what mends it. Reads only.

The same files are looked at when they are used; here all of them at once, by whoever wonders.
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
    """Every mistake. `names`: what the broker's certificate should be for."""
    certificate, key = folder / "ca.crt", folder / "ca.key"
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        yield f"{folder} cannot be read: {error.strerror}; VITALFLOW_CA_DIR names the CA's folder; {RENEW_COMMAND}"
        return
    if certificate not in files and key not in files:
        yield f"{certificate} is not there; {RENEW_COMMAND}"
        return
    for path in files:
        if path.suffix in SECRET:
            try:
                require_private(path)
            except PermanentError as readable:
                yield str(readable)
    own = KeyPair(*(path.read_bytes() if path in files else b"" for path in (certificate, key)))
    if not ca.is_key_pair(own):
        try:
            CertificateAuthority(folder).load_or_create(now)
        except PermanentError as torn:
            yield str(torn)
        return  # without a CA nothing else can be judged
    yield from _of_time(folder / "ca.crt", own.certificate, new_ca_command(folder), now)
    for certificate in sorted(folder.glob("*.crt")):
        if certificate.name != "ca.crt":
            yield from _of_server(certificate, names if certificate.name == "broker.crt" else [], own, now)


def _of_server(certificate: Path, names: Sequence[str], own: KeyPair, now: datetime) -> Iterator[str]:
    key = certificate.with_suffix(".key")
    if not key.exists():
        yield f"{key} is not there, the private key of {certificate.name}; {RENEW_COMMAND}"
        return
    pair = KeyPair(certificate.read_bytes(), key.read_bytes())
    for path, (mark, what) in zip((certificate, key), MARKS.items(), strict=True):
        if mark not in (content := path.read_bytes()):
            instead = next((name for sign, name in MARKS.items() if sign in content), "no PEM file")
            yield f"{path} is {instead}; expected {what}: are the files in the wrong order? {RENEW_COMMAND}"
            return
    if not ca.is_key_pair(pair):
        yield f"{key} does not belong to {certificate}; {RENEW_COMMAND}"
        return
    wrong_time = list(_of_time(certificate, pair.certificate, RENEW_COMMAND, now))
    yield from wrong_time
    try:
        due = ca.renewal_reason(pair, names, own, now)
    except x509.ExtensionNotFound:
        due = "it is no server's"
    if due is not None and not wrong_time:
        yield f"{certificate} should be made anew: {due}; {RENEW_COMMAND}"


def _of_time(path: Path, certificate: bytes, mends: str, now: datetime) -> Iterator[str]:
    found = x509.load_pem_x509_certificate(certificate)
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    if now < begins:
        yield (
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, and {path} begins {begins:%Y-%m-%d %H:%M} "
            "UTC: timedatectl set-ntp true, if the clock is wrong"
        )
    elif now > ends:
        yield (
            f"{path} has expired on {ends:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M} UTC here; "
            f"if the clock is wrong: timedatectl set-ntp true; else {mends}"
        )
