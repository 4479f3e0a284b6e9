"""Admit, transfer and discharge at a real station, broker, alert worker, ingest and database.

The people are users of the broker: ada of icu-1, grace of all wards, eve who may only look at icu-1.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stack.binaries import CHECKOUT
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.fixtures.station import MakeStation, StationProcess
from tests.support.servers import Db, eventually

BEDS = {"bed-1": "icu-1", "bed-2": "icu-1", "bed-9": "icu-2"}


class AdmissionDesk:
    """A station with three beds, whose devices name no patient, and its signed-in users."""

    def __init__(self, secured: Secured, make_station: MakeStation) -> None:
        url, settings = secured.url_of("station"), {"mqtt_ca": secured.ca, "station_client_id": "station"}
        self.station: StationProcess = make_station(url, **settings)
        self.cookies = {name: self.station.sign_in(name, f"word-of-{name}") for name in ("ada", "grace", "eve")}
        self.monitors = {
            device: AlertClient(0, secured.broker("grace"), secured.broker(device), device) for device in BEDS
        }
        for device in BEDS:
            self.measure(device, heart_rate=80)
        eventually(
            lambda: [len(self.ask(name, "GET", "/ui/recent")[1]) for name in self.cookies] == [2, 3, 2], 30, "beds"
        )

    def measure(self, device: str, **signs: float) -> None:
        self.monitors[device].measure(device, BEDS[device], None, patient=None, **signs)

    def ask(self, name: str, method: str, path: str, content: object = None) -> tuple[int, Any]:
        return self.station.ask(method, path, content, Cookie=self.cookies[name])[:2]

    def admit(self, name: str, device: str, patient: str, **more: object) -> tuple[int, Any]:
        content = {"device": device, "patient_id": patient, "profile": "adult", **more}
        status, answer = self.ask(name, "PUT", "/ui/assignment", content)
        return status, answer and answer["detail"]

    def discharge(self, name: str, device: str, present: str | None) -> tuple[int, Any]:
        status, answer = self.ask(name, "POST", "/ui/discharge", {"device": device, "present": present})
        return status, answer and answer["detail"]

    def transfer(self, name: str, device: str, present: str, to: str) -> tuple[int, Any]:
        status, answer = self.ask(name, "POST", "/ui/transfer", {"device": device, "present": present, "to": to})
        return status, answer and answer["detail"]

    def assigned(self, device: str) -> Any:
        answer = self.ask("grace", "GET", f"/ui/assignment?device={device}")[1]
        return answer and answer["patient_id"]

    def limits(self, device: str) -> Any:
        return self.ask("grace", "GET", f"/ui/limits?device={device}")[1].get("own")

    def lowest_heart_rate(self, device: str) -> Any:
        """The limit of the rule heart-rate-low as the bed's page shows it."""
        rules = self.ask("grace", "GET", f"/ui/limits?device={device}")[1]["rules"]
        return next(rule["levels"][0]["limit"] for rule in rules if rule["name"] == "heart-rate-low")

    def close(self) -> None:
        for monitor in self.monitors.values():
            monitor.close()


@pytest.fixture
def make_admission_desk(own_secured: Secured, make_station: MakeStation) -> Iterator[Callable[[], AdmissionDesk]]:
    made: list[AdmissionDesk] = []

    def make() -> AdmissionDesk:
        made.append(AdmissionDesk(own_secured, make_station))
        return made[-1]

    yield make
    for desk in made:
        desk.close()


