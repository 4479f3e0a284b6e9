"""Database URLs with one and with several servers."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ingest.settings import IngestSettings
from sql.address import Address, addresses, without_password
from sql.connection import describe_connect_error
from vitals.errors import PermanentError

PAIR = "postgresql://ingest:s3cret@db-1:5432,db-2:5433/vitals"
TLS = "sslmode=verify-full&sslrootcert=/ca.crt"


def read(url: str) -> str:
    return IngestSettings.read({"VITALFLOW_INGEST_URL": url, "VITALFLOW_MQTT_URL": "mqtt://localhost"}).ingest_url


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        (PAIR, ["db-1:5432", "db-2:5433"]),
        ("postgresql://u:p@db-1,db-2:5433/x", ["db-1", "db-2:5433"]),
        ("postgresql://u:p@[::1]:5432,[fe80::1]/x", ["[::1]:5432", "[fe80::1]"]),
        ("postgresql://u:p@db-1/x?host=a,b&port=1,2", ["a:1", "b:2"]),
        ("postgresql:///x?host=a,b&port=7", ["a:7", "b:7"]),
        ("postgresql://u@/x?host=/run/postgresql", ["/run/postgresql"]),
    ],
)
def test_every_server_of_a_url_is_known(url: str, servers: list[str]) -> None:
    assert list(map(str, addresses(url))) == servers


def test_the_first_address_has_host_and_port_apart() -> None:
    assert addresses(PAIR)[0] == Address("db-1", "5432")


def test_a_url_is_shown_with_all_servers_and_without_its_password() -> None:
    assert without_password(f"{PAIR}?{TLS}") == "postgresql://ingest@db-1:5432,db-2:5433/vitals"
    assert without_password("postgresql://u:s3cret@db/x?password=s3cret") == "postgresql://u@db/x"


def test_several_servers_are_accepted_and_the_one_that_accepts_writes_is_taken() -> None:
    options = conninfo_to_dict(read(f"{PAIR}?{TLS}"))
    assert options["host"] == "db-1,db-2"
    assert options["target_session_attrs"] == "read-write"
    assert conninfo_to_dict(read("postgresql://u:p@localhost:1,127.0.0.1:2"))["target_session_attrs"] == "read-write"


def test_a_reader_may_name_a_standby() -> None:
    url = f"{PAIR}?{TLS}&target_session_attrs=prefer-standby"
    assert read(url) == url


def test_the_url_of_one_server_is_not_changed() -> None:
    url = "postgresql://u:p@localhost/x"
    assert read(url) == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://u:s3cret@db-1:x,db-2/x", "port could not be cast|invalid integer"),
        ("postgresql://u:s3cret@db-1:5432,db-2:99999/x", "port out of range"),
        ("postgresql://u:s3c@ret@db-1,db-2/x", "write % in a password"),
        ("postgresql://u:s3cret@/x", "or HOST:PORT,HOST:PORT for several servers"),
        ("mysql://u:s3cret@db-1,db-2/x", "expected postgresql://"),
        (PAIR, "would connect to postgresql://ingest@db-1:5432,db-2:5433/vitals without mandatory encryption"),
        ("postgresql://u:s3cret@localhost,db-2/x", "without mandatory encryption"),
    ],
)
def test_a_wrong_url_of_several_servers_is_rejected_without_its_password(url: str, problem: str) -> None:
    with pytest.raises(PermanentError, match=problem) as raised:
        read(url)
    assert "s3c" not in str(raised.value)


def test_the_reason_of_each_of_several_servers_is_stated_in_one_sentence() -> None:
    failed = "connection failed: connection to server at"
    error = psycopg.OperationalError(
        f"{failed} ... Multiple connection attempts failed. All failures were:\n"
        f"- host: 'db-1', port: '5432', hostaddr: '192.0.2.1': {failed} \"192.0.2.1\", port 5432 failed: "
        "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n"
        f"- host: 'db-2', port: '5433', hostaddr: '192.0.2.2': {failed} \"192.0.2.2\", port 5433 failed: "
        "session is read-only"
    )
    assert describe_connect_error(error, PAIR) == (
        "db-1:5432: Connection refused; db-2:5433: it is a standby, which accepts no writes"
    )
