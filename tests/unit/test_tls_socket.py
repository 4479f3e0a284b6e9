"""TLS between the fast_path and its socket: whatever is sent arrives, in order, however little the socket takes."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest

from identity.authority import CertificateAuthority
from mqtt.fast_client import PublishFastPath
from mqtt.tls_socket import TLSSocket

Serve = Callable[[ssl.SSLSocket], None]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    made = CertificateAuthority(tmp_path_factory.mktemp("ca") / "identity")
    made.server_pair("broker", ["localhost"], datetime.now(UTC))
    return made


@contextmanager
def connected(authority: CertificateAuthority, serve: Serve) -> Iterator[TLSSocket]:
    """A connection to a server that does `serve`, in another thread."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "broker.crt", authority.folder / "broker.key")
    ours, theirs = socket.socketpair()
    ours.settimeout(5)

    def run() -> None:
        try:
            with context.wrap_socket(theirs, server_side=True) as tls:
                serve(tls)
        except OSError:
            theirs.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        records = TLSSocket(ours, ssl.create_default_context(cafile=str(authority.ca_certificate)), "localhost")
        records.setblocking(False)
        yield records
        records.close()
    finally:
        ours.close()
        thread.join(10)


def packets(number: int, size: int) -> bytes:
    """So many PUBLISH packets of MQTT 3.1.1 on the topic `t`, each with its number in front."""
    return b"".join(
        bytes([0x30]) + bytes([(size + 7) & 0x7F | 0x80, (size + 7) >> 7]) + b"\x00\x01t" + b"%04d" % one + b"x" * size
        for one in range(number)
    )


def test_messages_in_records_of_their_own_or_cut_anywhere_arrive_in_order(authority: CertificateAuthority) -> None:
    stream = packets(500, 300)

    def serve(tls: ssl.SSLSocket) -> None:
        at = 0
        for number in range(10_000):
            size = (1, 313, 50_000)[number % 3]
            if at >= len(stream):
                break
            tls.sendall(stream[at : at + size])
            at += size
        time.sleep(0.2)

    got: list[bytes] = []
    with connected(authority, serve) as records:
        fast_path = PublishFastPath(records, lambda _topic, payload, *_: got.append(payload[:4]), has_properties=False)
        deadline = time.monotonic() + 10
        while len(got) < 500 and time.monotonic() < deadline:
            fast_path.receive()
        while not fast_path.has_control and time.monotonic() < deadline:
            fast_path.receive()
        assert fast_path.has_control, "the end of the connection"
    assert got == [b"%04d" % number for number in range(500)]


def test_close_notify_ends_the_connection_after_the_last_message(
    authority: CertificateAuthority,
) -> None:
    def serve(tls: ssl.SSLSocket) -> None:
        tls.sendall(packets(3, 300))
        tls.settimeout(2)
        with suppress(OSError):
            tls.unwrap()

    got: list[bytes] = []
    with connected(authority, serve) as records:
        fast_path = PublishFastPath(records, lambda _topic, payload, *_: got.append(payload[:4]), has_properties=False)
        deadline = time.monotonic() + 5
        while not fast_path.has_control and time.monotonic() < deadline:
            fast_path.receive()
        assert fast_path.has_control
        assert fast_path.recv(10) == b""
    assert got == [b"0000", b"0001", b"0002"]


def test_what_the_socket_does_not_take_at_once_leaves_later_and_in_order(authority: CertificateAuthority) -> None:
    sent = bytes(range(256)) * 12_000
    got = bytearray()
    begin = threading.Event()

    def serve(tls: ssl.SSLSocket) -> None:
        begin.wait(5)
        while piece := tls.recv(65_536):
            got.extend(piece)
            if len(got) >= len(sent):
                return

    with connected(authority, serve) as records:
        fast_path = PublishFastPath(records, lambda *_: None, has_properties=False)
        fast_path.send(sent[:1_000_000])
        fast_path.send(sent[1_000_000:])
        assert fast_path.unsent, "the peer has not read yet"
        begin.set()
        deadline = time.monotonic() + 10
        while len(got) < len(sent) and time.monotonic() < deadline:
            fast_path.flush()
            time.sleep(0.001)
        assert not fast_path.unsent
    assert bytes(got) == sent


def test_a_certificate_for_another_name_ends_the_handshake_and_leaves_no_socket_open(
    authority: CertificateAuthority,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "broker.crt", authority.folder / "broker.key")
    ours, theirs = socket.socketpair()
    said: list[str] = []

    def run() -> None:
        try:
            context.wrap_socket(theirs, server_side=True).close()
        except ssl.SSLError as error:
            said.append(str(error))
            theirs.close()

    thread = threading.Thread(target=run)
    thread.start()
    ours.settimeout(5)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        TLSSocket(ours, ssl.create_default_context(cafile=str(authority.ca_certificate)), "ward-7")
    thread.join(5)
    assert ours.fileno() == -1
    assert "alert" in said[0], "the server receives the TLS alert"


def test_a_server_that_hangs_up_in_the_handshake_is_an_error_of_the_socket(authority: CertificateAuthority) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    theirs.close()
    with pytest.raises(OSError):  # noqa: PT011
        TLSSocket(ours, ssl.create_default_context(cafile=str(authority.ca_certificate)), "localhost")
