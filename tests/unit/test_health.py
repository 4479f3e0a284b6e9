"""The container health check: a page of metrics, and the kernel's table of connections."""

from prometheus_client import generate_latest

from alerts.metrics import Metrics as AlertsMetrics
from ingest.metrics import Metrics as IngestMetrics
from mqtt.health import find_problem, has_remote_connection

TITLE = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   0: 030012AC:{local} {remote} {state} 00000000:00000000 00:00000000 00000000 10001        0 1234 1\n"


def test_a_service_is_healthy_once_it_is_connected() -> None:
    for metrics in (IngestMetrics(), AlertsMetrics()):
        page = generate_latest(metrics.registry).decode()
        assert find_problem(page) == "not connected to the broker"
        metrics.mqtt_connected.set(1)
        assert find_problem(generate_latest(metrics.registry).decode()) is None


def test_a_service_that_waits_for_the_database_is_unhealthy() -> None:
    metrics = IngestMetrics()
    metrics.mqtt_connected.set(1)
    metrics.database_blocked.set(1)
    assert (
        find_problem(generate_latest(metrics.registry).decode())
        == "waiting for the database (vitalflow_ingest_database_blocked)"
    )


def test_a_page_without_connection_metric_is_unhealthy() -> None:
    assert find_problem("") == "not connected to the broker"


def test_only_established_connections_to_other_machines_count() -> None:
    assert has_remote_connection(TITLE + ROW.format(local="8C3A", remote="020012AC:075B", state="01"))
    for remote, state in [("020012AC:075B", "02"), ("0100007F:075B", "01"), ("0B00007F:9D3B", "01")]:
        assert not has_remote_connection(TITLE + ROW.format(local="8C3A", remote=remote, state=state))
    assert not has_remote_connection(TITLE)
