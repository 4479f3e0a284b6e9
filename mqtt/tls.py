"""TLS client contexts, and descriptions of what is wrong with a certificate, a key or a clock.

Each message names the file, the fault and the fix. The library `cryptography` only reads certificates for these
messages; the standard library's `ssl` does the rest.
"""

import re
import shlex
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from vitals.errors import PermanentError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

RENEW_COMMAND = "create a new one: vitalflow identity init"
NEW_PAIR_COMMAND = "vitalflow devices enroll {name} --ward WARD --certificate --rotate-password"
PAIR_VARIABLES = "export VITALFLOW_MQTT_CERTIFICATE=/path/to/device.crt VITALFLOW_MQTT_KEY=/path/to/device.key"
EXPIRED, NOT_YET, WRONG_HOST, WRONG_ADDRESS = 10, 9, 62, 64  # OpenSSL's X509_V_ERR_ numbers
FETCH_TIMEOUT_S = 3.0


def new_ca_command(folder: Path) -> str:
    """Return the shell command that replaces a lost or expired CA in this folder."""
    return f"(cd {shlex.quote(str(folder))} && rm -f ca.crt ca.key revoked.crl) && vitalflow identity init"


class ClosingSocket(ssl.SSLSocket):
    """A socket that is closed if its handshake fails or times out; paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        """Perform the handshake; raises OSError, after the socket was closed."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


