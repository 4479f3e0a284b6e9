"""FHIR R4: Observations of other systems become readings."""
