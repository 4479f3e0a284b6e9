"""The metrics of connections and certificates, while a database stops, a reading waits and a standby stands still."""

import signal
from datetime import UTC, datetime
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificate
from paho.mqtt.publish import single

from stack.binaries import ServerBinaries
from stack.servers import BrokerServer, DatabaseServer
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.support.servers import Db, eventually, wal_receiver
from vitals.codec import encode
from vitals.reading import reading
from vitals.topics import Topics


def test_a_stopped_database_and_the_age_of_the_message_that_waits_for_it_are_shown(
    broker: BrokerServer, own_database: tuple[DatabaseServer, Db], make_ingest: MakeIngest
) -> None:
    server, db = own_database
    ingest = make_ingest(broker.url, db)
    eventually(lambda: ingest.metric("database_connected") == 1, 30, "connected to the database")
    eventually(lambda: ingest.metric("oldest_unacknowledged_seconds") == 0, 30, "nothing waits")
    server.stop_at_once()
    payload = encode(reading(datetime.now(UTC), {"spo2": 97.0}, boot=1, seq=1))
    single(Topics().vitals("icu-1", "bed-1"), payload, qos=1, hostname="127.0.0.1", port=broker.port)
    eventually(lambda: ingest.metric("database_connected") == 0, 30, "the check fails")
    eventually(lambda: ingest.metric("oldest_unacknowledged_seconds") > 2, 30, "the message waits")
    server.start()
    eventually(lambda: ingest.metric("oldest_unacknowledged_seconds") == 0, 30, "the message is acknowledged")
    eventually(lambda: ingest.metric("database_connected") == 1, 30, "connected again")


def test_the_expiry_of_ca_and_broker_is_that_of_their_certificates(
    shared_secured: Secured, db: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(shared_secured.url_of("ingest"), db, mqtt_ca=shared_secured.ca, ingest_client_id="ingest")
    folder = shared_secured.access.authority.folder
    for label in ("ca", "broker"):
        ends = load_pem_x509_certificate((folder / f"{label}.crt").read_bytes()).not_valid_after_utc.timestamp()
        eventually(
            lambda label=label, ends=ends: (  # type: ignore[misc]
                ingest.metric("certificate_expiry_timestamp_seconds", certificate=label) == ends
            ),
            30,
            label,
        )
    assert ingest.metric("certificate_expiry_timestamp_seconds", certificate="client") == 0, "it has a password"


def test_the_lag_of_a_standby_grows_while_it_stands_still(
    broker: BrokerServer,
    own_database: tuple[DatabaseServer, Db],
    make_ingest: MakeIngest,
    binaries: ServerBinaries,
    tmp_path: Path,
) -> None:
    server, db = own_database
    standby = wal_receiver(binaries, server, tmp_path / "wal.log")
    standby.start()
    try:
        ingest = make_ingest(broker.url, db)
        eventually(lambda: "pg_receivewal" in standbys(db), 30, "the standby is known")
        standby.signal(signal.SIGSTOP)
        db.rows("SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))::text")

        def lag() -> float:
            return ingest.metric("replication_lag_bytes", standby="pg_receivewal")

        eventually(lambda: lag() >= 1_000_000, 30, "the lag is shown")
        assert ingest.metric("commit_waits_for_standby") == 0
        assert "a commit does not wait for it" in ingest.said()
        standby.signal(signal.SIGCONT)
        eventually(lambda: lag() < 1_000_000, 30, "the standby has caught up")
    finally:
        standby.kill()


def standbys(db: Db) -> list[object]:
    return [name for (name,) in db.rows("SELECT standby FROM replication_lag()")]