@lru_cache(maxsize=16)  # shared by thousands of devices of one process
def client_context(ca: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or newer that verifies certificate and host name of the server.

    ca                 certificate of the trusted CA; None: the CAs that the system trusts
    certificate, key   client certificate

    Raises PermanentError that names the faulty file.
    """
    result = ssl.create_default_context() if ca is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    result.sslsocket_class = ClosingSocket
    if ca is not None:
        _read_pem(ca, "CERTIFICATE", "the certificate of the CA (ca.crt)", "export VITALFLOW_MQTT_CA=/path/to/ca.crt")
        _require_ca(ca)
        result.load_verify_locations(ca)
    if certificate is not None and key is not None:
        _read_pem(certificate, "CERTIFICATE", "a certificate (.crt)", PAIR_VARIABLES)
        read_private_key(key)
        name = _subject_names(_load(certificate, NEW_PAIR_COMMAND.format(name="NAME")))[0]
        try:
            result.load_cert_chain(certificate, key)
        except ssl.SSLError:
            raise PermanentError(
                f"the key {key} does not belong to the certificate {certificate}; give the pair, or make a new one: "
                f"{NEW_PAIR_COMMAND.format(name=name)}"
            ) from None
        _require_valid_now(certificate)
    return result


def read_private_key(path: Path) -> bytes:
    """Return the content of a private key's file; raises PermanentError if it is another file or readable to others."""
    content = _read_pem(path, "PRIVATE KEY", "a private key (.key)", PAIR_VARIABLES)
    require_private(path)
    if b"ENCRYPTED" in content:  # OpenSSL would prompt for the passphrase on a terminal
        raise PermanentError(
            f"{path} is encrypted with a passphrase; decrypt it: openssl pkey -in {path} -out {path}.open"
        )
    return content


def require_private(path: Path) -> None:
    """Raise PermanentError if a file of secrets is accessible to anyone but its owner."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise PermanentError(f"{path} holds secrets and others can read it (mode {mode:04o}): chmod 600 {path}")


def read_expiry(path: Path) -> datetime | None:
    """Return when the certificate in a file ends; None if the file cannot be read."""
    with suppress(PermanentError, OSError):
        return _load(path, "").not_valid_after_utc
    return None


def read_server_expiry(host: str, port: int) -> datetime | None:
    """Return when the certificate that a server shows now ends, verified or not; None if there is no answer."""
    shown = _fetch_certificate(host, port)
    return None if shown is None else shown.not_valid_after_utc


def describe_tls_error(error: BaseException, host: str, port: int, ca: Path | None, *, fetch: bool = True) -> str:
    """Describe why a connection failed, in one clause about the server ("its certificate ...").

    fetch   connect once more to read the server's certificate and name what is wrong with it; takes up to
            FETCH_TIMEOUT_S
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        now = datetime.now(UTC)
        wrong_clock = None if ca is None else _clock_error(ca, now)
        if wrong_clock is not None and error.verify_code in (EXPIRED, NOT_YET):
            return wrong_clock
        shown = _fetch_certificate(host, port) if fetch else None
        return _describe_verification_error(error, host, ca, shown, now)
    if isinstance(error, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(error):
        return "it does not speak TLS on this port; write mqtt:// if the broker has no TLS"
    if isinstance(error, ssl.SSLError):
        return f"no encrypted connection: {error.reason or error}"
    return str(error)


def client_cert_hint(certificate: Path | None) -> str:
    """Return a hint for a connection that the server closed without an answer.

    With TLS 1.3 the server rejects a client certificate after the handshake, so the reason is usually lost.
    """
    if certificate is None:
        return ""
    return f"; if it rejects {certificate} (revoked, or of another CA): {NEW_PAIR_COMMAND.format(name='NAME')}"


def _describe_verification_error(
    error: ssl.SSLCertVerificationError, host: str, ca: Path | None, shown: "Certificate | None", now: datetime
) -> str:
    if error.verify_code in (WRONG_HOST, WRONG_ADDRESS):
        names = "" if shown is None else f" but for {', '.join(_subject_names(shown))}"
        return (
            f"its certificate is not for {host}{names}; use one of its names, or add this one to "
            "VITALFLOW_BROKER_HOSTNAMES and make a new one: vitalflow identity init"
        )
    if error.verify_code == EXPIRED:
        ended = "" if shown is None else f" on {shown.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        return f"its certificate has expired{ended}, and it is {now:%Y-%m-%d %H:%M} UTC here; {RENEW_COMMAND}"
    if error.verify_code == NOT_YET:
        begins = "" if shown is None else f" before {shown.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return (
            f"its certificate is not valid{begins}, and it is {now:%Y-%m-%d %H:%M} UTC here; "
            "if this clock is wrong: timedatectl set-ntp true"
        )
    if ca is None:
        return (
            f"its certificate was not signed by a CA that the system trusts ({error.verify_message}); "
            "set its CA: export VITALFLOW_MQTT_CA=/path/to/ca.crt"
        )
    return (
        f"its certificate was not signed by the CA in {ca} ({error.verify_message}); "
        f"copy ca.crt from the broker's machine, as in: scp {host}:.stack/identity/ca.crt {ca}"
    )


def _read_pem(path: Path, mark: str, what: str, fix: str) -> bytes:
    """Return the content of a PEM file whose type ends in `mark`; raises PermanentError with the remedy `fix`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PermanentError(f"{path} cannot be read: {error.strerror}; expected {what}: {fix}") from None
    kinds = re.findall(rb"-----BEGIN ([A-Z0-9 ]+)-----", content)
    if not any(kind.decode().endswith(mark) for kind in kinds):
        actual = f"a {kinds[0].decode().lower()}" if kinds else "not a PEM file"
        raise PermanentError(f"{path} is {actual}; expected {what}: are the files in the wrong order? {fix}")
    return content


def _load(path: Path, fix: str) -> "Certificate":
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise PermanentError(f"{path} is a damaged certificate ({str(error).partition(':')[0]}); {fix}") from None


def _require_ca(path: Path) -> None:
    from cryptography.x509 import BasicConstraints, ExtensionNotFound

    certificate = _load(
        path, "copy ca.crt again from the broker's machine: scp BROKER:.stack/identity/ca.crt " + str(path)
    )
    try:
        is_ca = certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    except ExtensionNotFound:
        is_ca = False
    if not is_ca:
        raise PermanentError(
            f"{path} is the certificate of {', '.join(_subject_names(certificate))} and not of a CA; expected ca.crt: "
            "are the files in the wrong order? export VITALFLOW_MQTT_CA=/path/to/ca.crt"
        )


def _require_valid_now(path: Path) -> None:
    now, certificate = datetime.now(UTC), _load(path, NEW_PAIR_COMMAND.format(name="NAME"))
    if now > certificate.not_valid_after_utc:
        ended = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        name = _subject_names(certificate)[0]
        raise PermanentError(
            f"{path} has expired on {ended}, and it is {now:%Y-%m-%d %H:%M} UTC here; make a new one: "
            f"{NEW_PAIR_COMMAND.format(name=name)}"
        )
    if now < certificate.not_valid_before_utc:
        raise PermanentError(_not_yet_valid(path, certificate, now))


def _clock_error(ca: Path, now: datetime) -> str | None:
    """Return an error text if this machine's clock is outside the validity of the CA; then every certificate fails."""
    with suppress(PermanentError, OSError):
        certificate = _load(ca, "")
        if now < certificate.not_valid_before_utc:
            return _not_yet_valid(ca, certificate, now)
        if now > certificate.not_valid_after_utc:
            return (
                f"by this machine's clock ({now:%Y-%m-%d %H:%M} UTC) the CA in {ca} has expired on "
                f"{certificate.not_valid_after_utc:%Y-%m-%d}; if the clock is wrong: timedatectl set-ntp true; else "
                "create a new CA where the broker runs and copy its ca.crt here: "
                + new_ca_command(Path(".stack/identity"))
            )
    return None


def _not_yet_valid(path: Path, certificate: "Certificate", now: datetime) -> str:
    return (
        f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, and {path} begins "
        f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: every certificate is invalid until the clock is right "
        "(timedatectl set-ntp true)"
    )


def _fetch_certificate(host: str, port: int) -> "Certificate | None":
    """Return the server's certificate without verification, to describe what is wrong with it."""
    from cryptography.x509 import load_pem_x509_certificate

    with suppress(OSError, ValueError):
        return load_pem_x509_certificate(ssl.get_server_certificate((host, port), timeout=FETCH_TIMEOUT_S).encode())
    return None


def _subject_names(certificate: "Certificate") -> list[str]:
    """Return the host names and addresses of a certificate, or its common name."""
    from cryptography.x509 import DNSName, ExtensionNotFound, IPAddress, NameOID, SubjectAlternativeName

    with suppress(ExtensionNotFound):
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
        return [*names.get_values_for_type(DNSName), *map(str, names.get_values_for_type(IPAddress))]
    return [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] or ["no name"]
