"""The settings of the station, read once at start."""

from ipaddress import ip_address

from pydantic import Field, field_validator, model_validator

from vitals.settings import DatabaseUrl, Settings


class StationSettings(Settings):
    """What the station needs to know; each is VITALFLOW_ and the name in capitals. Without a database: no history."""

    station_host: str = Field("127.0.0.1", min_length=1, description="The address that the pages are served on.")
    station_port: int = Field(8080, ge=1, le=65_535, description="The port that the pages are served on.")
    station_open: bool = Field(False, description="Serve where other machines can reach it, although nobody logs in.")
    station_names: str = Field("", description="Names that browsers may know it by, with commas; localhost is one.")
    station_client_id: str = Field(
        "station", min_length=1, max_length=64, pattern=r"^[\w.-]+$", description="Names the station at the broker."
    )
    station_services: str = Field("ingest,alerts", description="Services whose absence the pages tell, with commas.")
    reader_url: DatabaseUrl | None = Field(None, description="The database, as vitalflow_reader; for history.")

    @field_validator("station_services")
    @classmethod
    def _are_services(cls, text: str) -> str:
        if text and any(not name or any(mark in name for mark in "+#/") for name in text.split(",")):
            raise ValueError("expected client ids of services with commas between them, like ingest,alerts; or nothing")
        return text

    @model_validator(mode="after")
    def _is_not_open_by_mistake(self) -> "StationSettings":
        if not self.station_open and not is_loopback(self.station_host):
            raise ValueError(
                f"VITALFLOW_STATION_HOST is {self.station_host!r}, which other machines can reach, and nobody logs in: "
                "whoever opens the page sees patients and silences alarms. Keep 127.0.0.1, or, where something before "
                "it keeps strangers out (a container whose port is published on 127.0.0.1), VITALFLOW_STATION_OPEN=True"
            )
        return self

    @property
    def services(self) -> tuple[str, ...]:
        """The services whose absence the pages tell."""
        return tuple(self.station_services.split(",")) if self.station_services else ()

    @property
    def names(self) -> frozenset[str]:
        """The names that a browser may ask for, in lower case; addresses need no name."""
        given = {name.strip().lower() for name in self.station_names.split(",") if name.strip()}
        return frozenset({"localhost", self.station_host.lower(), *given})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what is served there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
