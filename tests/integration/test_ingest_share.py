"""Two ingests share the readings of a secured broker; one is gone for good, and what its session holds is stored."""

from datetime import UTC, datetime

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from identity.dynsec import connect_dynsec
from identity.enrolment import enroll
from identity.policy import Kind, User
from mqtt.endpoint import configure_client
from tests.fixtures.ingest import IngestProcess, MakeIngest
from tests.fixtures.secured import Secured
from tests.support.servers import Db, eventually
from vitals.codec import encode
from vitals.reading import reading

GROUP = "central"


@pytest.fixture
def second_ingest_user(own_secured: Secured) -> str:
    """A user with the rights of an ingest, as `identity add-service` adds it."""
    user = User("ingest-2", Kind.SERVICE, service="ingest", password="word-of-ingest-2")
    with connect_dynsec(own_secured.broker("admin")) as dynsec:
        enroll(dynsec, [user], own_secured.access.topics, by="a test", now=datetime.now(UTC))
    return user.name


@pytest.fixture
def publishing_bed(own_secured: Secured) -> "Bed":
    return Bed(own_secured)


class Bed:
    """The device bed-1, which numbers its readings."""

    def __init__(self, secured: Secured) -> None:
        broker = secured.broker("bed-1")
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=broker.client_id("bed-1"))
        configure_client(self._client, broker)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self.sent = 0

    def send(self, count: int) -> None:
        for _ in range(count):
            self.sent += 1
            payload = encode(reading(datetime.now(UTC), {"spo2": 97.0}, boot=1, seq=self.sent))
            info = self._client.publish("vitalflow/vitals/icu-1/bed-1", payload, qos=1)
        info.wait_for_publish(30)


def test_a_member_that_is_gone_for_good_is_drained_by_command(
    own_secured: Secured, second_ingest_user: str, publishing_bed: Bed, db: Db, make_ingest: MakeIngest
) -> None:
    def make(user: str, **more: object) -> IngestProcess:
        settings = {"mqtt_ca": own_secured.ca, "ingest_client_id": user, "ingest_share_group": GROUP}
        return make_ingest(own_secured.url_of(user), db, **(settings | more))

    make("ingest")
    gone = make(second_ingest_user)
    publishing_bed.send(40)
    eventually(lambda: db.count() == 40, 30, "both store")
    assert 0 < gone.metric("readings_stored_total") < 40
    gone.kill()
    publishing_bed.send(40)
    eventually(lambda: db.count() > 40, 30, "the other one stores its share")
    wrong = make(second_ingest_user, options=["--drain"], ingest_share_group="other", start=False).start(wait=False)
    assert wrong.process is not None
    assert wrong.process.wait(30) == 2
    assert "has other subscriptions than these settings" in wrong.said()
    assert db.count() < 80
    drain = make(second_ingest_user, options=["--drain"], start=False).start(wait=False)
    assert drain.process is not None
    assert drain.process.wait(30) == 0, drain.said()
    eventually(lambda: db.count() == 80, 30, "nothing is missing")
    assert "and ended it" in drain.said()
    publishing_bed.send(20)
    eventually(lambda: db.count() == 100, 30, "the one that is left stores all")
    again = make(second_ingest_user, options=["--drain"], start=False).start(wait=False)
    assert again.process is not None
    assert again.process.wait(30) == 0
    assert "the broker had no session" in again.said()
