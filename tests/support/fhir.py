"""FHIR resources that tests send."""

from datetime import UTC, datetime
from typing import Any


def heart_rate_at(at: datetime, value: float, *, day_only: bool = False) -> dict[str, Any]:
    """Return an Observation of Device/monitor-1."""
    stamp = at.astimezone(UTC).isoformat()
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": "Patient/77"},
        "effectiveDateTime": stamp[:10] if day_only else stamp,
        "device": {"reference": "Device/monitor-1"},
        "valueQuantity": {"value": value, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    }
