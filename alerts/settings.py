"""The settings of the alert worker, read once at start."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, field_validator

from alerts.rulefile.parser import DEFAULT
from mqtt.settings import BrokerSettings, client_id, metrics_host, metrics_port


class AlertsSettings(BrokerSettings):
    """What the worker needs to know; each is VITALFLOW_ and the name in capitals. No database: an alarm needs none."""

    alerts_client_id: str = client_id("alerts")
    alerts_rules: Path | None = Field(None, description="The rule file; without it the rules that VitalFlow ships.")
    alerts_wards: str = Field("+", description="Wards to watch, with commas; + for all. Each worker its own.")
    alerts_metrics_port: int = metrics_port(9465)
    alerts_metrics_host: str = metrics_host()
    raw_retention_days: int = Field(30, ge=1, le=36_500, description="Readings older than this are refused.")

    @field_validator("alerts_wards")
    @classmethod
    def _are_wards(cls, text: str) -> str:
        if any(not ward or "#" in ward or "/" in ward or ("+" in ward and text != "+") for ward in text.split(",")):
            raise ValueError("expected ward names with commas between them, or + for all wards")
        return text

    @property
    def wards(self) -> list[str]:
        """The wards, each a level of a topic filter."""
        return self.alerts_wards.split(",")

    @property
    def rules_path(self) -> Path:
        """Where the rules are."""
        return self.alerts_rules or DEFAULT

    @property
    def retention(self) -> timedelta:
        """Maximum age of a reading; ingest and the alert worker refuse older ones."""
        return timedelta(days=self.raw_retention_days)
