"""TLS of the listeners: only a valid certificate of the project's CA may send, also after the start."""

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from typer.testing import CliRunner

import mqtt.tls
from edges.hl7 import listener as module
from edges.hl7.acks import Outcome, acknowledge
from edges.hl7.client import Client, Receiver
from edges.hl7.er7 import parse_message
from edges.hl7.frames import frame
from edges.hl7.listener import Listener, Peer, serve
from edges.listener.access import Access
from edges.listener.http_server import serving
from edges.sender_commands import app
from identity import ca
from identity.authority import CertificateAuthority
from mqtt.http_socket import listening
from mqtt.server_certificate import ReloadingCertificate
from tests.support.factories import NOW
from tests.unit.test_hl7_listener import until
from vitals.errors import PermanentError, TransientError

MESSAGE = b"MSH|^~\\&|A|B|||20261129120000+0000||ORU^R01|1|P|2.6\r"


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    made = CertificateAuthority(tmp_path / "identity")
    made.server_pair("edges", ["127.0.0.1"], datetime.now(UTC))
    made.revocation_list(datetime.now(UTC))
    return made


def server_tls(authority: CertificateAuthority) -> ReloadingCertificate:
    folder = authority.folder
    return ReloadingCertificate(
        folder / "edges.crt", folder / "edges.key", authority.ca_certificate, authority.revocation_list_path
    )


def client_context(authority: CertificateAuthority, pair: ca.KeyPair | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.ca_certificate))
    if pair is not None:
        certificate, key = authority.folder / "client.crt", authority.folder / "client.key"
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)
        context.load_cert_chain(certificate, key)
    return context


async def accept(content: bytes, peer: Peer) -> Sequence[bytes]:
    assert peer.name == "sender/central"
    return acknowledge(parse_message(content), Outcome.ACCEPT, None, NOW)


def connect(listener: Listener, context: ssl.SSLContext) -> Client:
    return Client(Receiver("127.0.0.1", listener.port, context))


def test_a_client_with_a_certificate_of_the_ca_sends(authority: CertificateAuthority) -> None:
    context = client_context(authority, authority.issue_client_pair("sender/central", datetime.now(UTC)))

    async def story() -> None:
        access = Access(tls=server_tls(authority))
        async with asyncio.timeout(30), serve("127.0.0.1", 0, accept, access) as listener:
            async with connect(listener, context) as client:
                assert [(await client.send(MESSAGE)).code for _ in range(3)] == ["AA"] * 3
            await until(lambda: not listener.open)
            assert (listener.counts.accepted, listener.counts.messages, listener.counts.failed) == (1, 3, 0)

    asyncio.run(story())


@pytest.mark.parametrize("which", ["missing", "other CA", "revoked", "expired", "server", "other name"])
def test_any_other_client_is_rejected(authority: CertificateAuthority, tmp_path: Path, which: str) -> None:
    now = datetime.now(UTC)
    pair: ca.KeyPair | None = authority.issue_client_pair("sender/central", now)
    match which:
        case "missing":
            pair = None
        case "other CA":
            pair = CertificateAuthority(tmp_path / "other").issue_client_pair("sender/central", now)
        case "revoked":
            assert authority.revoke("sender/central", now) == 1
        case "expired":
            pair = ca.sign_client(authority.load_or_create(now), "sender/central", now - timedelta(days=9), days=8)
        case "server":
            pair = authority.server_pair("central", ["127.0.0.1"], now)
        case "other name":
            pair = authority.issue_client_pair("icu-1-bed-04", now)
    context = client_context(authority, pair)

    async def story() -> None:
        access = Access(tls=server_tls(authority))
        async with asyncio.timeout(30), serve("127.0.0.1", 0, accept, access) as listener:
            async with connect(listener, context) as client:
                with pytest.raises(TransientError):
                    await client.send(MESSAGE)
            await until(lambda: not listener.open)
            reason = "certificate_name" if which == "other name" else "tls"
            assert listener.counts.rejected == {reason: 1}
            assert (listener.counts.accepted, listener.counts.messages) == (0, 0)

    asyncio.run(story())


