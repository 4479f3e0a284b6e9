"""What is wrong with the files of a CA's folder: each mistake is one sentence that says what mends it. Reads only.

The same files are looked at when they are used; here all of them at once, by whoever wonders.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from identity import ca
from identity.ca import Pair
from vitals.errors import Never
from vitals.tls import RENEW, refuse_readable

SECRET = (".key", ".json")


def mistakes(folder: Path, names: Sequence[str], now: datetime) -> Iterator[str]:
    """Every mistake. `names`: what the broker's certificate should be for."""
    if not (folder / "ca.crt").exists():
        yield f"{folder / 'ca.crt'} is not there; {RENEW}"
        return
    for path in sorted(folder.iterdir()):
        if path.suffix in SECRET:
            try:
                refuse_readable(path)
            except Never as readable:
                yield str(readable)
    for path in sorted(folder.glob("*.crt")):
        yield from _of_pair(path, path.with_suffix(".key"), now)
    broker, authority = folder / "broker.crt", folder / "ca.crt"
    if broker.exists():
        try:
            due = ca.is_due(broker.read_bytes(), names, Pair(authority.read_bytes(), b""), now)
        except (ValueError, x509.ExtensionNotFound):
            return  # said above, as no certificate; or it is no server's
        if due is not None:
            yield f"{broker} should be made anew: {due}; python -m identity init"


def _of_pair(certificate: Path, key: Path, now: datetime) -> Iterator[str]:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except ValueError:
        what = "a private key" if b"PRIVATE KEY" in certificate.read_bytes() else "no certificate"
        yield f"{certificate} is {what}; expected a certificate: are the files in the wrong order? Delete both; {RENEW}"
        return
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    if now < begins:
        yield (
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, and {certificate} begins {begins:%Y-%m-%d %H:%M} "
            "UTC: timedatectl set-ntp true, if the clock is wrong"
        )
    elif now > ends:
        yield f"{certificate} has expired on {ends:%Y-%m-%d %H:%M} UTC; {RENEW}"
    if not key.exists():
        yield f"{key} is not there, the private key of {certificate.name}; {RENEW}"
        return
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except ValueError:
        yield f"{key} is no private key: are the files in the wrong order? Delete both; {RENEW}"
        return
    if private.public_key() != found.public_key():
        yield f"{key} does not belong to {certificate}; delete both; {RENEW}"
