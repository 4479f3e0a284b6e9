"""What a container's health check makes of a page of metrics and of the kernel's table of connections."""

from prometheus_client import generate_latest

from alerts.metrics import Metrics as AlertsMetrics
from ingest.metrics import Metrics as IngestMetrics
from mqtt.health import reaches_out, trouble

TITLE = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   0: 030012AC:{local} {remote} {state} 00000000:00000000 00:00000000 00000000 10001        0 1234 1\n"


def test_a_service_is_well_once_it_is_connected() -> None:
    for metrics in (IngestMetrics(), AlertsMetrics()):
        page = generate_latest(metrics.registry).decode()
        assert trouble(page) == "not connected to the broker"
        metrics.connected.set(1)
        assert trouble(generate_latest(metrics.registry).decode()) is None


def test_a_service_that_waits_for_the_database_is_not_well() -> None:
    metrics = IngestMetrics()
    metrics.connected.set(1)
    metrics.waiting.set(1)
    assert trouble(generate_latest(metrics.registry).decode()) == "waiting for the database (vitalflow_ingest_waiting)"


def test_a_page_that_says_nothing_of_a_connection_is_no_good_news() -> None:
    assert trouble("") == "not connected to the broker"


def test_a_connection_counts_where_it_is_established_and_leaves_the_machine() -> None:
    assert reaches_out(TITLE + ROW.format(local="8C3A", remote="020012AC:075B", state="01"))
    for remote, state in [("020012AC:075B", "02"), ("0100007F:075B", "01"), ("0B00007F:9D3B", "01")]:
        assert not reaches_out(TITLE + ROW.format(local="8C3A", remote=remote, state=state))
    assert not reaches_out(TITLE)
