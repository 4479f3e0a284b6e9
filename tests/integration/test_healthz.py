"""/healthz of ingest, alert worker and station while broker and database stop, freeze and come back."""

import json
import signal
import urllib.error
import urllib.request

from stack.servers import BrokerServer, DatabaseServer
from tests.fixtures.alerts import MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.station import MakeStation
from tests.support.servers import Db, eventually


def healthz(port: int) -> tuple[int, str]:
    """Return the status code and the reason."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return answer.status, str(json.load(answer)["reason"])
    except urllib.error.HTTPError as error:
        return error.code, str(json.load(error)["reason"])


def test_ingest_reports_a_stopped_database_although_nothing_arrives(
    broker: BrokerServer, own_database: tuple[DatabaseServer, Db], make_ingest: MakeIngest
) -> None:
    server, db = own_database
    ingest = make_ingest(broker.url, db)
    assert healthz(ingest.metrics_port) == (200, "None")
    server.stop_at_once()
    status, reason = healthz(ingest.metrics_port)
    assert status == 503
    assert reason.startswith(f"the database at postgresql://vitalflow_ingest@127.0.0.1:{server.port}/")
    assert "Connection refused" in reason
    server.start()
    eventually(lambda: healthz(ingest.metrics_port)[0] == 200, 10, "healthy again")


def test_each_service_reports_a_frozen_and_a_stopped_broker(
    own_broker: BrokerServer, db: Db, make_ingest: MakeIngest, make_alerts: MakeAlerts, make_station: MakeStation
) -> None:
    ports = [make_ingest(own_broker.url, db).metrics_port, make_alerts(own_broker.url).metrics_port]
    eventually(lambda: [healthz(port)[0] for port in ports] == [200, 200], 10, "both healthy")
    own_broker.signal(signal.SIGSTOP)
    try:
        frozen = "has not returned a heartbeat"
        eventually(lambda: all(frozen in healthz(port)[1] for port in ports), 15, "a frozen broker")
    finally:
        own_broker.signal(signal.SIGCONT)
    eventually(lambda: [healthz(port)[0] for port in ports] == [200, 200], 15, "both healthy again")
    station = make_station(own_broker.url)
    assert healthz(station.port)[0] == 200
    own_broker.stop()
    ports.append(station.port)
    eventually(lambda: [healthz(port)[0] for port in ports] == [503, 503, 503], 10, "no broker")
