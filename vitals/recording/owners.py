"""Find out whether the rows of a file are of several patients or beds. Pure."""

MAX_REMEMBERED = 100_000

# The first one that a file has identifies a stay, by which `only_patient` selects.
PATIENT_COLUMNS = (
    "patientunitstayid", "stayid", "icustayid", "hadmid", "encounterid", "visitid", "subjectid", "subject",
    "patientid", "patient", "patientnumber", "patientno", "personid", "mrn", "caseid",
)  # fmt: skip
# What else shows several patients or beds: their rows would become the readings of one. No number of a patient.
OTHER_COLUMNS = frozenset(
    (
        "deviceid", "device", "bed", "bedid", "bedno", "bednumber", "monitor", "monitorid", "patientname", "person",
        "participant", "participantid", "resident", "residentid", "client", "clientid", "user", "userid", "username",
        "case", "caseno", "casenumber", "room", "roomno", "roomnumber", "sensorid", "serial", "serialno",
        "serialnumber", "host", "hostname", "patientenid", "patientennummer", "fallnummer",
        "bett", "bettnummer", "zimmer", "geratid",
    )
)  # fmt: skip
AMBIGUOUS_COLUMNS = frozenset(("id", "name"))
"""Columns that name a patient, or each row, or the only patient."""


class Repeated:
    """The values of one of AMBIGUOUS_COLUMNS, of which some occur again if they name patients."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._is_repeated = False

    def is_several(self, value: str) -> bool:
        """Add the value of a row, and return whether the rows so far are of several patients."""
        if value in self._seen:
            self._is_repeated = True
        elif value and len(self._seen) < MAX_REMEMBERED:
            self._seen.add(value)
        return self._is_repeated and len(self._seen) > 1
