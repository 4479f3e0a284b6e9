"""Devices and receipts on a real broker: nothing is forgotten before its receipt, nothing sent again without need."""

import time

import pytest

from devices import publisher, unconfirmed
from stack.servers import Broker
from tests.fix_fleet import fleet
from tests.fix_receipts import played_ingest
from tests.fix_servers import eventually

WARD, BED = "icu-1", "icu-1-bed-01"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-outs of the protocol, ten times as short."""
    monkeypatch.setattr(unconfirmed, "RESEND_AFTER_S", 1.5)
    monkeypatch.setattr(publisher, "RESEND_EVERY_S", 0.5)


@pytest.mark.usefixtures("hasty")
def test_what_the_broker_took_and_lost_is_sent_again_in_order_until_its_receipt(broker: Broker) -> None:
    with played_ingest(broker.port) as ingest, fleet(broker.url, 3, 10) as running:
        ingest.blind = lambda name, before: 15 <= name[2] < 30 and before < 2
        eventually(lambda: running.tally.resent >= 90, 20, "both resends of the fifteen lost ones")
        eventually(lambda: running.tally.confirmed > 200, 10, "receipts go on")
        running.stop()
        assert running.tally.unconfirmed == running.tally.dropped == 0
        assert len(ingest.stored) == running.tally.produced == running.tally.confirmed
        for device in {name[0] for name in ingest.heard}:
            again = [seq for d, _, seq in ingest.heard if d == device and 15 <= seq < 30]
            assert again == [*range(15, 30)] * 3, "in order, and nothing else"
    assert len(ingest.heard) == len(ingest.stored) + 3 * 2 * 15


@pytest.mark.usefixtures("hasty")
def test_a_broker_that_died_with_its_queue_costs_nothing(own_broker: Broker) -> None:
    with played_ingest(own_broker.port) as ingest, fleet(own_broker.url, 5, 10) as running:
        eventually(lambda: running.tally.confirmed > 20, 10, "receipts are in use")
        ingest.blind = lambda name, before: True  # what the broker now has dies with it
        time.sleep(1)
        own_broker.kill()
        own_broker.start()
        ingest.blind = lambda name, before: False
        eventually(lambda: running.tally.resent >= 40, 20, "the lost ones are sent again")
        running.stop()
        assert len(ingest.stored) == running.tally.produced
        assert running.tally.unconfirmed == 0


@pytest.mark.usefixtures("hasty")
def test_without_receipts_a_device_is_a_plain_mqtt_device(broker: Broker) -> None:
    with played_ingest(broker.port) as ingest, fleet(broker.url, 3, 10) as running:
        ingest.silent = True
        time.sleep(4)
        begun = time.monotonic()
        running.stop()
        assert time.monotonic() - begun < 2, "it waits for no receipt"
        assert running.tally.resent == running.tally.waiting == running.tally.unconfirmed == 0
        assert len(ingest.heard) == len(ingest.stored) == running.tally.produced


@pytest.mark.usefixtures("hasty")
def test_while_the_database_is_away_nothing_is_sent_again_and_the_first_receipt_ends_it(broker: Broker) -> None:
    with played_ingest(broker.port) as ingest, fleet(broker.url, 3, 10) as running:
        eventually(lambda: running.tally.confirmed > 10, 10, "receipts are in use")
        ingest.silent = True
        time.sleep(4)
        assert running.tally.resent == 0, "late is not lost"
        assert running.tally.unconfirmed > 60
        ingest.silent = False
        eventually(lambda: running.tally.unconfirmed < 30, 5, "receipts for all")
        running.stop()
        assert (running.tally.resent, running.tally.unconfirmed) == (0, 0)
        assert len(ingest.heard) == len(ingest.stored)
