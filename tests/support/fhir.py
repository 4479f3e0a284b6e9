"""FHIR resources that tests send, and a sender that repeats what is not accepted."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.edge import RepeatingSender

TOKEN = "0123456789abcdef0123456789abcdef"


def heart_rate_at(
    at: datetime, value: float, *, day_only: bool = False, device: str = "Device/monitor-1"
) -> dict[str, Any]:
    """Return an Observation of a device."""
    stamp = at.astimezone(UTC).isoformat()
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": "Patient/77"},
        "effectiveDateTime": stamp[:10] if day_only else stamp,
        "device": {"reference": device},
        "valueQuantity": {"value": value, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    }


def fhir_site(folder: Path, devices: Iterable[str]) -> Path:
    """Write a site with a place for each device, named as in FHIR, and a source with a token; return its path."""
    token = folder / "ehr.token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    places = [f'[[place]]\nequipment = "Device/{device}"\nward = "icu-1"\ndevice = "{device}"\n' for device in devices]
    site = folder / "site.toml"
    source = f'[[source]]\nname = "ehr"\ntoken_file = "{token}"\n'
    site.write_text("\n".join(['zone = "UTC"', *places, source]))
    return site


class FhirSender(RepeatingSender):
    """Sends Observations over TLS, each until 2xx."""

    def __init__(self, port: int, bed: str, interval_s: float, ca: Path) -> None:
        super().__init__(port, bed, interval_s)
        self._context = ssl.create_default_context(cafile=str(ca))

    def deliver(self, number: int) -> bool:
        """Send an Observation."""
        content = heart_rate_at(self.at(number), 60 + number % 60, device=f"Device/{self.bed}")
        url = f"https://127.0.0.1:{self.port}/fhir/R4/Observation"
        headers = {"Content-Type": "application/fhir+json", "Authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(url, json.dumps(content).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._context) as answer:
                return bool(answer.status == 201)
        except urllib.error.HTTPError as error:
            with error:
                return False
