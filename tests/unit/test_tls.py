"""What is wrong with certificates and their files: each mistake is one sentence with the file and what remedy it."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from paho.mqtt.enums import CallbackAPIVersion

from identity import ca
from identity.authority import CertificateAuthority, write_public, write_secret
from identity.check import find_problems, list_certificates
from mqtt import tls
from mqtt.credentials import Credential, read_credentials, write_credentials
from mqtt.endpoint import BrokerEndpoint
from mqtt.settings import BrokerSettings
from vitals.errors import PermanentError

NOW = datetime.now(UTC)
NAMES = ["localhost", "127.0.0.1"]


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    made = CertificateAuthority(tmp_path / "identity")
    made.server_pair("broker", NAMES, NOW)
    return made


@contextmanager
def serving(authority: CertificateAuthority, pair: ca.KeyPair) -> Iterator[int]:
    """A TLS server with that certificate, for as many handshakes as come; its port."""
    folder = authority.folder
    write_public(folder / "serving.crt", pair.certificate)
    write_secret(folder / "serving.key", pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "serving.crt", folder / "serving.key")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            try:
                context.wrap_socket(sock, server_side=True).close()
            except OSError:
                sock.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def fails(authority: CertificateAuthority, pair: ca.KeyPair, host: str = "127.0.0.1", name: str | None = None) -> str:
    """The sentence for a connection to a server with that certificate."""
    with serving(authority, pair) as port:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                tls.client_context(authority.ca_certificate).wrap_socket(sock, server_hostname=name or host).close()
        except OSError as error:
            return tls.describe_tls_error(error, host, port, authority.ca_certificate)
    return "no mistake"


def test_a_good_certificate_connects(authority: CertificateAuthority) -> None:
    assert fails(authority, authority.server_pair("broker", NAMES, NOW)) == "no mistake"


def test_a_certificate_for_another_name_lists_its_names(authority: CertificateAuthority) -> None:
    pair = ca.sign_server(authority.load_or_create(NOW), ["ward-7.example", "10.0.0.7"], NOW)
    message = fails(authority, pair)
    assert message.startswith("its certificate is not for 127.0.0.1 but for ward-7.example, 10.0.0.7; ")
    assert message.endswith("add this one to VITALFLOW_BROKER_HOSTNAMES and make a new one: vitalflow identity init")


def test_an_expired_certificate_reports_its_end(authority: CertificateAuthority) -> None:
    ended = NOW - timedelta(days=3)
    pair = ca.sign_server(authority.load_or_create(NOW), NAMES, ended - timedelta(days=2), days=2)
    assert f"its certificate has expired on {ended:%Y-%m-%d %H:%M} UTC, and it is " in fails(authority, pair)


def test_a_certificate_that_is_not_yet_valid_mentions_the_clock(authority: CertificateAuthority) -> None:
    pair = ca.sign_server(authority.load_or_create(NOW), NAMES, NOW + timedelta(days=1))
    message = fails(authority, pair)
    assert "its certificate is not valid before " in message
    assert "if this clock is wrong: timedatectl set-ntp true" in message


def test_a_clock_before_the_ca_makes_every_certificate_invalid_and_is_named(tmp_path: Path) -> None:
    later = NOW + timedelta(days=400)
    authority = CertificateAuthority(tmp_path / "identity")
    message = fails(authority, authority.server_pair("broker", NAMES, later))
    assert message.startswith("this machine's clock says ")
    assert "every certificate is invalid until the clock is right (timedatectl set-ntp true)" in message
    assert str(authority.ca_certificate) in message


def test_a_clock_after_the_ca_is_reported_too(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path / "identity")
    message = fails(authority, authority.server_pair("broker", NAMES, NOW - timedelta(days=4000)))
    assert message.startswith("by this machine's clock (")
    assert f"the CA in {authority.ca_certificate} has expired on " in message


def test_a_certificate_of_another_ca_names_the_file_to_replace(authority: CertificateAuthority) -> None:
    pair = ca.sign_server(ca.new_ca("another", NOW), NAMES, NOW)
    message = fails(authority, pair)
    assert f"was not signed by the CA in {authority.ca_certificate} (" in message
    assert "copy ca.crt from the broker's machine" in message


def test_a_server_without_tls_is_reported_as_such(authority: CertificateAuthority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(b"\x20\x02\x00\x00 and more")

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 5) as sock, pytest.raises(OSError, match="SSL") as failed:
            tls.client_context(authority.ca_certificate).wrap_socket(sock, server_hostname="127.0.0.1")
    assert "does not speak TLS" in tls.describe_tls_error(failed.value, "127.0.0.1", port, authority.ca_certificate)


def test_files_in_the_wrong_order_are_named(authority: CertificateAuthority) -> None:
    folder = authority.folder
    pair = authority.issue_client_pair("bed-1", NOW)
    write_public(folder / "bed.crt", pair.certificate)
    write_secret(folder / "bed.key", pair.key)
    good, crt, key = authority.ca_certificate, folder / "bed.crt", folder / "bed.key"
    tls.client_context(good, crt, key)
    for files, message in (
        ((key, crt, key), f"{key} is a private key; expected the certificate of the CA"),
        ((crt, crt, key), f"{crt} is the certificate of bed-1 and not of a CA; expected ca.crt"),
        ((good, key, crt), f"{key} is a private key; expected a certificate"),
        ((good, crt, crt), f"{crt} is a certificate; expected a private key"),
        ((good, good, key), f"the key {key} does not belong to the certificate {good}"),
        ((folder / "none", crt, key), f"{folder / 'none'} cannot be read: No such file or directory"),
    ):
        with pytest.raises(PermanentError) as raised:
            tls.client_context(*files)
        assert str(raised.value).startswith(message)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("begins", "message"),
    [
        (NOW - timedelta(days=10), "old.crt has expired on .*vitalflow devices enroll bed-1 --ward WARD --certificate"),
        (NOW + timedelta(days=9), "this machine's clock says .*timedatectl set-ntp true"),
    ],
)
def test_a_client_certificate_outside_its_days_is_reported_with_its_remedy(
    authority: CertificateAuthority, begins: datetime, message: str
) -> None:
    pair = ca.sign_client(authority.load_or_create(NOW), "bed-1", begins, days=1)
    crt, key = authority.folder / "old.crt", authority.folder / "old.key"
    write_public(crt, pair.certificate)
    write_secret(key, pair.key)
    with pytest.raises(PermanentError, match=message):
        tls.client_context(authority.ca_certificate, crt, key)


def test_a_key_or_credentials_that_others_can_read_are_refused(authority: CertificateAuthority, tmp_path: Path) -> None:
    key = authority.folder / "broker.key"
    key.chmod(0o644)
    with pytest.raises(
        PermanentError, match=rf"^{key} holds secrets and others can read it \(mode 0644\): chmod 600 {key}$"
    ):
        tls.client_context(authority.ca_certificate, authority.folder / "broker.crt", key)
    path = tmp_path / "devices.json"
    write_credentials(path, {"bed-1": Credential("icu-1", "word")})
    assert read_credentials(path) == {"bed-1": Credential("icu-1", "word")}
    path.chmod(0o640)
    with pytest.raises(PermanentError, match="others can read it"):
        read_credentials(path)


def test_what_is_no_credentials_file_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    write_secret(path, b'{"bed-1": 5}')
    with pytest.raises(PermanentError, match="is not a credentials file"):
        read_credentials(path)
    with pytest.raises(PermanentError, match="cannot be read: No such file"):
        read_credentials(tmp_path / "none.json")


def test_the_check_finds_nothing_wrong_with_what_we_make_and_names_each_mistake(
    authority: CertificateAuthority,
) -> None:
    folder = authority.folder
    assert list(find_problems(folder, NAMES, NOW)) == []
    assert any(
        "is due for renewal: it is not for ward-7" in one for one in find_problems(folder, [*NAMES, "ward-7"], NOW)
    )
    assert any("has expired on" in one for one in find_problems(folder, NAMES, NOW + timedelta(days=91)))
    assert any("this machine's clock says" in one for one in find_problems(folder, NAMES, NOW - timedelta(days=1)))
    (folder / "ca.key").chmod(0o644)
    assert any("others can read it" in one for one in find_problems(folder, NAMES, NOW))
    crt, key = folder / "broker.crt", folder / "broker.key"
    swapped = crt.read_bytes(), key.read_bytes()
    crt.write_bytes(swapped[1])
    key.write_bytes(swapped[0])
    assert any(f"{crt} is a private key; expected a certificate" in one for one in find_problems(folder, NAMES, NOW))


def test_the_check_shows_until_when_each_certificate_is_valid(authority: CertificateAuthority) -> None:
    (authority.folder / "other.crt").write_text("nothing")
    broker, root = list_certificates(authority.folder, NOW)
    ends = NOW + timedelta(days=90)
    assert broker.startswith("broker.crt ")
    assert f"valid until {ends:%Y-%m-%d}" in broker
    assert root.startswith("ca.crt ")
    assert root.endswith(" days left")


def test_the_message_of_the_check_fixes_each_mistake(authority: CertificateAuthority) -> None:
    """`vitalflow identity init` is what a sentence names: after it, nothing is wrong any more."""
    folder = authority.folder
    crt, key = folder / "broker.crt", folder / "broker.key"
    another = ca.sign_server(authority.load_or_create(NOW), NAMES, NOW)

    def torn(path: Path, content: bytes) -> None:
        (write_secret if path.suffix == ".key" else write_public)(path, content)

    for path, content, message in (
        (key, another.key, f"{key} does not belong to {crt}"),
        (key, b"", f"{key} is not a PEM file; expected a private key"),
        (crt, b"nothing", f"{crt} is not a PEM file; expected a certificate"),
        (crt, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", f"{key} does not belong to {crt}"),
        (crt, key.read_bytes(), f"{crt} is a private key; expected a certificate: are the two files swapped?"),
        (crt, ca.sign_client(authority.load_or_create(NOW), "x", NOW).certificate, f"{key} does not belong to {crt}"),
    ):
        torn(path, content)
        (problem,) = find_problems(folder, NAMES, NOW)
        assert problem.startswith(message)
        assert problem.endswith("vitalflow identity init")
        authority.server_pair("broker", NAMES, NOW)  # which is what it does
        assert list(find_problems(folder, NAMES, NOW)) == []


def test_a_lost_or_expired_ca_is_reported_with_the_commands_to_replace_it(
    authority: CertificateAuthority,
) -> None:
    folder = authority.folder
    remedy = f"(cd {folder} && rm -f ca.crt ca.key revoked.crl) && vitalflow identity init"
    good = (folder / "ca.key").read_bytes()
    write_secret(folder / "ca.key", ca.new_ca("x", NOW).key)
    (problem,) = find_problems(folder, NAMES, NOW)
    assert problem.startswith(
        f"{folder / 'ca.key'} does not belong to {folder / 'ca.crt'}; restore it, or create a new CA"
    )
    assert problem.endswith(remedy)
    (folder / "ca.key").unlink()
    (problem,) = find_problems(folder, NAMES, NOW)
    assert problem.startswith(f"{folder / 'ca.crt'} exists but ca.key is missing; ")
    assert problem.endswith(remedy)
    write_secret(folder / "ca.key", good)
    ended = [
        one for one in find_problems(folder, NAMES, NOW + timedelta(days=4000)) if one.startswith(f"{folder}/ca.crt")
    ]
    assert len(ended) == 1
    assert ended[0].endswith(remedy)
    for name in ("ca.crt", "ca.key", "revoked.crl"):
        (folder / name).unlink(missing_ok=True)
    authority.server_pair("broker", NAMES, NOW)
    assert list(find_problems(folder, NAMES, NOW)) == []
    (problem,) = find_problems(folder / "none", NAMES, NOW)
    assert problem.startswith(f"{folder / 'none'} cannot be read: No such file")


def test_a_locked_key_and_a_damaged_ca_are_reported_without_a_prompt(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    pair = authority.issue_client_pair("bed-1", NOW)
    locked = load_pem_private_key(pair.key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")
    )
    crt, key, damaged = tmp_path / "bed.crt", tmp_path / "bed.key", tmp_path / "damaged.crt"
    write_public(crt, pair.certificate)
    write_secret(key, locked)
    with pytest.raises(
        PermanentError, match=f"{key} is encrypted with a passphrase; decrypt it: openssl pkey -in {key}"
    ):
        tls.client_context(authority.ca_certificate, crt, key)
    write_public(damaged, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(PermanentError, match=rf"{damaged} is a damaged certificate \(.*\); copy ca.crt again"):
        tls.client_context(damaged)


def test_settings_that_belong_together_are_checked(tmp_path: Path) -> None:
    def read(**values: str) -> BrokerEndpoint:
        return BrokerSettings.read({f"VITALFLOW_{key.upper()}": value for key, value in values.items()}).broker

    secret = tmp_path / "password"
    secret.write_text("word\n")
    broker = read(mqtt_url="mqtts://ada@h", mqtt_password_file=str(secret), mqtt_ca="/ca.crt")
    assert (broker.tls, broker.port, broker.username, broker.password) == (True, 8883, "ada", "word")
    assert broker.ca == Path("/ca.crt")
    assert "word" not in f"{broker} {broker!r}"
    assert read(mqtt_url="mqtt://h", mqtt_ca="/ca.crt").ca is None
    by_websockets = read(mqtt_url="wss://ada:word@h:9443/mqtt/v5")
    assert (by_websockets.tls, by_websockets.transport, by_websockets.websockets) == (True, "websockets", "/mqtt/v5")
    assert str(by_websockets) == "wss://ada@h:9443"
    plain = read(mqtt_url="ws://h/")
    assert (plain.tls, plain.port, plain.websockets) == (False, 80, "/mqtt")
    for values, message in (
        ({"mqtt_url": "mqtts://h", "mqtt_certificate": "/a"}, "go together; set both or none"),
        ({"mqtt_url": "mqtt://h", "mqtt_certificate": "/a", "mqtt_key": "/b"}, "begins with mqtts://"),
        ({"mqtt_url": "mqtts://h", "mqtt_password": "x"}, "needs a user"),
    ):
        with pytest.raises(PermanentError, match=message):
            read(**values)
    pem = tmp_path / "my.key"
    pem.write_text("-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n")
    with pytest.raises(PermanentError, match="remove _FILE") as raised:
        read(mqtt_url="mqtts://h", mqtt_certificate="/a", mqtt_key_file=str(pem))
    assert "s3cret" not in str(raised.value)


def test_a_client_id_is_derived_from_the_secret() -> None:
    ada, eve = BrokerEndpoint("h", 1, "ada", "one"), BrokerEndpoint("h", 1, "ada", "two")
    assert ada.client_id("x") == ada.client_id("x") != eve.client_id("x")
    assert ada.client_id("x").startswith("x.")
    assert ada.client_id("x") != ada.client_id("y")
    assert BrokerEndpoint("h", 1).client_id("x") == "x"


def test_a_handshake_without_an_answer_closes_its_socket(authority: CertificateAuthority) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.tls_set_context(tls.client_context(authority.ca_certificate))
    client.connect_timeout = 0.2
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(TimeoutError) as kept:  # which keeps the frames, and so the socket
            client.connect("127.0.0.1", server.getsockname()[1])
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(5)
            while accepted.recv(4096):
                pass
    assert kept.value is not None
