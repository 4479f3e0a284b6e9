"""Find out whether the rows of a file are of several patients or beds. Pure."""

from vitals.recording.names import plain

MAX_REMEMBERED = 100_000

_NUMBERS = ("", "id", "no", "nr", "number", "nummer", "n°", "番号", "编号", "號", "号")


def _numbered(words: str) -> tuple[str, ...]:
    """Return the plain names of columns that begin with one of the words, or end with it after `id`."""
    found = [f"{word}{number}" for word in words.split() for number in _NUMBERS]
    return tuple(dict.fromkeys(map(plain, [*found, *(f"id{word}" for word in words.split())])))


# The first one that a file has identifies a stay, by which `only_patient` selects.
PATIENT_COLUMNS = (
    "patientunitstayid", "stayid", "icustayid", "hadmid", "encounterid", "visitid", "subjectid", "subject",
    *_numbered("patient patienten paciente paziente pacjent pacjenta пациент пациента hasta 患者 病人 病历 住院"),
    "personid", "mrn", "caseid",
)  # fmt: skip
# What else shows several patients or beds: their rows would become the readings of one. No number of a patient.
OTHER_COLUMNS = frozenset(
    _numbered(
        "device bed monitor patientname person participant resident client user username case room serial host "
        "hostname bett zimmer gerät lit chambre appareil cama habitación dispositivo letto camera apparecchio leito "
        "quarto kamer apparaat säng łóżko pokój urządzenie койка палата прибор устройство фио yatak oda cihaz 床 床位 "
        "病床 病室 设备 姓名 氏名 患者氏名 患者姓名 ベッド 機器"
    )
) | {"sensorid", "fallid", "fallnr", "fallnummer"}  # fmt: skip
_NAMES = "id name nom nombre nome imię naam namn имя ad adsoyad 名前"
AMBIGUOUS_COLUMNS = frozenset(map(plain, _NAMES.split()))
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
