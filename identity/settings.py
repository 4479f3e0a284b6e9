"""Settings for enrolment and certificates, read once at start."""

import socket
from dataclasses import replace
from pathlib import Path

from pydantic import Field, field_validator

from identity.authority import CertificateAuthority
from mqtt.endpoint import BrokerEndpoint
from mqtt.settings import BrokerSettings, MqttUrl, MqttUrls
from vitals.errors import PermanentError, login_name

LOCAL = ("localhost", "127.0.0.1", "broker")


class IdentitySettings(BrokerSettings):
    """Each setting is the variable VITALFLOW_ and the name in capitals."""

    admin_url: MqttUrls | None = Field(
        None,
        description="The broker, as its admin: mqtts://admin:PASSWORD@HOST:PORT; several with commas between them, "
        "and a change is made at each.",
    )
    devices_url: MqttUrl | None = Field(
        None, description="Where devices connect, if not at the admin's address: mqtts://HOST:PORT."
    )
    ca_dir: Path | None = Field(None, description="The CA's folder, where certificates are made.")
    broker_hostnames: str = Field(
        "", description="Further host names for the broker's certificate, separated by commas."
    )
    mqtt_certificate_port: int = Field(8884, ge=1, le=65_535, description="Port for devices with a certificate.")
    mqtt_plaintext_port: int | None = Field(
        None, ge=1, le=65_535, description="Additional plaintext port on 127.0.0.1."
    )
    mqtt_websockets_port: int | None = Field(
        None, ge=1, le=65_535, description="Additional port for MQTT over WebSockets with TLS."
    )

    @field_validator("devices_url", mode="before")
    @classmethod
    def _one_address(cls, url: object) -> object:
        if isinstance(url, str) and BrokerEndpoint.parse_list(url).others:
            raise ValueError(
                "one address is possible, which enrolment writes for the device; for a list of brokers set "
                "VITALFLOW_MQTT_URL of the device afterwards"
            )
        return url

    @property
    def further_broker_names(self) -> list[str]:
        """The names of broker_hostnames."""
        return [name.strip() for name in self.broker_hostnames.split(",") if name.strip()]

    @property
    def broker_names(self) -> list[str]:
        """Host names and addresses for the broker's certificate."""
        return list(dict.fromkeys([*LOCAL, socket.gethostname(), *self.further_broker_names]))

    @property
    def authority(self) -> CertificateAuthority:
        """The CA; raises PermanentError if ca_dir is not set."""
        if self.ca_dir is None:
            raise PermanentError(
                "VITALFLOW_CA_DIR is not set: the folder of the CA, such as .stack/identity on the machine that has it"
            )
        return CertificateAuthority(self.ca_dir)

    @property
    def admin(self) -> BrokerEndpoint:
        """The broker or the list, as its admin; raises PermanentError if admin_url is not set."""
        return self._as_admin.broker

    @property
    def _as_admin(self) -> "IdentitySettings":
        if self.admin_url is None:
            raise PermanentError(
                "VITALFLOW_ADMIN_URL is not set, so nothing can be enrolled or revoked; with a local stack: "
                'eval "$(.venv/bin/vitalflow dev env)"'
            )
        return self.model_copy(update={"mqtt_url": self.admin_url, "mqtt_password": None, **NO_CERTIFICATE})

    @property
    def pair(self) -> tuple[BrokerEndpoint, ...]:
        """The brokers of a pair or a list, as their admin: a change of users is made at each."""
        admin, brokers = self.admin, self._as_admin.standby_brokers or self.standby_brokers
        return tuple(replace(admin, host=one.host, port=one.port, others=()) for one in brokers)

    @property
    def administrator(self) -> str:
        """Return who enrols and revokes, for the audit record: the administrator, else this machine's user."""
        name = self.admin.username
        return login_name() if name in (None, "admin") else name

    def device_endpoint(self, *, certificate: bool) -> tuple[str, int]:
        """Return host and port where a device connects with a certificate, or with a password."""
        endpoint = self.admin if self.devices_url is None else BrokerEndpoint.parse(self.devices_url)
        return endpoint.host, self.mqtt_certificate_port if certificate else endpoint.port


NO_CERTIFICATE = {"mqtt_certificate": None, "mqtt_key": None}
