"""Two ingests share the readings of a secured broker; one is gone for good, and what its session holds is stored."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from identity.dynsec import connect_dynsec
from identity.enrolment import enroll
from identity.policy import Kind, User
from tests.fixtures.ingest import IngestProcess, MakeIngest
from tests.fixtures.secured import Secured
from tests.support.servers import Db, eventually
from tests.support.watched_ingest import Bed, sending_bed

GROUP = "central"


@pytest.fixture
def bed(own_secured: Secured) -> Iterator[Bed]:
    with sending_bed(own_secured.broker("bed-1")) as made:
        yield made


@pytest.fixture
def second_ingest_user(own_secured: Secured) -> str:
    """A user with the rights of an ingest, as `identity add-service` adds it."""
    user = User("ingest-2", Kind.SERVICE, service="ingest", password="word-of-ingest-2")
    with connect_dynsec(own_secured.broker("admin")) as dynsec:
        enroll(dynsec, [user], own_secured.access.topics, by="a test", now=datetime.now(UTC))
    return user.name


def test_a_member_that_is_gone_for_good_is_drained_by_command(
    own_secured: Secured, second_ingest_user: str, bed: Bed, db: Db, make_ingest: MakeIngest
) -> None:
    def make(user: str, **more: object) -> IngestProcess:
        settings = {"mqtt_ca": own_secured.ca, "ingest_client_id": user, "ingest_share_group": GROUP}
        return make_ingest(own_secured.url_of(user), db, **(settings | more))

    make("ingest")
    gone = make(second_ingest_user)
    bed.send(40)
    eventually(lambda: db.count() == 40, 30, "both store")
    assert 0 < gone.metric("readings_stored_total") < 40
    gone.kill()
    bed.send(40)
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
    bed.send(20)
    eventually(lambda: db.count() == 100, 30, "the one that is left stores all")
    again = make(second_ingest_user, options=["--drain"], start=False).start(wait=False)
    assert again.process is not None
    assert again.process.wait(30) == 0
    assert "the broker had no session" in again.said()
