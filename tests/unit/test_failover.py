"""Several brokers: which one the next attempt goes to, when, and which lists are refused."""

import pytest

from mqtt.endpoint import BrokerEndpoint
from mqtt.failover import HOLD_S, STEADY_S, BrokerOrder
from vitals.backoff import Backoff

URLS = "mqtts://ingest:a,b@b1,mqtts://b2:8884, mqtts://b3"


def order(urls: str = URLS) -> BrokerOrder:
    return BrokerOrder(BrokerEndpoint.parse_list(urls), Backoff(1.0, 8.0))


def test_a_list_has_one_login_and_each_candidate_its_own_address() -> None:
    brokers = BrokerEndpoint.parse_list(URLS)
    assert [str(one) for one in brokers.candidates] == [
        "mqtts://ingest@b1:8883",
        "mqtts://ingest@b2:8884",
        "mqtts://ingest@b3:8883",
    ]
    assert {one.password for one in brokers.candidates} == {"a,b"}
    assert {one.client_id("ingest") for one in brokers.candidates} == {brokers.client_id("ingest")}
    assert str(brokers.as_user("bed-1", "x")) == "mqtts://bed-1@b1:8883,mqtts://bed-1@b2:8884,mqtts://bed-1@b3:8883"


@pytest.mark.parametrize(
    ("urls", "sentence"),
    [
        ("mqtt://b1,mqtts://b2", "need the same scheme"),
        ("mqtts://b1,wss://b2", "need the same scheme"),
        ("mqtts://b1,", "empty item"),
        (",mqtts://b1", "empty item"),
        ("mqtts://b1,,mqtts://b2", "empty item"),
        ("mqtts://b1,mqtts://b2,mqtts://b1:8883", "names a broker twice"),
        (",".join(f"mqtts://b{number}" for number in range(9)), "9 brokers; at most 8"),
        ("mqtts://b1:8883,b2:8883", "URL of its own|Port could not"),
        ("mqtts://b1,b2", "URL of its own"),
        ("mqtts://a:s3cret@b1,mqtts://b:s3cret@b2", "have one login"),
        ("mqtts://b1,http://b2", "expected mqtts://"),
    ],
)
def test_a_list_that_cannot_work_is_refused_in_one_sentence_without_its_password(urls: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        BrokerEndpoint.parse_list(urls)
    assert "s3cret" not in str(refused.value)


def test_a_list_is_refused_where_one_broker_is_needed() -> None:
    with pytest.raises(ValueError, match="only one broker"):
        BrokerEndpoint.parse("mqtts://b1,mqtts://b2")


def test_a_round_has_no_pauses_and_the_back_off_follows_each_round() -> None:
    brokers, visited, pauses = order(), [], []
    for number in range(7):
        visited.append(brokers.current.host)
        pauses.append(brokers.ended(number * 10.0))
    assert visited == ["b1", "b2", "b3", "b1", "b2", "b3", "b1"]
    assert pauses == [0, 0, 1, 0, 0, 2, 0]


def test_a_broker_that_restarts_is_tried_again_before_the_next_one() -> None:
    brokers = order()
    brokers.connected()
    assert brokers.ended(100.0, STEADY_S) == 1
    assert brokers.ended(100.0 + HOLD_S / 2) == 2
    assert brokers.current.host == "b1"
    assert brokers.ended(100.0 + HOLD_S) == 0
    assert brokers.current.host == "b2"


def test_a_silent_broker_is_left_at_once_even_if_it_worked_before() -> None:
    brokers = order()
    brokers.connected()
    assert brokers.ended(100.0, 3600.0, silent=True) == 0
    assert brokers.current.host == "b2"


def test_a_broker_that_accepts_and_ends_the_connection_at_once_is_left() -> None:
    brokers = order()
    brokers.connected()
    brokers.ended(100.0, STEADY_S / 2)
    assert brokers.current.host == "b2"


def test_brokers_that_all_accept_and_end_the_connection_are_tried_with_a_back_off() -> None:
    brokers, pauses = order(), []
    for number in range(9):
        brokers.connected()
        pauses.append(brokers.ended(number * 10.0, 0.1))
    assert pauses == [0, 0, 1, 0, 0, 2, 0, 0, 4]


def test_the_broker_that_worked_last_is_the_first_of_the_next_round_and_switches_are_counted() -> None:
    brokers = order()
    brokers.ended(0.0)
    assert not brokers.connected()  # the first connection is no switch
    brokers.ended(100.0, 60.0)
    assert brokers.current.host == "b2"
    assert not brokers.connected()
    brokers.ended(200.0, 60.0, silent=True)
    assert brokers.connected()
    assert (brokers.current.host, brokers.switches) == ("b3", 1)


def test_one_broker_has_only_its_back_off() -> None:
    brokers = order("mqtts://b1")
    assert [brokers.ended(number * 10.0, silent=True) for number in range(4)] == [1, 2, 4, 8]
    assert brokers.describe("it refuses") == "it refuses"
    assert order().describe("it refuses") == "b1:8883: it refuses"
