"""Read push notifications of the Garmin Health API. Pure.

The specification is not public; the shapes are those of public integrations, such as RADAR-base/RADAR-PushEndpoint
(Apache-2.0). Times are seconds since 1970 in UTC; the offset of a summary is only for showing. A sample of 0 or less is
no measurement. A summary that grows is sent again, longer.
"""

import re
from datetime import datetime, timedelta

from edges.observations.json_document import Element, InvalidDocument, object_of, objects_of, text_of
from edges.observations.times import parse_number
from edges.webhook.found import Values
from vitals.local_time import InvalidTime

_SAMPLES = {  # summary -> (key of its samples by seconds since the start, code, unit)
    "pulseOx": ("timeOffsetSpo2Values", "pulseOx", "%"),
    "dailies": ("timeOffsetHeartRateSamples", "dailies.timeOffsetHeartRateSamples", "/min"),
    "allDayRespiration": ("timeOffsetEpochToBreaths", "allDayRespiration", "/min"),
}
_SNAPSHOT = {"heart_rate": "/min", "spo2": "%", "respiration": "/min"}
_PRESSURES = (("systolic", "mm[Hg]"), ("diastolic", "mm[Hg]"), ("pulse", "/min"))
_PING = "callbackURL"


def read(content: object) -> Values:
    """Return the values of a document; raises InvalidDocument."""
    if not isinstance(content, dict) or not any(isinstance(items, list) for items in content.values()):
        raise InvalidDocument("the document has no array of summaries: it is not of Garmin", 422)
    values = Values()
    for name, summaries in content.items():
        for summary in summaries if isinstance(summaries, list) else [summaries]:
            values.accounts = tuple(filter(None, (text_of(summary, key) for key in ("userId", "userAccessToken"))))
            if not isinstance(summary, dict):
                values.add_unknown(name)
            elif _PING in summary:
                values.add_notice(name)
            elif name == "bloodPressures":
                _add_pressures(summary, values)
            elif name == "healthSnapshot":
                _add_snapshot(summary, values)
            elif name in _SAMPLES:
                key, code, unit = _SAMPLES[name]
                _add_samples(summary, object_of(summary, key), code, unit, values)
            else:
                values.add_unknown(name)
    return values


def _add_samples(summary: Element, samples: Element, code: str, unit: str, values: Values) -> None:
    start = summary.get("startTimeInSeconds")
    if not samples:
        values.add_summary(code)
    for offset, value in samples.items():
        none = isinstance(value, (int, float)) and value <= 0
        values.add(
            code,
            value,
            unit,
            lambda offset=offset: _after(start, offset),  # type: ignore[misc]
            absent="0 or less means that there is none" if none else "",
            record=summary,
        )


def _after(start: object, offset_s: str) -> datetime:
    if not re.fullmatch(r"\d{1,9}", offset_s, re.ASCII):
        raise InvalidTime(f"{offset_s!a:.42} are no seconds after the start")
    return parse_number(start) + timedelta(seconds=int(offset_s))


def _add_pressures(summary: Element, values: Values) -> None:
    start = summary.get("measurementTimeInSeconds")
    for key, unit in _PRESSURES:
        if key in summary:
            values.add(f"bloodPressures.{key}", summary[key], unit, lambda: parse_number(start), record=summary)


def _add_snapshot(snapshot: Element, values: Values) -> None:
    for summary in objects_of(snapshot, "summaries"):
        kind = text_of(summary, "summaryType").lower()
        code = f"healthSnapshot.{kind}"
        if kind in _SNAPSHOT:
            _add_samples(snapshot, object_of(summary, "epochSummaries"), code, _SNAPSHOT[kind], values)
        else:
            values.add_unknown(code)
