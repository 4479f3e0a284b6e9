"""State what the listener can do (GET /fhir/R4/metadata)."""

from vitals.fhir import MEDIA_TYPE, Resource, capability

RELEASED = "2026-11-29"  # when this statement changed last


def capability_statement() -> Resource:
    """Return the CapabilityStatement of the listener."""
    observation = {
        "type": "Observation",
        "interaction": [{"code": "create"}, {"code": "update"}],
        "versioning": "no-version",
    }
    rest = {
        "documentation": "NDJSON of Observations may be posted in place of a Bundle. A repeat of a document gets the "
        "first answer and is stored once. An update is stored as a further value. Nothing is read or deleted here.",
        "security": {"description": "A bearer token for each sender."},
        "resource": [observation],
        "interaction": [{"code": "transaction"}, {"code": "batch"}],
    }
    about = "Receives vital signs. They are read at the station."
    return capability("VitalFlow edges", about, RELEASED, (MEDIA_TYPE,), rest)
