"""The settings of the edges, read once at start."""

from pathlib import Path

from pydantic import Field

from mqtt.settings import BrokerSettings, MqttUrl, client_id, metrics_host, metrics_port
from sql.settings import DatabaseSettings, DatabaseUrl


class EdgesSettings(BrokerSettings):
    """Settings of the edges; each is the environment variable VITALFLOW_ with the name in capitals."""

    edges_client_id: str = client_id("edges")
    edges_credentials: Path | None = Field(None, description="File with the passwords of all beds.")
    edges_metrics_port: int = metrics_port(9466)
    edges_metrics_host: str = metrics_host()


class HomeAssistantSettings(BrokerSettings):
    """Settings of `edges mqtt home-assistant`."""

    edges_home_assistant_client_id: str = client_id("edges-home-assistant")
    edges_home_assistant_metrics_port: int = metrics_port(9473)
    edges_home_assistant_metrics_host: str = metrics_host()
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

    edges_out_client_id: str = client_id("edges-out")
    edges_out_metrics_port: int = metrics_port(9467)
    edges_out_metrics_host: str = metrics_host()
