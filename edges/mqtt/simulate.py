"""A simulated ESPHome node: publishes each value of a simulated patient on a topic of its own, as a bare number."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt

from devices.scenario import Scenario
from devices.simulated_ward import simulated_ward
from mqtt.endpoint import BrokerEndpoint, paho_client
from vitals.sample import Sample

_SENSORS = {
    "heart_rate": "heart_rate",
    "spo2": "spo2",
    "resp_rate": "respiratory_rate",
    "temperature": "body_temperature",
}
_DECIMALS = {"temperature": 1}


def messages(node: str, sample: Sample) -> dict[str, str]:
    """Return the payload of each topic; `nan` where a sensor has no value, as ESPHome publishes it."""
    return {
        f"esphome/{node}/sensor/{sensor}/state": f"{sample.values.get(sign, float('nan')):.{_DECIMALS.get(sign, 0)}f}"
        for sign, sensor in _SENSORS.items()
    }


def simulate(
    broker: BrokerEndpoint, node: str, scenario: Scenario, interval_s: float, seconds: float | None
) -> Iterator[int]:
    """Publish at each interval until `seconds` have passed, or for ever; yield the number of messages of each time.

    A sensor keeps nothing: what is measured without a connection is not published.
    """
    [source] = simulated_ward(1, ward="simulated", boot=0, scenario=scenario, interval_s=interval_s)
    with _connected(broker, f"esphome-{node}") as client:
        begin = time.monotonic()
        for due, sample in source.samples:
            if seconds is not None and due > seconds:
                return
            time.sleep(max(0.0, begin + due - time.monotonic()))
            if sample is None or not client.is_connected():
                yield 0
                continue
            published = [client.publish(topic, text, qos=1) for topic, text in messages(node, sample).items()]
            yield len(published)


@contextmanager
def _connected(broker: BrokerEndpoint, client_id: str) -> Iterator[mqtt.Client]:
    """Stay connected for the time of the block."""
    client = paho_client(broker, client_id=client_id)
    client.reconnect_delay_set(1, 5)
    client.connect_async(broker.host, broker.port, keepalive=15)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()
