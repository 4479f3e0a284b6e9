"""State what the listener can do (GET /fhir/R4/metadata)."""

from typing import Any

from vitals.version import VERSION

RELEASED = "2026-11-29"  # when this statement changed last


def capability_statement() -> dict[str, Any]:
    """Return the CapabilityStatement of the listener."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": RELEASED,
        "kind": "instance",
        "software": {"name": "VitalFlow edges", "version": VERSION},
        "implementation": {"description": "Receives vital signs. They are read at the station."},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "documentation": "NDJSON of Observations may be posted in place of a Bundle. A repeat of a document "
                "gets the first answer and is stored once. An update is stored as a further value. Nothing is read or "
                "deleted here.",
                "security": {"description": "A bearer token for each sender."},
                "resource": [
                    {
                        "type": "Observation",
                        "interaction": [{"code": "create"}, {"code": "update"}],
                        "versioning": "no-version",
                    }
                ],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }
