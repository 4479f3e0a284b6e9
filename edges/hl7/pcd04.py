"""Write an alert as an alert report (ORU^R40) of the IHE profile ACM, transaction PCD-04. Pure.

Each change of an alert is a message. OBR-3 is the id of the alert with its revision, OBR-29 the id of the alert.
"""

from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b

from edges.hl7.write import (
    MDC_NAMES,
    MONITOR,
    Origin,
    escape,
    write_header,
    write_message,
    write_patient,
    write_segment,
    write_time,
)
from edges.outgoing.alert_reports import Phase, Report
from vitals.alert import Alert, Change, Priority, State
from vitals.alert_format import message_text

PROFILE = "IHE_PCD_ACM_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.4.1^ISO"
_ALARM = "196616^MDC_EVT_ALARM^MDC"
_HIGH, _LOW = "196648^MDC_EVT_HI^MDC", "196670^MDC_EVT_LO^MDC"
_SOURCE = "68480^MDC_ATTR_ALERT_SOURCE^MDC"
_PRIORITIES = {Priority.HIGH: "PH", Priority.MEDIUM: "PM", Priority.LOW: "PL"}
_INACTIVATION = {State.AUDIO_PAUSED: "audio-paused", State.ACKNOWLEDGED: "alert-acknowledged"}
_UNITS = {
    "/min": "264864^MDC_DIM_BEAT_PER_MIN^MDC",
    "%": "262688^MDC_DIM_PERCENT^MDC",
    "Cel": "268192^MDC_DIM_DEGC^MDC",
    "mm[Hg]": "266016^MDC_DIM_MMHG^MDC",
}
_RESP_RATE, _BREATHS = 151562, "264928^MDC_DIM_RESP_PER_MIN^MDC"
_AT_LEVEL = frozenset((Change.RAISED, Change.ESCALATED, Change.DEESCALATED, Change.RETURNED))


def write_alert(report: Report, origin: Origin, now: datetime) -> bytes:
    """Return the message of a report. `now` is the time of the message, with an offset."""
    alert, number = report.alert, report.identify(now, ".")
    control_id = blake2b(number.encode(), digest_size=10).hexdigest()  # HL7 v2.6 permits 20 characters
    application = escape(origin.application)
    changed = write_time(alert.changed_at)
    order = {
        1: "1",
        3: f"{number}^{application}",
        4: _ALARM,
        7: changed,
        29: f"^{alert.alert_id}&{application}",
    }
    return write_message(
        [
            write_header(origin, "ORU^R40^ORU_R40", control_id, PROFILE, now, accept="AL", application="NE"),
            *write_patient(alert.patient_id, origin),
            write_segment("OBR", order),
            write_segment("OBX", {1: "1", 3: MONITOR, 4: "1.0.0.0", 11: "X"}),
            *_observations(alert, report.phase, changed),
        ]
    )


def _observations(alert: Alert, phase: Phase, changed: str) -> Iterator[str]:
    ended = phase is Phase.END
    texts = [
        ("68481^MDC_ATTR_EVENT_PHASE^MDC", phase.value),
        ("68482^MDC_ATTR_ALARM_STATE^MDC", _state(alert, ended=ended)),
        ("68483^MDC_ATTR_ALARM_INACTIVATION_STATE^MDC", _INACTIVATION.get(alert.state, "enabled")),
        ("68484^MDC_ATTR_ALARM_PRIORITY^MDC", _PRIORITIES[alert.priority]),
        ("68485^MDC_ATTR_ALERT_TYPE^MDC", _type(alert)),
    ]
    metric = f"1.1.1.{alert.mdc or 0}"
    event = {1: "2", 2: "ST", 3: _event(alert), 4: f"{metric}.1", 5: escape(message_text(alert)), 11: "F", 14: changed}
    yield write_segment("OBX", event)
    yield write_segment("OBX", {1: "3", 4: f"{metric}.2", 11: "F", **_source(alert)})
    for facet, (code, text) in enumerate(texts, 3):
        fields = {1: f"{facet + 1}", 2: "ST", 3: code, 4: f"{metric}.{facet}", 5: text, 11: "F"}
        yield write_segment("OBX", fields)


def _state(alert: Alert, *, ended: bool) -> str:
    if ended:
        return "inactive"
    return "latched" if alert.latched or alert.state is State.LATCHED else "active"


def _type(alert: Alert) -> str:
    """Return SP (physiological), ST (technical) or SA: an advisory without one sign as its source, such as NEWS2."""
    if alert.kind == "technical":
        return "ST"
    return "SP" if alert.mdc is not None else "SA"


def _direction(alert: Alert) -> str:
    """Return `>` or `<` as the worst value is above or below the limit; empty if that is not known.

    The present value does not decide: until an alert has cleared it may be back within the limit.
    """
    if alert.mdc is None or alert.worst_value is None or alert.limit is None or alert.worst_value == alert.limit:
        return ""
    return ">" if alert.worst_value > alert.limit else "<"


def _event(alert: Alert) -> str:
    if alert.kind == "technical":
        return _ALARM
    return {">": _HIGH, "<": _LOW}.get(_direction(alert), _ALARM)


def _source(alert: Alert) -> dict[int, str]:
    """Return the fields of OBX that state the metric with its value and limit, or the rule if there is no metric."""
    if alert.mdc is None:
        return {2: "ST", 3: _SOURCE, 5: escape(alert.rule)}
    code = f"{alert.mdc}^{MDC_NAMES.get(alert.mdc, '')}^MDC"
    if alert.value is None:
        return {2: "NM", 3: code, 11: "X"}
    unit = _BREATHS if alert.mdc == _RESP_RATE else _UNITS.get(alert.unit or "", "")
    if not unit and alert.unit:
        unit = f"{escape(alert.unit)}^{escape(alert.unit)}^UCUM"
    within = {">": "<", "<": ">"}.get(_direction(alert), "")  # OBX-7 states the range that raises no alert
    fields = {2: "NM", 3: code, 5: f"{round(alert.value, 2):g}", 6: unit}
    if within and alert.limit is not None:
        fields[7] = f"{within}{alert.limit:g}"
    if (moment := _value_time(alert)) is not None:
        fields[14] = write_time(moment)
    return fields


def _value_time(alert: Alert) -> datetime | None:
    """Return the time of `value`; None if the alert does not state it."""
    if alert.value == alert.first_value:
        return alert.first_value_at
    if alert.value == alert.worst_value:
        return alert.worst_value_at
    return alert.changed_at if alert.change in _AT_LEVEL else None