def test_a_patient_is_admitted_transferred_and_discharged(
    own_secured: Secured,
    make_admission_desk: Callable[[], AdmissionDesk],
    make_alerts: MakeAlerts,
    make_ingest: MakeIngest,
    db: Db,
) -> None:
    settings = {"mqtt_ca": own_secured.ca}
    rules = CHECKOUT / "alerts/rules.toml"
    make_alerts(own_secured.url_of("alerts"), alerts_client_id="alerts", alerts_rules=rules, **settings)
    make_ingest(own_secured.url_of("ingest"), db, ingest_client_id="ingest", **settings)
    desk = make_admission_desk()
    eventually(lambda: desk.ask("ada", "GET", "/ui/limits?device=bed-1")[1].get("rules"), 30, "the rules are known")
    assert desk.admit("ada", "bed-1", " p-1 ", profile="child-1-4") == (200, None)
    assert desk.admit("ada", "bed-1", "p-1", present="p-1", profile="neonate") == (200, None), "its age was corrected"
    assert desk.lowest_heart_rate("bed-1") != desk.lowest_heart_rate("bed-2"), "the limits are those of its age"
    monitors = desk.monitors

    def is_alarming(device: str) -> bool:
        desk.measure(device, spo2=60)
        alert = monitors[device].now.get(f"icu-1/{device}/spo2-low")
        return alert is not None and alert.patient_id == "p-1"

    eventually(lambda: is_alarming("bed-1"), 30, "the alert is the patient's")
    own = {"device": "bed-1", "patient_id": "p-1", "limits": {"spo2-low": [88.0]}}
    assert desk.ask("ada", "PUT", "/ui/limits", own)[0] == 200
    eventually(lambda: desk.limits("bed-1"), 30, "it has limits of its own")

    assert desk.transfer("ada", "bed-1", "p-1", "bed-2") == (200, None)
    assert (desk.assigned("bed-1"), desk.assigned("bed-2")) == (None, "p-1")
    eventually(lambda: desk.limits("bed-1") is None, 30, "the limits leave the bed")
    assert desk.limits("bed-2")["limits"] == {"spo2-low": [88.0]}
    monitors["bed-1"].wait_for("icu-1/bed-1/spo2-low", 30, state="cleared")
    assert desk.lowest_heart_rate("bed-2") != desk.lowest_heart_rate("bed-1"), "the age group is the same"
    eventually(lambda: is_alarming("bed-2"), 30, "the alert in the other bed is the patient's")

    assert desk.discharge("ada", "bed-2", "p-1") == (200, None)
    cleared = monitors["bed-2"].wait_for("icu-1/bed-2/spo2-low", 30, state="cleared")
    assert cleared.reason == "the patient was discharged from this bed"
    eventually(lambda: desk.limits("bed-2") is None, 30, "it has no limits")
    assert desk.discharge("ada", "bed-2", "p-1") == (
        409,
        "patient p-1 was discharged from bed-2 by ada in the meantime",
    )

    record = "SELECT actor, action, device_id, detail FROM audit_event WHERE topic LIKE '%admissions%' ORDER BY id"
    eventually(lambda: len(db.rows(record)) == 4, 30, "all four are recorded")
    assert db.rows(record) == [
        ("ada", "admit", "bed-1", {"patient_id": "p-1", "profile": "child-1-4"}),
        ("ada", "admit", "bed-1", {"patient_id": "p-1", "profile": "neonate"}),
        ("ada", "transfer", "bed-1", {"patient_id": "p-1", "bed": "icu-1/bed-2"}),
        ("ada", "discharge", "bed-2", {"patient_id": "p-1"}),
    ]
    history = "SELECT device_id, patient_id, profile, actor FROM assignment ORDER BY id"
    eventually(lambda: len(db.rows(history)) == 5, 30, "the history is stored")
    assert db.rows(history) == [
        ("bed-1", "p-1", "child-1-4", "ada"),
        ("bed-1", "p-1", "neonate", "ada"),
        ("bed-2", "p-1", "neonate", "ada"),
        ("bed-1", None, None, "ada"),
        ("bed-2", None, None, "ada"),
    ]


def test_one_of_two_people_who_admit_to_one_bed_at_once_is_rejected(
    make_admission_desk: Callable[[], AdmissionDesk],
) -> None:
    desk = make_admission_desk()
    with ThreadPoolExecutor(2) as people:
        for number in range(5):
            patients = {"ada": f"p-{number}-a", "grace": f"p-{number}-g"}
            asked = {name: people.submit(desk.admit, name, "bed-1", patient) for name, patient in patients.items()}
            answers = {name: answer.result() for name, answer in asked.items()}
            (winner,) = (name for name, answer in answers.items() if answer == (200, None))
            (other,) = answers.keys() - {winner}
            assert answers[other] == (
                409,
                f"patient {patients[winner]} was admitted to bed-1 by {winner} in the meantime; "
                "check the patient and the bed",
            )
            assert desk.assigned("bed-1") == patients[winner]
            assert desk.discharge(other, "bed-1", patients[winner]) == (200, None)


