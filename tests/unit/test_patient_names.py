"""What may be entered as the name and date of birth of a patient, and what of it is stored."""

from datetime import date, timedelta

import pytest

from station.patient_names import PatientName, PatientNames
from station.settings import StationSettings
from vitals.errors import PermanentError
from vitals.limits import RequestRejected

TODAY = date(2026, 11, 29)
SITE = PatientNames("postgresql://vitalflow_names:word@localhost/vitalflow")


@pytest.mark.parametrize(
    "name",
    ["Ada Lovelace", "<b>Ada</b>", "מטופל כהן", "محمد علي", "O'Brien-Ñandú", "王小明", "W" * 200, "'; DROP TABLE x"],
)
def test_a_name_in_any_script_is_kept_as_it_is(name: str) -> None:
    assert SITE.check(PatientName(name=f"  {name} "), TODAY) == PatientName(name=name)


@pytest.mark.parametrize(
    "name",
    [
        "W" * 201,
        "Ada\nLovelace",
        "Ada\tLovelace",
        "Ada\u202eevil",
        "Ada\u2066",
        "\x00",
        "\x1b[2J",
        "\ud800",
        "a\u2028b",
    ],
)
def test_a_name_that_cannot_be_shown_is_rejected_in_a_sentence_without_the_name(name: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        SITE.check(PatientName.model_construct(name=name, birth_date=None), TODAY)
    assert str(caught.value) == "the name must have at most 200 characters, without line ends and invisible characters"


def test_one_spelling_of_a_name_is_stored_however_its_letters_are_composed() -> None:
    assert SITE.check(PatientName(name="Zoe\u0308"), TODAY) == SITE.check(PatientName(name="Zo\u00eb"), TODAY)


def test_a_date_of_birth_is_in_the_last_130_years() -> None:
    for day in (TODAY, TODAY + timedelta(days=1), date(1896, 12, 1)):
        assert SITE.check(PatientName(birth_date=day), TODAY) == PatientName(birth_date=day)
    for day in (TODAY + timedelta(days=2), date(1800, 1, 1), date(1, 1, 1), date(9999, 12, 31)):
        with pytest.raises(RequestRejected, match="the date of birth must be in the last 130 years"):
            SITE.check(PatientName(birth_date=day), TODAY)


def test_a_site_without_names_rejects_each_and_accepts_an_empty_field() -> None:
    site = PatientNames(None)
    assert site.check(None) is None
    assert site.check(PatientName()) is None
    for given in (PatientName(name="Ada"), PatientName(birth_date=TODAY)):
        with pytest.raises(RequestRejected, match="this site stores no names and dates of birth; leave both out"):
            site.check(given, TODAY)


def test_names_are_off_by_default_and_need_a_database_of_their_own() -> None:
    broker = {"VITALFLOW_MQTT_URL": "mqtt://127.0.0.1:1883"}
    assert StationSettings.read(broker).patient_names is False
    with pytest.raises(PermanentError, match="VITALFLOW_PATIENT_NAMES is true and VITALFLOW_NAMES_URL is not set"):
        StationSettings.read(broker | {"VITALFLOW_PATIENT_NAMES": "true"})
