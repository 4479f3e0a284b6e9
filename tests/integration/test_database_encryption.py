"""The way to the database is encrypted and checked; what is wrong with a certificate is one sentence that mends it."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from identity import ca
from identity.authority import CertificateAuthority
from identity.ca import KeyPair
from sql.migrate import connect
from stack.binaries import ServerBinaries
from stack.servers import DATABASE_NAMES, OWNER, POSTGRES, DatabaseServer, free_port, tls_query
from tests.support.migrate import start_migrate, wait_for_end
from tests.support.servers import db_of, eventually, new_database, serving
from vitals.errors import TransientError


@pytest.fixture(scope="module")
def guarded(
    binaries: ServerBinaries, run_name: str, logs: Path, authority: CertificateAuthority
) -> Iterator[DatabaseServer]:
    """A PostgreSQL as in production, with a certificate of the project's own CA."""
    server = DatabaseServer(binaries, f"{run_name}-guarded", free_port(), logs / "guarded.log", authority=authority)
    with serving(binaries, server):
        new_database(server)
        yield server


def said(url: str) -> str:
    """Why we do not get in."""
    with pytest.raises(TransientError) as message:
        connect(url)
    return str(message.value)


def show(server: DatabaseServer, binaries: ServerBinaries, pair: KeyPair) -> None:
    """Let the server show another certificate; it reads it at its next hang-up."""
    binaries.write(server.folder / "server.key", pair.key.decode(), POSTGRES)
    binaries.write(server.folder / "server.crt", pair.certificate.decode(), POSTGRES)
    before = server.log.read_text().count("reloading configuration files")
    server.signal(signal.SIGHUP)
    eventually(lambda: server.log.read_text().count("reloading configuration files") > before, 10, "it reads it again")


def test_every_login_is_encrypted_and_checked(guarded: DatabaseServer) -> None:
    db = db_of(guarded, OWNER)
    for url in (db.owner_url, db.ingest_url, db.reader_url):
        assert "sslmode=verify-full&sslrootcert=/" in url
        with psycopg.connect(url) as connection:
            used = connection.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert used is not None
        assert used[0] is True
        assert used[1] in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("mode", ["disable", "allow"])
def test_the_database_accepts_tls_only(guarded: DatabaseServer, mode: str) -> None:
    bare = guarded.url().partition("?")[0]
    if mode == "allow":  # tries without, is sent away, and comes back with
        with psycopg.connect(f"{bare}?sslmode=allow") as connection:
            assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        return
    wrong = f"postgresql://{OWNER}:wrong@127.0.0.1:{guarded.port}/{OWNER}?sslmode=disable"
    for url in (f"{bare}?sslmode=disable", wrong):  # the right password and a wrong one are answered alike
        assert said(url).endswith(
            "it accepts connections with TLS only: add ?sslmode=verify-full&sslrootcert=/path/to/ca.crt to the address"
        )


def test_a_foreign_server_on_the_port_receives_no_password(guarded: DatabaseServer, tmp_path: Path) -> None:
    other = CertificateAuthority(tmp_path / "other")
    other.load_or_create(datetime.now(UTC))
    message = said(f"{guarded.url().partition('?')[0]}?{tls_query(other.ca_certificate)}")
    assert f"its certificate is not signed by the authority in {other.ca_certificate}" in message
    assert "sslrootcert must name the certificate of the authority that signed the server's" in message


def test_a_name_that_is_not_in_the_certificate(guarded: DatabaseServer) -> None:
    bare, _, checked = guarded.url().partition("?")
    message = said(f"{bare.replace('127.0.0.1', 'db.example.org')}?{checked}&hostaddr=127.0.0.1")
    assert "its certificate is for localhost" in message
    assert "and not for db.example.org: connect to localhost" in message


def test_an_authority_that_is_not_there(guarded: DatabaseServer) -> None:
    message = said(f"{guarded.url().partition('?')[0]}?{tls_query(Path('/nowhere/ca.crt'))}")
    assert message.endswith(
        "sslrootcert is /nowhere/ca.crt, which does not exist: it must be the certificate of the authority that signed "
        "the database's"
    )


def test_a_certificate_out_of_its_time_and_back(
    guarded: DatabaseServer, binaries: ServerBinaries, authority: CertificateAuthority
) -> None:
    now = datetime.now(UTC)
    good = authority.server_pair("database", DATABASE_NAMES, now)
    with psycopg.connect(guarded.url(), autocommit=True) as open_before:
        show(
            guarded, binaries, ca.sign_server(authority.load_or_create(now), DATABASE_NAMES, now - timedelta(days=200))
        )
        assert "its certificate has expired: give the server a new one" in said(guarded.url())
        show(guarded, binaries, ca.sign_server(authority.load_or_create(now), DATABASE_NAMES, now + timedelta(days=2)))
        assert "its certificate is not valid yet: set the clock of this machine" in said(guarded.url())
        show(guarded, binaries, good)
        connect(guarded.url()).close()
        assert open_before.execute("SELECT 1").fetchone() == (1,), "who was there stays there"


def test_a_due_certificate_is_renewed_without_dropping_connections(
    guarded: DatabaseServer, authority: CertificateAuthority
) -> None:
    assert not guarded.rotate_certificates(), "there is nothing to do"
    now = datetime.now(UTC)
    old = ca.sign_server(authority.load_or_create(now), DATABASE_NAMES, now - timedelta(days=80))  # of 90
    (authority.folder / "database.crt").write_bytes(old.certificate)
    (authority.folder / "database.key").write_bytes(old.key)
    with psycopg.connect(guarded.url(), autocommit=True) as open_before:
        assert guarded.rotate_certificates()
        new = (authority.folder / "database.crt").read_bytes()
        assert ca.serial_number(new) != ca.serial_number(old.certificate)
        connect(guarded.url()).close()
        assert open_before.execute("SELECT 1").fetchone() == (1,)


def test_a_server_without_encryption_is_named(database: DatabaseServer, authority: CertificateAuthority) -> None:
    authority.load_or_create(datetime.now(UTC))
    message = said(f"{database.url('postgres')}?{tls_query(authority.ca_certificate)}")
    assert message.endswith("it offers no TLS, which sslmode requires: set ssl = on in its postgresql.conf")


def test_migrate_reports_it_in_one_sentence(guarded: DatabaseServer) -> None:
    url = f"{guarded.url().partition('?')[0]}?sslmode=disable"
    sentence = wait_for_end(start_migrate({"VITALFLOW_DATABASE_URL": url})).expect_sentence()
    assert "it accepts connections with TLS only" in sentence
    assert guarded.password not in sentence
