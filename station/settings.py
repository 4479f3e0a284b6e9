"""The settings of the station, read once at start."""

from pydantic import Field, field_validator, model_validator

from mqtt.settings import BrokerSettings, client_id
from sql.settings import DatabaseSettings, DatabaseUrl
from vitals.settings import NamedFile
from vitals.urls import is_loopback


class StationSettings(BrokerSettings, DatabaseSettings):
    """Settings of the station; each is VITALFLOW_ and the name in capitals. Without a database: no history."""

    station_host: str = Field("127.0.0.1", min_length=1, description="The address that the pages are served on.")
    station_port: int = Field(8080, ge=1, le=65_535, description="The port that the pages are served on.")
    station_certificate: NamedFile | None = Field(None, description="Serve https, with this certificate.")
    station_key: NamedFile | None = Field(None, description="The private key of that certificate.")
    station_allow_http: bool = Field(
        False, description="Serve plain http where other machines can reach it, because a proxy encrypts."
    )
    station_allowed_hosts: str = Field(
        "", description="Host names in the URLs of browsers, with commas; localhost is one."
    )
    station_client_id: str = client_id("station")
    station_services: str = Field("ingest,alerts", description="Services whose outage the pages show, with commas.")
    reader_url: DatabaseUrl | None = Field(None, description="The database, as vitalflow_reader; for history.")
    patient_names: bool = Field(
        False, description="Store names and dates of birth of patients, and show them to users who may act in a ward."
    )
    names_url: DatabaseUrl | None = Field(None, description="The database, as vitalflow_names; for names of patients.")

    @field_validator("station_services")
    @classmethod
    def _are_services(cls, text: str) -> str:
        if text and any(not name or any(mark in name for mark in "+#/") for name in text.split(",")):
            raise ValueError("expected client ids of services with commas between them, like ingest,alerts; or nothing")
        return text

    @model_validator(mode="after")
    def _require_encryption_off_host(self) -> "StationSettings":
        if (self.station_certificate is None) != (self.station_key is None):
            raise ValueError("VITALFLOW_STATION_CERTIFICATE and VITALFLOW_STATION_KEY go together; set both or none")
        if not (self.is_encrypted or self.station_allow_http or is_loopback(self.station_host)):
            raise ValueError(
                f"VITALFLOW_STATION_HOST is {self.station_host!r}, which other machines can reach, and without "
                "encryption passwords and patient data can be read on the network: set VITALFLOW_STATION_CERTIFICATE "
                "and VITALFLOW_STATION_KEY, or keep 127.0.0.1, or, behind a proxy that encrypts or in a "
                "container whose port is published on 127.0.0.1, set VITALFLOW_STATION_ALLOW_HTTP=True"
            )
        return self

    @model_validator(mode="after")
    def _names_have_a_database(self) -> "StationSettings":
        if self.patient_names and self.names_url is None:
            raise ValueError(
                "VITALFLOW_PATIENT_NAMES is true and VITALFLOW_NAMES_URL is not set: names are stored in the database, "
                "as vitalflow_names"
            )
        return self

    @model_validator(mode="after")
    def _reject_mqtt_client_certificate(self) -> "StationSettings":
        if self.mqtt_certificate is not None:
            raise ValueError(
                "VITALFLOW_MQTT_CERTIFICATE is set, and people sign in with passwords at the same port of the broker: "
                "give the station the port for passwords (8883), and a password"
            )
        return self

    @property
    def is_encrypted(self) -> bool:
        """Return whether the station serves https."""
        return self.station_certificate is not None

    @property
    def address(self) -> str:
        """Return the URL of the pages."""
        host = f"[{self.station_host}]" if ":" in self.station_host else self.station_host
        return f"{'https' if self.is_encrypted else 'http'}://{host}:{self.station_port}"

    @property
    def cookie(self) -> str:
        """Return the name of the session cookie, with the port: cookies are shared by all ports of a host."""
        return f"vitalflow-{self.station_port}"

    @property
    def services(self) -> tuple[str, ...]:
        """Return the services whose outage the pages show."""
        return tuple(self.station_services.split(",")) if self.station_services else ()

    @property
    def names(self) -> frozenset[str]:
        """Return the accepted host names, in lower case; addresses are always accepted."""
        given = {name.strip().lower() for name in self.station_allowed_hosts.split(",") if name.strip()}
        return frozenset({"localhost", self.station_host.lower(), *given})
