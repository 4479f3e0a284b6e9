"""Two ingests with `--standby`: one stores, whatever is frozen or killed, and each reading is stored once."""

import signal

from stack.servers import BrokerServer
from tests.fixtures.ingest import IngestProcess, MakeIngest
from tests.support.servers import Db, eventually
from tests.support.watched_ingest import sending_bed


def is_standing_by(ingest: IngestProcess) -> bool | None:
    """Return what /healthz states; None without an answer."""
    try:
        return ingest.health()["standby"] is True
    except OSError:
        return None


def test_a_standby_stores_after_the_active_ingest_was_frozen_and_the_thawed_one_stands_by(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    active = make_ingest(own_broker.url, db, options=["--standby"])
    standby = make_ingest(own_broker.url, db, start=False, options=["--standby"], ingest_client_id=active.client_id)
    standby.start(wait=False)
    eventually(lambda: is_standing_by(standby) is True, 30, "the second one stands by")
    assert standby.metric("standby") == 1
    assert active.process is not None
    with sending_bed(own_broker) as bed:
        bed.send(10)
        eventually(lambda: db.count() == 10, 30, "the active one stores")
        active.process.send_signal(signal.SIGSTOP)
        bed.send(10)
        eventually(lambda: db.count() == 20, 30, "the standby stores")
        active.process.send_signal(signal.SIGCONT)
        eventually(lambda: is_standing_by(active) is True, 30, "the thawed one stands by")
        bed.send(10)
        eventually(lambda: db.count() == 30, 30, "the standby goes on")
        standby.kill()
        bed.send(10)
        eventually(lambda: db.count() == 40, 30, "the former one has taken over")
    assert (is_standing_by(active), active.metric("standby")) == (False, 0)
    assert active.stop() == 0
