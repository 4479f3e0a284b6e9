"""PCD-04 out: what a message of an alert states, and which message each change is."""

from dataclasses import replace
from datetime import datetime, timedelta

import hl7  # type: ignore[import-untyped]
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edges.config.site import Patients, Place, Site
from edges.hl7.er7 import Segment, parse_message
from edges.hl7.pcd04 import write_alert
from edges.hl7.write import Origin, find_origin
from edges.outgoing.alert_reports import AlertReports, Phase, Report, Reported
from mqtt.service_status import ServiceStatus
from tests.support.factories import NOW, make_alert
from vitals.alert import Alert, Change, Priority, State

ORIGIN = Origin("VITALFLOW", "ICU 1", "4", "HOSP")
ONLINE = ServiceStatus(state="online", boot=1)


def spo2(**fields: object) -> Alert:
    given = {"worst_value": 82.0, "first_value": 82.0, "first_value_at": NOW, "mdc": 150456} | fields
    return make_alert(**given)  # type: ignore[arg-type]


def segments(alert: Alert, phase: Phase = Phase.START) -> tuple[Segment, ...]:
    return parse_message(write_alert(Report(alert, phase), ORIGIN, NOW)).segments


def facets(alert: Alert, phase: Phase = Phase.START) -> dict[str, str]:
    """Reference id of OBX-3 -> OBX-5."""
    return {item.text(3, 2): item.text(5) for item in segments(alert, phase) if item.name == "OBX"}


def test_a_physiological_alert_states_event_metric_limit_and_patient() -> None:
    alert = spo2()
    header, pid, pv1, obr, monitor, event, source, *_ = segments(alert)
    assert (header.raw(9), header.raw(21)[:15]) == ("ORU^R40^ORU_R40", "IHE_PCD_ACM_001")
    assert (pid.raw(3), pid.raw(5), pv1.raw(3)) == ("p-0001^^^HOSP", "", "ICU 1^^4")
    assert (obr.text(3), obr.raw(29)) == (f"{alert.alert_id}.1", f"^{alert.alert_id}&VITALFLOW")
    assert obr.text(7) == "20261122095948.000+0000"
    assert (monitor.text(11), event.text(3, 2)) == ("X", "MDC_EVT_LO")
    assert event.text(5) == "Oxygen saturation low: 82 %, limit below 90"
    assert [source.raw(number) for number in (2, 3, 5, 6, 7, 14)] == [
        "NM",
        "150456^MDC_PULS_OXIM_SAT_O2^MDC",
        "82",
        "262688^MDC_DIM_PERCENT^MDC",
        ">90",
        "20261122100000.000+0000",
    ]
    assert facets(alert) | {"MDC_ATTR_EVENT_PHASE": "start", "MDC_ATTR_ALARM_STATE": "active"} == facets(alert)
    assert facets(alert)["MDC_ATTR_ALARM_PRIORITY"] == "PH"
    assert facets(alert)["MDC_ATTR_ALERT_TYPE"] == "SP"
    positions = [item.text(4) for item in segments(alert) if item.name == "OBX"]
    assert positions == ["1.0.0.0", *(f"1.1.1.150456.{facet}" for facet in range(1, 8))]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"state": State.ACKNOWLEDGED}, {"MDC_ATTR_ALARM_INACTIVATION_STATE": "alert-acknowledged"}),
        ({"state": State.AUDIO_PAUSED}, {"MDC_ATTR_ALARM_INACTIVATION_STATE": "audio-paused"}),
        ({"state": State.LATCHED}, {"MDC_ATTR_ALARM_STATE": "latched"}),
        ({"priority": Priority.MEDIUM}, {"MDC_ATTR_ALARM_PRIORITY": "PM"}),
        ({"priority": Priority.LOW}, {"MDC_ATTR_ALARM_PRIORITY": "PL"}),
        ({"kind": "technical"}, {"MDC_ATTR_ALERT_TYPE": "ST", "MDC_EVT_ALARM": "text"}),
        ({"mdc": None, "rule": "news2"}, {"MDC_ATTR_ALERT_TYPE": "SA", "MDC_ATTR_ALERT_SOURCE": "news2"}),
        ({"worst_value": 130.0, "limit": 120.0}, {"MDC_EVT_HI": "text"}),
        # Back within the limit, not yet cleared: the direction is that of the worst value.
        ({"value": 91.5, "worst_value": 80.0}, {"MDC_EVT_LO": "text", "MDC_PULS_OXIM_SAT_O2": "91.5"}),
        ({"worst_value": None}, {"MDC_EVT_ALARM": "text"}),
    ],
)
def test_the_state_of_an_alert_is_stated(fields: dict[str, object], expected: dict[str, str]) -> None:
    stated = facets(spo2(text="text", **fields))
    assert stated | expected == stated


