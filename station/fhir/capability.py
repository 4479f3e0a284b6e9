"""The CapabilityStatement: exactly what the FHIR interface can do. Pure."""

from datetime import UTC, datetime

from vitals.fhir import MEDIA_TYPE, PROFILES, Resource, capability, instant

TYPES = {
    "_id": "token",
    "_lastUpdated": "date",
    "category": "token",
    "code": "token",
    "combo-code": "token",
    "date": "date",
    "device": "reference",
    "identifier": "token",
    "patient": "reference",
    "status": "token",
    "subject": "reference",
}
TEXT = (
    "Read-only, JSON only, for users of the station: HTTP Basic. A user gets what was measured in the wards that this "
    "user may see. Observations have the vital signs profile; there is none of NEWS2, which has no LOINC code. "
    "Dates without a time are days in UTC. Subscriptions are not supported: MQTT has the readings as they come."
)
LASTN = "http://hl7.org/fhir/OperationDefinition/Observation-lastn"


def capability_statement(started_at: datetime, parameters: dict[str, tuple[str, ...]], includes: list[str]) -> Resource:
    """Return the CapabilityStatement.

    parameters   names of the search parameters by type of resource
    includes     values of `_include` of Observation
    """
    date = instant(started_at.astimezone(UTC).replace(microsecond=0))
    resources = [_resource(kind, names, includes) for kind, names in parameters.items()]
    rest = {"documentation": TEXT, "resource": resources}
    return capability("VitalFlow", "VitalFlow station", date, ("json", MEDIA_TYPE), rest)


def _resource(kind: str, names: tuple[str, ...], includes: list[str]) -> Resource:
    found: Resource = {
        "type": kind,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "searchParam": [{"name": name, "type": TYPES[name]} for name in names],
    }
    if kind == "Observation":
        found["supportedProfile"] = [PROFILES + "vitalsigns"]
        found["searchInclude"] = includes
        found["operation"] = [{"name": "lastn", "definition": LASTN}]
    return found
