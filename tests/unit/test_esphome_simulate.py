"""The simulated ESPHome node: the built-in mapping reads what it publishes."""

from datetime import UTC, datetime

from edges.config.site import Site
from edges.mqtt.receive import receive
from edges.mqtt.simulate import messages
from vitals.sample import Sample

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SITE = Site.model_validate(
    {
        "zone": "UTC",
        "mqtt": [{"name": "home", "url": "mqtt://127.0.0.1:1", "mappings": ["esphome"]}],
        "place": [{"equipment": "ring", "source": "home", "ward": "icu-1", "device": "ring-1"}],
    }
)


def test_each_value_is_read_and_a_missing_one_is_no_value() -> None:
    values = {"heart_rate": 71.4, "spo2": 96.6, "temperature": 36.84}
    published = messages("ring", Sample(values))
    found = [receive(topic, text.encode(), SITE.mqtt[0], SITE, NOW) for topic, text in published.items()]
    readings = [item.reading for one in found for item in one.readings]
    read = {key: reading.value(key) for reading in readings for key in values if reading.value(key) is not None}
    assert read == {"heart_rate": 71, "spo2": 97, "temperature": 36.8}
    assert {item.device for one in found for item in one.readings} == {"ring-1"}
    assert published["esphome/ring/sensor/respiratory_rate/state"] == "nan"
    assert [len(one.readings) for one in found] == [1, 1, 0, 1]