def test_a_value_whose_time_is_not_known_has_none() -> None:
    alert = spo2(value=88.0, change=Change.ACKNOWLEDGED)
    assert segments(alert)[6].raw(14) == ""


def test_an_ended_alert_is_inactive() -> None:
    assert facets(spo2(), Phase.END)["MDC_ATTR_ALARM_STATE"] == "inactive"


@given(st.text(max_size=60), st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_no_text_breaks_the_message(text: str, patient: str, rule: str) -> None:
    alert = spo2(text=text, patient_id=patient, rule=rule, mdc=None)
    content = write_alert(Report(alert, Phase.START), ORIGIN, NOW)
    assert not set(content) & {0x0B, 0x1C}, "they would end the frame"
    names = [item.name for item in parse_message(content).segments]
    assert names == ["MSH", "PID", "PV1", "OBR", *["OBX"] * 8]
    assert parse_message(content).segments[1].text(3) == patient.strip()
    assert [str(item[0]) for item in hl7.parse(content.decode())] == names


def test_a_repeated_message_has_an_id_of_its_own_and_a_change_always_the_same() -> None:
    later = NOW + timedelta(seconds=5)
    first, second = (write_alert(Report(spo2(), Phase.START), ORIGIN, time) for time in (NOW, later))
    assert parse_message(first).header.raw(10) == parse_message(second).header.raw(10)
    third = write_alert(Report(spo2(), Phase.CONTINUE, repeated=True), ORIGIN, later)
    assert parse_message(third).header.raw(10) != parse_message(first).header.raw(10)
    assert len(parse_message(third).header.raw(10)) == 20


def test_the_bed_is_the_first_place_of_the_device() -> None:
    places = (
        Place(ward="icu-1", device="bed-4", equipment="00A0"),
        Place(ward="icu-1", device="bed-4", unit="ICU|1", room="R", bed="4", facility="A"),
        Place(ward="icu-1", device="bed-5", location="^^ICU&05"),
    )
    site = Site(zone="UTC", patients=Patients(authority=("", "HOSP")), place=places)

    def location(ward: str, device: str) -> str:
        origin = find_origin(site, "V", ward, device)
        assert origin.authority == "HOSP"
        return parse_message(write_alert(Report(spo2(), Phase.START), origin, NOW)).segments[2].raw(3)

    assert location("icu-1", "bed-4") == "ICU\\F\\1^R^4^A"
    assert location("icu-1", "bed-5") == "^^ICU&05"
    assert location("icu-2", "bed-9") == "icu-2^^bed-9"


def changed(alert: Alert, change: Change, revision: int, **fields: object) -> Alert:
    return msgspec.structs.replace(alert, change=change, revision=revision, **fields)


def taken(reports: AlertReports, alert: Alert, *, retained: bool = False, now: datetime = NOW) -> Phase | None:
    report = reports.take(alert, now, retained=retained)
    return None if report is None else report.phase


def test_each_change_is_reported_once_in_its_phase() -> None:
    reports, alert = AlertReports([]), spo2()
    changes = {
        Change.RAISED: Phase.START,
        Change.ESCALATED: Phase.ESCALATE,
        Change.DEESCALATED: Phase.DEESCALATE,
        Change.ACKNOWLEDGED: Phase.UPDATE,
        Change.LATCHED: Phase.UPDATE,
        Change.RETURNED: Phase.START,
        Change.MOVED: Phase.UPDATE,
    }
    for revision, (change, phase) in enumerate(changes.items(), 1):
        assert taken(reports, changed(alert, change, revision)) is phase
        assert taken(reports, changed(alert, change, revision)) is None, "redelivered"
    assert taken(reports, alert) is None, "older"
    cleared = changed(alert, Change.CLEARED, 99, state=State.CLEARED)
    assert [taken(reports, cleared), taken(reports, cleared, retained=True)] == [Phase.END, None]


def test_an_alert_is_started_for_a_receiver_that_does_not_know_it() -> None:
    alert = changed(spo2(), Change.ACKNOWLEDGED, 3)
    assert taken(AlertReports([]), alert, retained=True) is Phase.START
    cleared = changed(alert, Change.CLEARED, 4, state=State.CLEARED)
    assert taken(AlertReports([]), cleared, retained=True) is None


def test_after_a_restart_an_open_alert_continues_once_and_an_ended_one_ends_once() -> None:
    alert = spo2()
    reports = AlertReports([Reported(alert)])
    reports.connected(NOW)
    assert reports.take(alert, NOW, retained=True) == Report(alert, Phase.CONTINUE, repeated=True)
    assert taken(reports, alert, retained=True) is None
    cleared = changed(alert, Change.CLEARED, 2, state=State.CLEARED)
    again = AlertReports([Reported(alert)])
    assert taken(again, cleared, retained=True) is Phase.END
    assert taken(AlertReports([Reported(cleared, NOW)]), cleared, retained=True) is None


def test_an_absent_alert_ends_only_while_all_alert_workers_are_online() -> None:
    alert, late = spo2(), NOW + timedelta(seconds=11)
    reports = AlertReports([Reported(alert)])
    reports.connected(NOW)
    assert reports.find_absent(late) == [], "no worker is known"
    reports.take_status("alerts", ONLINE, NOW, retained=False)
    assert reports.find_absent(late) == [], "its last heartbeat is 11 s old"
    reports.take_status("alerts", ONLINE, late, retained=True)
    assert reports.find_absent(late) == [], "a retained status is of no known age"
    reports.take_status("alerts", ONLINE, late, retained=False)
    reports.take_status("alerts-2", replace_state(ONLINE), late, retained=True)
    assert reports.find_absent(late) == [], "another worker is offline"
    reports.take_status("alerts-2", ONLINE, late, retained=False)
    assert reports.find_absent(NOW + timedelta(seconds=9)) == []
    assert reports.find_absent(late) == [Report(alert, Phase.END, repeated=True)]
    assert reports.find_absent(late) == []
    assert reports.take(alert, late, retained=True) == Report(alert, Phase.START, repeated=True)


def replace_state(status: ServiceStatus) -> ServiceStatus:
    return msgspec.structs.replace(status, state="offline")


def test_an_alert_that_moves_to_another_ward_does_not_end() -> None:
    alert = spo2()
    reports = AlertReports([])
    reports.take_status("alerts", ONLINE, NOW + timedelta(seconds=15), retained=False)
    taken(reports, alert)
    reports.deleted(alert.ward, alert.device_id, alert.rule, NOW)
    assert taken(reports, changed(alert, Change.MOVED, 2, ward="icu-2")) is Phase.UPDATE
    assert reports.find_absent(NOW + timedelta(seconds=15)) == []
    reports.deleted("icu-2", alert.device_id, alert.rule, NOW)
    assert [report.phase for report in reports.find_absent(NOW + timedelta(seconds=15))] == [Phase.END]


def test_ended_alerts_are_forgotten_after_a_day() -> None:
    alert = spo2()
    reports = AlertReports([replace(Reported(alert), ended=NOW)])
    reports.forget_ended(NOW + timedelta(days=2))
    assert taken(reports, alert) is Phase.START
