"""The settings of whoever lets people and devices in, read once at start."""

import socket
from pathlib import Path

from pydantic import Field

from mqtt.endpoint import BrokerEndpoint
from mqtt.settings import BrokerSettings, MqttUrl
from vitals.errors import PermanentError

LOCAL = ("localhost", "127.0.0.1", "broker")


class IdentitySettings(BrokerSettings):
    """What enrolment needs to know; each is VITALFLOW_ and the name in capitals."""

    admin_url: MqttUrl | None = Field(None, description="The broker as its admin: mqtts://admin:PASSWORD@HOST:PORT.")
    devices_url: MqttUrl | None = Field(
        None, description="Where devices connect, where that is not where the admin does: mqtts://HOST:PORT."
    )
    ca_dir: Path | None = Field(None, description="The CA's folder, where certificates are made.")
    broker_hostnames: str = Field("", description="Further names of the broker for its certificate, with commas.")
    mqtt_certificate_port: int = Field(8884, ge=1, le=65_535, description="Where devices with a certificate connect.")
    mqtt_plaintext_port: int | None = Field(
        None, ge=1, le=65_535, description="A further port, on 127.0.0.1, where everything can be read on the way."
    )

    @property
    def broker_names(self) -> list[str]:
        """What the broker's certificate is for."""
        further = [name.strip() for name in self.broker_hostnames.split(",") if name.strip()]
        return list(dict.fromkeys([*LOCAL, socket.gethostname(), *further]))

    @property
    def admin(self) -> BrokerEndpoint:
        """The broker, as its admin; raises PermanentError where we are not told how."""
        if self.admin_url is None:
            raise PermanentError(
                "VITALFLOW_ADMIN_URL is not set, so nobody can be let in or turned away; with a stack: "
                'eval "$(.venv/bin/vitalflow dev env)"'
            )
        return self.model_copy(update={"mqtt_url": self.admin_url, "mqtt_password": None, **NO_CERTIFICATE}).broker

    def device_endpoint(self, *, certificate: bool) -> tuple[str, int]:
        """Host and port for a device, by what it shows there."""
        there = self.admin if self.devices_url is None else BrokerEndpoint.parse(self.devices_url)
        return there.host, self.mqtt_certificate_port if certificate else there.port


NO_CERTIFICATE = {"mqtt_certificate": None, "mqtt_key": None}
