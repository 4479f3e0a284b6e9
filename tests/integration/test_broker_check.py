"""The check of a broker on real ones: by the services at their start, and by the command."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from mqtt.broker_check import check_broker
from mqtt.broker_features import Feature
from mqtt.broker_log import LOG_TOPICS
from mqtt.endpoint import BrokerEndpoint
from mqtt.session import SESSION_EXPIRY_S
from stack.servers import BrokerServer, free_port
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.support.process import run_module
from tests.support.servers import Db, eventually
from vitals.errors import TransientError


def test_the_rights_of_each_service_suffice_for_its_check_and_a_device_has_none(shared_secured: Secured) -> None:
    def check(user: str) -> dict[Feature, str | None]:
        topic = f"vitalflow/services/{user}"
        broker = shared_secured.broker(user)
        shared = user == "ingest"
        sys_filters = {"ingest": LOG_TOPICS, "alerts": ("$SYS/broker/messages/#",)}.get(user, ())
        return dict(check_broker(broker, topic, SESSION_EXPIRY_S, sys_filters=sys_filters, shared=shared))

    with ThreadPoolExecutor() as pool:
        ingest, alerts, edges = pool.map(check, ("ingest", "alerts", "edges"))
    assert ingest == dict.fromkeys(Feature)
    assert alerts == dict.fromkeys(set(Feature) - {Feature.SHARED})
    assert edges == dict.fromkeys(set(Feature) - {Feature.SHARED, Feature.SYS})
    with pytest.raises(TransientError, match="Not authorized"):
        check("bed-1")


def test_ingest_checks_its_broker_and_shows_what_it_found(
    broker: BrokerServer, db: Db, make_ingest: MakeIngest
) -> None:
    ingest = make_ingest(broker.url, db, ingest_share_group="group")
    eventually(lambda: ingest.metric("mqtt_broker_feature") == len(Feature), 30, "every feature")
    assert ingest.health()["broker_lacks"] == []


def test_the_command_checks_each_broker_of_the_list(broker: BrokerServer) -> None:
    dead = BrokerEndpoint("127.0.0.1", free_port())
    environment = {**os.environ, "VITALFLOW_MQTT_URL": f"{broker.url},{dead}"}
    checked = run_module("vitalflow", "identity", "check-broker", environ=environment)
    first, second = checked.stdout.splitlines()
    assert f"127.0.0.1:{broker.port}: nothing is missing of retained_wildcard, " in first
    assert f"{dead.address}: not checked: " in second
    assert checked.returncode == 1
