"""The FHIR R4 interface of the station, read-only, below /fhir/R4.

`routes` answers requests and `store` queries the database; the other modules are pure.
"""
