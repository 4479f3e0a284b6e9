"""The settings of the edges, read once at start."""

from pathlib import Path

from pydantic import Field

from mqtt.settings import BrokerSettings, MqttUrl
from sql.settings import DatabaseSettings, DatabaseUrl


class EdgesSettings(BrokerSettings):
    """Settings of the edges; each is the environment variable VITALFLOW_ with the name in capitals."""

    edges_client_id: str = Field(
        "edges", min_length=1, max_length=64, pattern=r"^[\w.-]+$", description="Names the service at the broker."
    )
    edges_credentials: Path | None = Field(None, description="File with the passwords of all beds.")
    edges_metrics_port: int = Field(9466, ge=0, le=65_535, description="Port of Prometheus /metrics; 0 for none.")
    edges_metrics_host: str = Field("127.0.0.1", description="Address that /metrics is served on.")


class HomeAssistantSettings(BrokerSettings):
    """Settings of `edges mqtt home-assistant`."""

    edges_home_assistant_client_id: str = Field(
        "edges-home-assistant",
        min_length=1,
        max_length=64,
        pattern=r"^[\w.-]+$",
        description="Names the service at the broker.",
    )
    edges_home_assistant_metrics_port: int = Field(
        9473, ge=0, le=65_535, description="Port of Prometheus /metrics; 0 for none."
    )
    edges_home_assistant_metrics_host: str = Field("127.0.0.1", description="Address that /metrics is served on.")
    home_assistant_url: MqttUrl | None = Field(
        None, description="Home Assistant's broker, if it is not VitalFlow's: mqtt://USER:PASSWORD@HOST:PORT."
    )
    home_assistant_ca: Path | None = Field(None, description="Certificate of the CA that signed that broker's.")


class ExportSettings(DatabaseSettings):
    """Settings of `edges fhir export`."""

    reader_url: DatabaseUrl = Field(description="The database as vitalflow_reader.")


class EdgesOutSettings(BrokerSettings):
    """Settings of a process that sends alerts or readings; each is the environment variable VITALFLOW_ with the name in
    capitals.
    """

    edges_out_client_id: str = Field(
        "edges-out", min_length=1, max_length=64, pattern=r"^[\w.-]+$", description="Names the service at the broker."
    )
    edges_out_metrics_port: int = Field(9467, ge=0, le=65_535, description="Port of Prometheus /metrics; 0 for none.")
    edges_out_metrics_host: str = Field("127.0.0.1", description="Address that /metrics is served on.")