def test_a_patient_is_in_one_bed_and_a_bed_has_one_patient(make_admission_desk: Callable[[], AdmissionDesk]) -> None:
    desk = make_admission_desk()
    assert desk.admit("ada", "bed-1", "p-1") == (200, None)
    for patient in ("p-1", "P-1 "):
        assert desk.admit("ada", "bed-2", patient) == (
            409,
            "patient p-1 is in bed-1 of ward icu-1; transfer the patient from there, or check the number",
        )
    assert desk.admit("ada", "bed-1", "p-2", present="p-1") == (
        409,
        "patient p-1 is in this bed; discharge or transfer this patient first",
    )
    assert desk.admit("grace", "bed-9", "p-9") == (200, None)
    assert desk.admit("ada", "bed-2", "p-9") == (
        409,
        "this patient is in a bed of another ward; ask that ward to transfer the patient",
    )
    assert desk.transfer("grace", "bed-9", "p-9", "bed-1")[0] == 409
    assert desk.transfer("grace", "bed-9", "p-9", "bed-9")[0] == 409
    assert desk.transfer("grace", "bed-2", "p-7", "bed-9")[0] == 409
    assert [desk.assigned(device) for device in BEDS] == ["p-1", None, "p-9"]
    assert desk.transfer("grace", "bed-9", "p-9", "bed-2") == (200, None), "to another ward"
    assert [desk.assigned(device) for device in BEDS] == ["p-1", "p-9", None]


def test_a_read_only_user_and_one_of_another_ward_change_no_assignment(
    make_admission_desk: Callable[[], AdmissionDesk],
) -> None:
    desk = make_admission_desk()
    assert desk.admit("ada", "bed-1", "p-1") == (200, None)
    for status in (desk.admit("eve", "bed-2", "p-2"), desk.discharge("eve", "bed-1", "p-1")):
        assert status == (403, "you have read-only access to this ward; an administrator can change that")
    assert desk.transfer("eve", "bed-1", "p-1", "bed-2")[0] == 403
    assert desk.admit("ada", "bed-9", "p-2")[0] == 404
    assert desk.transfer("ada", "bed-1", "p-1", "bed-9")[0] == 404, "she may not see it"
    assert desk.discharge("ada", "bed-9", None)[0] == 404
    assert desk.ask("ada", "GET", "/ui/assignment?device=bed-9") == (200, None)
    assert [desk.assigned(device) for device in BEDS] == ["p-1", None, None]


def test_a_number_that_cannot_be_shown_is_rejected_in_one_sentence(
    make_admission_desk: Callable[[], AdmissionDesk],
) -> None:
    desk = make_admission_desk()
    for number in ("", "   ", "p" * 201, "p\n1", "p\u202e1", "p\u20661", "p\x001"):
        assert desk.admit("ada", "bed-1", number) == (
            409,
            "the patient number must have 1 to 200 characters, without line ends and invisible characters",
        )
    for wrong in ({"profile": "toddler"}, {"spo2_scale": 3}, {"patient_id": 7}):
        assert desk.admit("ada", "bed-1", "p-1", **wrong)[0] == 422
    assert desk.admit("ada", "bed-1", "p-1", profile="infant", spo2_scale=2)[0] == 409
    assert desk.assigned("bed-1") is None


def test_a_number_with_markup_or_in_another_script_is_kept_as_text(
    make_admission_desk: Callable[[], AdmissionDesk],
) -> None:
    desk = make_admission_desk()
    for number in ("<b>1</b>", "מטופל", "p" * 200, "'; DROP TABLE assignment; --", json.dumps({"patient_id": 1})):
        assert desk.admit("ada", "bed-1", number) == (200, None)
        assert desk.assigned("bed-1") == number
        assert desk.discharge("ada", "bed-1", number) == (200, None)
