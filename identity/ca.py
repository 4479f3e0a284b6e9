"""Certificates of a small local CA and its revocation list (RFC 5280). Pure: the caller passes the time.

Keys use the curve P-256, which every TLS library of a monitor supports and which costs less than a millisecond per
handshake.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vitals.errors import PermanentError

CA_DAYS = 3650
SERVER_DAYS = 90
DEVICE_DAYS = 730  # renewing it needs a visit to the monitor
CLOCK_SKEW = timedelta(hours=1)  # certificates are backdated: a monitor's clock may be slow
RENEW_PART = 3  # a server's certificate is renewed in the last third of its validity


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def new_ca(name: str, now: datetime) -> KeyPair:
    """Return a CA that may sign certificates of servers and clients, and no further CAs."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        _builder(subject, subject, key, now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _to_pem(made, key)


def sign_server(ca: KeyPair, names: Sequence[str], now: datetime, days: int = SERVER_DAYS) -> KeyPair:
    """Return a server's key pair for these host names and IP addresses; the first one is its common name."""
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
    builder = _leaf(ca, names[0], key, now, days, ExtendedKeyUsageOID.SERVER_AUTH)
    return _to_pem(builder.add_extension(alternatives, critical=False).sign(_key(ca), hashes.SHA256()), key)


def sign_client(ca: KeyPair, name: str, now: datetime, days: int = DEVICE_DAYS) -> KeyPair:
    """Return a device's key pair; its common name is its user name at the broker."""
    if len(name) > 64:
        raise PermanentError(
            f"{name[:40]}... has {len(name)} characters; the common name of a certificate has at most 64"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _leaf(ca, name, key, now, days, ExtendedKeyUsageOID.CLIENT_AUTH)
    return _to_pem(builder.sign(_key(ca), hashes.SHA256()), key)


def revocation_list(ca: KeyPair, serials: Iterable[int], now: datetime) -> bytes:
    """Return the revocation list, PEM.

    It is valid as long as the CA: OpenSSL rejects every client once the list has expired, which must not stop a ward.
    """
    authority = x509.load_pem_x509_certificate(ca.certificate)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now - CLOCK_SKEW)
        .next_update(authority.not_valid_after_utc)
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - CLOCK_SKEW).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(_key(ca), hashes.SHA256()).public_bytes(Encoding.PEM)


def serial_number(certificate: bytes) -> int:
    """Return the serial number, by which a certificate is revoked."""
    return x509.load_pem_x509_certificate(certificate).serial_number


def is_key_pair(pair: KeyPair) -> bool:
    """Return whether these are a certificate and its private key."""
    try:
        private = load_pem_private_key(pair.key, password=None)
        return private.public_key() == x509.load_pem_x509_certificate(pair.certificate).public_key()
    except (ValueError, TypeError):  # TypeError: it is encrypted with a passphrase
        return False


def renewal_reason(pair: KeyPair, names: Sequence[str], ca: KeyPair, now: datetime) -> str | None:
    """Return why a server's certificate is due for renewal; None if it is not. Raises ValueError for no certificate."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    if not is_key_pair(pair):
        return "its key does not belong to it"
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now <= ends:
        return f"it is valid from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}"
    if ends - now < (ends - begins) / RENEW_PART:
        return f"it ends on {ends:%Y-%m-%d}"
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    missing = [name for name in names if _alternative(name) not in alternatives]
    if missing:
        return f"it is not for {', '.join(missing)}"
    if certificate.issuer != x509.load_pem_x509_certificate(ca.certificate).subject:
        return "it was signed by another CA"
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.certificate))
    except Exception:  # the library raises several types for a bad signature
        return "it was signed by another CA"
    return None


def _leaf(
    ca: KeyPair, name: str, key: ec.EllipticCurvePrivateKey, now: datetime, days: int, purpose: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    authority = x509.load_pem_x509_certificate(ca.certificate)
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(_name(name), authority.subject, key, now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key(ca: KeyPair) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(ca.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PermanentError("the CA's key is not an elliptic-curve key; VitalFlow creates only those")
    return key


def _to_pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return KeyPair(certificate.public_bytes(Encoding.PEM), private)
