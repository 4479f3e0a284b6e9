"""When nothing is stored, ingest says so within seconds, with the reason, and stores everything afterwards."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from mqtt.service_status import ServiceStatus, decode_service_status
from stack.servers import BrokerServer, DatabaseServer
from station.services import Services
from tests.fixtures.ingest import MakeIngest
from tests.support.servers import Db, eventually


class Ward:
    """A client that sends readings and listens to the status of ingest."""

    def __init__(self, client: mqtt.Client) -> None:
        self._client = client
        self.status: ServiceStatus | None = None
        self.sent = 0

    def send(self) -> None:
        self.sent += 1
        payload = json.dumps({"time": datetime.now(UTC).isoformat(), "boot": 1, "seq": self.sent, "spo2": 97})
        self._client.publish("vitalflow/vitals/icu-1/bed-1", payload, qos=1).wait_for_publish(5)

    def problem(self) -> str:
        return "" if self.status is None else self.status.problem


@contextmanager
def ward(broker: BrokerServer) -> Iterator[Ward]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    made = Ward(client)

    def on_message(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        made.status = decode_service_status(bytes(message.payload))

    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe("vitalflow/services/+") and None
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield made
    client.disconnect()
    client.loop_stop()


def test_a_read_only_database_is_named_and_the_log_does_not_advise_to_migrate(
    broker: BrokerServer, own_database: tuple[DatabaseServer, Db], make_ingest: MakeIngest
) -> None:
    _, db = own_database
    ingest = make_ingest(broker.url, db)
    with ward(broker) as bed:
        bed.send()
        eventually(lambda: db.count() == 1, 10, "a row")
        with psycopg.connect(db.owner_url, autocommit=True) as owner:
            owner.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            owner.execute("SELECT pg_reload_conf()")
        bed.send()
        eventually(lambda: "read-only" in bed.problem(), 10, "the status names the read-only database")
        assert ingest.metric("database_blocked") == 1
        services = Services(("ingest",), has_database=False, now=datetime.now(UTC))
        services.connected(datetime.now(UTC))
        assert bed.status is not None
        services.take("ingest", bed.status, False, datetime.now(UTC))
        (outage,) = services.outages(datetime.now(UTC))
        assert outage.text.startswith("Readings are not stored: the database is read-only")
        with psycopg.connect(db.owner_url, autocommit=True) as owner:
            owner.execute("SET default_transaction_read_only = off")
            owner.execute("ALTER SYSTEM RESET default_transaction_read_only")
            owner.execute("SELECT pg_reload_conf()")
        eventually(lambda: db.count() == bed.sent, 15, "every reading is stored once")
        eventually(lambda: not bed.problem(), 10, "the status names no problem any more")
    assert "read-only" in ingest.said()
    assert "migrate" not in ingest.said()


@pytest.mark.slow
def test_a_locked_table_is_named_within_ten_seconds(
    broker: BrokerServer, own_database: tuple[DatabaseServer, Db], make_ingest: MakeIngest
) -> None:
    _, db = own_database
    ingest = make_ingest(broker.url, db)
    with ward(broker) as bed:
        bed.send()
        eventually(lambda: db.count() == 1, 10, "a row")
        with psycopg.connect(db.owner_url) as owner:
            owner.execute("LOCK TABLE patient_vitals IN ACCESS EXCLUSIVE MODE")
            bed.send()
            eventually(lambda: bed.problem(), 10, "the status names a problem")
            eventually(lambda: "holds a lock" in bed.problem(), 15, "the status names the lock")
        eventually(lambda: db.count() == bed.sent, 20, "every reading is stored once")
        eventually(lambda: not bed.problem(), 10, "the status names no problem any more")
    assert "holds a lock" in ingest.said()
