"""The metrics of all services follow Prometheus' conventions (prometheus.io/docs/practices/naming)."""

import math
import re
from unittest.mock import MagicMock

import pytest
from prometheus_client import CollectorRegistry, Metric

import alerts.metrics
import edges.outgoing.metrics
import ingest.metrics
import station.metrics
from ingest.batch import Batch
from ingest.store import WriteResult

REGISTRIES: dict[str, CollectorRegistry] = {
    "ingest": ingest.metrics.Metrics().registry,
    "alerts": alerts.metrics.Metrics().registry,
    "edges_out": edges.outgoing.metrics.Metrics().registry,
    "station": station.metrics.Metrics(*[MagicMock()] * 5).registry,
}
METRICS = [(service, metric) for service, registry in REGISTRIES.items() for metric in registry.collect()]
OTHER_UNITS = {"ms", "millis", "milliseconds", "sec", "secs", "min", "minutes", "hours", "kb", "mb", "percent"}
UNIT_OF_HELP = {"Time": "_seconds", "Age": "_seconds", "Unix time": "_timestamp_seconds", "Bytes": "_bytes"}


@pytest.mark.parametrize(("service", "metric"), METRICS, ids=lambda value: getattr(value, "name", None))
def test_a_metric_follows_the_conventions(service: str, metric: Metric) -> None:
    assert re.fullmatch(rf"vitalflow_{service}(_[a-z]+)+", metric.name)
    words = metric.name.split("_")
    assert not OTHER_UNITS & set(words)
    assert "total" not in words, "the client appends it to counters"
    for start, unit in UNIT_OF_HELP.items():
        if re.match(rf"{start}\b(?! that)", metric.documentation):
            assert metric.name.endswith(unit)
    assert re.match(r"[A-Z1]", metric.documentation)
    assert not metric.documentation.endswith(".")


def test_counters_and_no_other_metric_are_served_with_the_suffix_total() -> None:
    for _, metric in METRICS:
        is_counter = [sample.name.endswith("_total") for sample in metric.samples if "_created" not in sample.name]
        assert set(is_counter) <= {metric.type == "counter"}


def test_the_same_thing_has_the_same_name_in_every_service() -> None:
    texts: dict[str, set[str]] = {}
    for service, metric in METRICS:
        texts.setdefault(metric.name.removeprefix(f"vitalflow_{service}_"), set()).add(metric.documentation)
    assert {"mqtt_connected", "mqtt_connections"} <= texts.keys()
    assert len(texts["mqtt_connected"]) == len(texts["mqtt_connections"]) == 1


def test_rejections_and_unknown_keys_are_counted_for_a_bounded_number_of_devices() -> None:
    metrics = ingest.metrics.Metrics()
    devices = [f"bed-{number}" for number in range(ingest.metrics.MAX_DEVICE_LABELS + 50)]
    for device in devices:
        batch = Batch()
        batch.unknown_keys[device] = 2
        batch.rejections[device] = 1
        metrics.committed(batch, WriteResult(), 0.0, 0.1)
    value = metrics.registry.get_sample_value
    assert value("vitalflow_ingest_unknown_keys_total") == 2 * len(devices)
    assert value("vitalflow_ingest_device_unknown_keys_total", {"device": devices[0]}) == 2
    assert value("vitalflow_ingest_device_unknown_keys_total", {"device": ingest.metrics.OTHER_DEVICES}) == 100
    assert value("vitalflow_ingest_device_messages_rejected_total", {"device": ingest.metrics.OTHER_DEVICES}) == 50


def test_a_standby_that_is_gone_has_no_lag() -> None:
    metrics = ingest.metrics.Metrics()
    metrics.replicated({"a": 10, "b": 20})
    metrics.replicated({"a": 30})
    value = metrics.registry.get_sample_value
    assert value("vitalflow_ingest_replication_lag_bytes", {"standby": "a"}) == 30
    assert value("vitalflow_ingest_replication_lag_bytes", {"standby": "b"}) is None


def test_what_the_broker_dropped_is_unknown_until_it_reports_it() -> None:
    value = alerts.metrics.Metrics().registry.get_sample_value("vitalflow_alerts_broker_dropped_messages")
    assert value is not None
    assert math.isnan(value)