def test_a_plain_client_and_a_silent_one_are_rejected(
    authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT_S", 0.2)

    async def story() -> None:
        access = Access(tls=server_tls(authority))
        async with asyncio.timeout(30), serve("127.0.0.1", 0, accept, access) as listener:
            for sent in (frame(MESSAGE), b""):
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.write(sent)
                await reader.read()
                writer.close()
            await until(lambda: not listener.open)
            assert listener.counts.rejected == {"tls": 2}

    asyncio.run(story())


def test_a_revoked_certificate_ends_its_open_connection_and_connects_no_more(authority: CertificateAuthority) -> None:
    now = datetime.now(UTC)
    context = client_context(authority, authority.issue_client_pair("sender/central", now))

    async def story() -> None:
        tls = server_tls(authority)
        async with (
            asyncio.timeout(30),
            serve("127.0.0.1", 0, accept, Access(tls=tls)) as listener,
            connect(listener, context) as client,
        ):
            await client.send(MESSAGE)
            tls.renew()
            listener.end_invalid(now)
            assert listener.counts.revoked == 0
            authority.revoke("sender/central", now)
            os.utime(authority.revocation_list_path, ns=(1, 1))  # newer, whatever the resolution of the clock
            tls.renew()
            listener.end_invalid(now)
            await until(lambda: not listener.open)
            assert listener.counts.revoked == 1
            with pytest.raises(TransientError):
                await client.send(MESSAGE)
            with pytest.raises(TransientError):
                await client.send(MESSAGE)
            assert listener.counts.messages == 1

    asyncio.run(story())


def test_an_expired_certificate_ends_its_open_connection(authority: CertificateAuthority) -> None:
    now = datetime.now(UTC)
    context = client_context(authority, authority.issue_client_pair("sender/central", now))

    async def story() -> None:
        access = Access(tls=server_tls(authority))
        async with (
            asyncio.timeout(30),
            serve("127.0.0.1", 0, accept, access) as listener,
            connect(listener, context) as client,
        ):
            await client.send(MESSAGE)
            listener.end_invalid(now + timedelta(days=ca.DEVICE_DAYS, minutes=-5))
            assert listener.open == 1
            listener.end_invalid(now + timedelta(days=ca.DEVICE_DAYS, minutes=5))
            await until(lambda: not listener.open)

    asyncio.run(story())


def test_a_new_certificate_is_used_without_a_restart_and_an_invalid_one_is_not(
    authority: CertificateAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = server_tls(authority)
    first = tls.context
    certificate = authority.folder / "edges.crt"
    good = certificate.read_bytes()
    certificate.write_bytes(b"damaged")
    os.utime(certificate, ns=(1, 1))
    tls.renew()
    assert tls.context is first
    assert "the former files stay in use" in caplog.text
    certificate.write_bytes(good)
    os.utime(certificate, ns=(2, 2))
    tls.renew()
    assert tls.context is not first


def test_a_client_of_the_http_listeners_needs_a_certificate_that_is_valid_now(
    authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, request = datetime.now(UTC), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    good = client_context(authority, authority.issue_client_pair("sender/central", now))
    other_name = client_context(authority, authority.issue_client_pair("icu-1-bed-04", now))
    without = client_context(authority, None)
    other = CertificateAuthority(tmp_path / "other")
    other.server_pair("edges", ["127.0.0.1"], now)
    other.revocation_list(now)
    of_other_ca = client_context(other, other.issue_client_pair("sender/central", now))
    tls = server_tls(authority)

    async def story(port: int) -> None:
        async def ask(context: ssl.SSLContext, between: Callable[[], None] | None = None) -> list[bytes]:
            """Return the status of the answer to each of two requests of a connection; empty without one."""
            found = []
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            except OSError:
                return [b""]
            with closing(writer):
                for _ in range(2):
                    try:
                        writer.write(request)
                        found.append((await reader.readuntil(b"\r\n\r\nNot Found"))[9:12])
                    except (OSError, asyncio.IncompleteReadError):
                        return [*found, b""]
                    if between is not None:
                        between()
            return found

        def revoke() -> None:
            authority.revoke("sender/central", now)
            os.utime(authority.revocation_list_path, ns=(1, 1))
            tls.renew()

        assert [await ask(context) for context in (good, other_name, without)] == [[b"404"] * 2, [b""], [b""]]
        assert [await ask(good, revoke), await ask(good), await ask(of_other_ca)] == [[b"404", b""], [b""], [b""]]
        for name in ("edges.crt", "edges.key"):
            (authority.folder / name).write_bytes((other.folder / name).read_bytes())
        authority.ca_certificate.write_bytes(other.ca_certificate.read_bytes())
        authority.revocation_list_path.write_bytes(other.revocation_list_path.read_bytes())
        os.utime(authority.revocation_list_path, ns=(2, 2))
        tls.renew()
        assert await ask(of_other_ca) == [b"404"] * 2

    async def run() -> None:
        with listening("127.0.0.1", 0) as taken:
            async with asyncio.timeout(30), serving(Starlette(), taken, Access(tls=tls)):
                await story(taken.getsockname()[1])

    asyncio.run(run())


def test_a_list_of_names_replaces_the_default(authority: CertificateAuthority) -> None:
    access = Access(tls=server_tls(authority), names=frozenset({"sender/central"}))
    assert access.allows_name("sender/central")
    assert not access.allows_name("sender/other")


def test_the_commands_create_what_listener_and_sender_need(
    authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITALFLOW_CA_DIR", str(authority.folder))
    (authority.folder / "edges.crt").unlink()
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for arguments in (
        ["listener", "127.0.0.1", "--folder", str(ours)],
        ["enroll", "central", "--folder", str(theirs)],
    ):
        ended = CliRunner().invoke(app, arguments)
        assert ended.exit_code == 0, ended.output
    tls = ReloadingCertificate(*(ours / name for name in ("edges.crt", "edges.key", "ca.crt", "revoked.crl")))
    context = mqtt.tls.client_context(theirs / "ca.crt", theirs / "sender.crt", theirs / "sender.key")

    async def story() -> None:
        async with asyncio.timeout(30), serve("127.0.0.1", 0, accept, Access(tls=tls)) as listener:
            async with connect(listener, context) as client:
                assert (await client.send(MESSAGE)).code == "AA"
            assert CliRunner().invoke(app, ["revoke", "central"]).exit_code == 0
            assert CliRunner().invoke(app, ["listener", "127.0.0.1", "--folder", str(ours)]).exit_code == 0
            os.utime(ours / "revoked.crl", ns=(1, 1))
            tls.renew()
            async with connect(listener, context) as client:
                with pytest.raises(TransientError):
                    await client.send(MESSAGE)

    asyncio.run(story())


def test_without_the_ca_nothing_is_issued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALFLOW_CA_DIR", str(tmp_path / "none"))
    ended = CliRunner().invoke(app, ["enroll", "central", "--folder", str(tmp_path / "out")])
    assert (ended.exit_code, "VITALFLOW_CA_DIR" in ended.output) == (2, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["edges.crt", "edges.key", "ca.crt", "revoked.crl"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN X-----\n"])
def test_a_file_that_cannot_be_used_is_named(authority: CertificateAuthority, name: str, content: bytes | None) -> None:
    path = authority.folder / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(PermanentError, match=name):
        server_tls(authority)
