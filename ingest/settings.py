"""The settings of ingest, read once at start."""

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from mqtt.settings import BrokerSettings
from sql.settings import DatabaseSettings, DatabaseUrl
from vitals.receipt import RECEIPT_INTERVAL_S


class IngestSettings(BrokerSettings, DatabaseSettings):
    """What ingest needs to know; each is VITALFLOW_ and the name in capitals."""

    ingest_url: DatabaseUrl = Field(description="The database, as vitalflow_ingest.")
    ingest_client_id: str = Field(
        "ingest", min_length=1, max_length=64, pattern=r"^[\w.-]+$", description="Names the session at the broker."
    )
    ingest_broker_conf: Path | None = Field(
        None, description="The broker's mosquitto.conf, where it can be read: warn of what in it loses data."
    )
    ingest_share_group: str = Field(
        "", max_length=64, pattern=r"^[\w.-]*$", description="Share the readings with other ingests of this group."
    )
    ingest_batch_size: int = Field(1000, ge=1, le=20_000, description="Messages in one transaction, at most.")
    ingest_linger_s: float = Field(0.4, gt=0, le=10, description="Seconds a message waits for company, at most.")
    ingest_receive_maximum: int = Field(
        4000, ge=2, le=65_535, description="Messages held and not yet stored, at most; at least twice the batch."
    )
    ingest_metrics_port: int = Field(9464, ge=0, le=65_535, description="Prometheus /metrics; 0 for none.")
    ingest_metrics_host: str = Field("127.0.0.1", description="The address that /metrics is served on.")
    ingest_receipt_every_s: float = Field(
        RECEIPT_INTERVAL_S, ge=0, le=3600, description="Seconds between two receipts to a device; 0 for none."
    )
    raw_retention_days: int = Field(30, ge=1, le=36_500, description="Readings older than this are refused.")

    @model_validator(mode="after")
    def _window_holds_two_batches(self) -> Self:
        # One batch is being written while the next one fills; with less room the broker falls silent in between.
        if self.ingest_receive_maximum < 2 * self.ingest_batch_size:
            least = 2 * self.ingest_batch_size
            raise ValueError(
                f"VITALFLOW_INGEST_RECEIVE_MAXIMUM is {self.ingest_receive_maximum}; with VITALFLOW_INGEST_BATCH_SIZE "
                f"{self.ingest_batch_size} it must be at least {least}: raise the window or lower the batch"
            )
        return self

    @property
    def retention(self) -> timedelta:
        """How old a reading may be to be stored."""
        return timedelta(days=self.raw_retention_days)
