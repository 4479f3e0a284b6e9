"""The settings of ingest, read once at start."""

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from mqtt.settings import BrokerSettings, client_id, metrics_host, metrics_port
from sql.settings import DatabaseSettings, DatabaseUrl
from vitals.receipt import RECEIPT_INTERVAL_S


class IngestSettings(BrokerSettings, DatabaseSettings):
    """Settings of ingest; each is the environment variable VITALFLOW_ with the name in capitals."""

    ingest_url: DatabaseUrl = Field(description="URL of the database, with the login vitalflow_ingest.")
    ingest_client_id: str = client_id("ingest")
    ingest_broker_conf: Path | None = Field(
        None, description="Path of the broker's mosquitto.conf; settings that lose data are logged at the start."
    )
    ingest_share_group: str = Field(
        "",
        max_length=64,
        pattern=r"^[\w.-]*$",
        description="Shared subscription group; its ingests divide the readings among them.",
    )
    ingest_batch_size: int = Field(1000, ge=1, le=20_000, description="Maximum messages per transaction.")
    ingest_linger_s: float = Field(0.4, gt=0, le=10, description="Maximum batching delay (linger), in seconds.")
    ingest_receive_maximum: int = Field(
        4000, ge=2, le=65_535, description="Maximum messages received and not yet stored (MQTT receive maximum)."
    )
    ingest_metrics_port: int = metrics_port(9464)
    ingest_metrics_host: str = metrics_host()
    ingest_receipt_every_s: float = Field(
        RECEIPT_INTERVAL_S, ge=0, le=3600, description="Seconds between two receipts to a device; 0 for none."
    )
    durability: Literal["local", "synchronous"] = Field(
        "local",
        description="synchronous: store, and send receipts, only while a commit waits for a synchronous standby.",
    )
    raw_retention_days: int = Field(
        30, ge=1, le=36_500, description="Readings older than this number of days are rejected."
    )

    @model_validator(mode="after")
    def _check_receive_maximum(self) -> Self:
        # One batch is written while the next one fills; with less, the broker pauses in between.
        if self.ingest_receive_maximum < 2 * self.ingest_batch_size:
            least = 2 * self.ingest_batch_size
            raise ValueError(
                f"VITALFLOW_INGEST_RECEIVE_MAXIMUM is {self.ingest_receive_maximum}; with VITALFLOW_INGEST_BATCH_SIZE "
                f"{self.ingest_batch_size} it must be at least {least}: raise it or lower the batch size"
            )
        return self

    @property
    def retention(self) -> timedelta:
        """The maximum age of a reading that is stored."""
        return timedelta(days=self.raw_retention_days)
