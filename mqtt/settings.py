"""Settings of every program that connects to the broker."""

from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from mqtt.endpoint import BrokerEndpoint
from vitals.settings import NamedFile, Settings


def _mqtt_url(text: str) -> str:
    BrokerEndpoint.parse(text)
    return text


def _mqtt_urls(text: str) -> str:
    BrokerEndpoint.parse_list(text)
    return text


MqttUrl = Annotated[str, AfterValidator(_mqtt_url)]
MqttUrls = Annotated[str, AfterValidator(_mqtt_urls)]


def client_id(default: str) -> Any:
    """Return the field of a client id."""
    return Field(
        default, min_length=1, max_length=64, pattern=r"^[\w.-]+$", description="Names the service at the broker."
    )


def metrics_port(default: int) -> Any:
    """Return the field of the port of /metrics."""
    return Field(default, ge=0, le=65_535, description="Port of Prometheus /metrics; 0 for none.")


def metrics_host() -> Any:
    """Return the field of the address of /metrics."""
    return Field("127.0.0.1", description="Address that /metrics is served on.")


class BrokerSettings(Settings):
    """Address of the broker and login there."""

    mqtt_url: MqttUrls = Field(
        "mqtt://127.0.0.1:1883",
        description="The broker: mqtts://USER:PASSWORD@HOST:PORT; several with commas between them, tried in order.",
    )
    mqtt_password: SecretStr | None = Field(None, description="The password, if it is not part of the URL.")
    mqtt_ca: NamedFile | None = Field(None, description="Certificate of the CA that signed the broker's (ca.crt).")
    mqtt_certificate: NamedFile | None = Field(None, description="Client certificate, instead of a password.")
    mqtt_key: NamedFile | None = Field(None, description="Private key of the client certificate.")

    mqtt_standby_urls: MqttUrls | None = Field(
        None,
        description="Brokers of a pair at their own addresses, where ingest and alert workers keep a session: "
        "mqtts://HOST:PORT, with commas between them.",
    )

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        broker = BrokerEndpoint.parse_list(self.mqtt_url)
        if (self.mqtt_certificate is None) != (self.mqtt_key is None):
            raise ValueError("VITALFLOW_MQTT_CERTIFICATE and VITALFLOW_MQTT_KEY go together; set both or none")
        if self.mqtt_certificate is not None and not broker.tls:
            raise ValueError("VITALFLOW_MQTT_CERTIFICATE needs a VITALFLOW_MQTT_URL that begins with mqtts://")
        if self.mqtt_password is not None and broker.username is None:
            raise ValueError("VITALFLOW_MQTT_PASSWORD needs a user in VITALFLOW_MQTT_URL: mqtts://USER@HOST:PORT")
        return self

    @property
    def broker(self) -> BrokerEndpoint:
        """Address of the broker and credentials there."""
        broker = BrokerEndpoint.parse_list(self.mqtt_url)
        return replace(
            broker,
            password=broker.password if self.mqtt_password is None else self.mqtt_password.get_secret_value(),
            ca=self.mqtt_ca if broker.tls else None,
            certificate=self.mqtt_certificate,
            key=self.mqtt_key,
        )

    @property
    def standby_brokers(self) -> tuple[BrokerEndpoint, ...]:
        """The brokers on which a session is kept for a failover; those of a list, if none are set."""
        broker = self.broker
        if self.mqtt_standby_urls is None:
            return broker.candidates if broker.others else ()
        standby = BrokerEndpoint.parse_list(self.mqtt_standby_urls).candidates
        return tuple(replace(broker, host=one.host, port=one.port, others=()) for one in standby)
