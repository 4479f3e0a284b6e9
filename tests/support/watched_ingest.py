"""A client that sends readings of one bed and listens to the status of ingest."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from mqtt.endpoint import BrokerEndpoint, configure_client
from mqtt.service_status import ServiceStatus, decode_service_status
from stack.servers import BrokerServer


class Bed:
    """A bed with numbered readings."""

    def __init__(self, client: mqtt.Client) -> None:
        self._client = client
        self.status: ServiceStatus | None = None
        self.sent = 0

    def send(self, readings: int = 1) -> None:
        """Send readings and wait until the broker has acknowledged them."""
        for _ in range(readings):
            self.sent += 1
            payload = json.dumps({"time": datetime.now(UTC).isoformat(), "boot": 1, "seq": self.sent, "spo2": 97})
            sent = self._client.publish("vitalflow/vitals/icu-1/bed-1", payload, qos=1)
        sent.wait_for_publish(30)

    def problem(self) -> str:
        """Return what the status of ingest names; empty if nothing."""
        return "" if self.status is None else self.status.problem


@contextmanager
def sending_bed(broker: BrokerServer | BrokerEndpoint) -> Iterator[Bed]:
    """Connect a bed for the time of the block; a secured broker is given as one of its users."""
    endpoint = BrokerEndpoint.parse(broker.url) if isinstance(broker, BrokerServer) else broker
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=endpoint.client_id("bed-1"))
    configure_client(client, endpoint)
    bed = Bed(client)

    def on_message(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        bed.status = decode_service_status(bytes(message.payload))

    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe("vitalflow/services/+") and None
    client.connect(endpoint.host, endpoint.port)
    client.loop_start()
    yield bed
    client.disconnect()
    client.loop_stop()
