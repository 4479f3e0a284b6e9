"""Values from messages of any shape, by the mapping of a site: no guess, and nothing without a reason."""

import json
import random
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from edges.config.mapping_presets import preset_names, read_preset
from edges.config.mapping_table import Mapping
from edges.config.site import Site
from edges.mqtt.receive import receive
from edges.observations.found import Received
from edges.observations.json_document import InvalidDocument
from edges.observations.observed import Reason

NOW = datetime(2026, 11, 27, 9, 15, tzinfo=UTC)
HR = {"sign": "heart_rate", "unit": "/min"}
SPO2 = {"sign": "spo2", "unit": "%"}


def received(
    payload: object, *values: dict[str, Any], subscription: str = "rings/{ring}", retained: bool = False, **mapping: Any
) -> Received:
    """What becomes of a message; text as it is, anything else as JSON."""
    table = {"name": "m", "topic": subscription, "value": list(values), **mapping}
    site = Site.model_validate(
        {
            "zone": "Europe/Berlin",
            "mqtt": [{"name": "home", "url": "mqtt://broker", "mappings": ["m"]}],
            "mapping": [table],
            "place": [{"ward": "w", "device": "d", "equipment": "r-1", "source": "home"}],
        }
    )
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return receive(subscription.replace("{ring}", "r-1"), content, site.mqtt[0], site, NOW, retained=retained)


def signs(found: Received) -> list[dict[str, float]]:
    keys = ("heart_rate", "spo2", "temperature", "systolic_bp", "diastolic_bp", "resp_rate")
    readings = [item.reading for item in found.readings]
    return [{key: value for key in keys if (value := reading.value(key)) is not None} for reading in readings]


@pytest.mark.parametrize(
    ("payload", "rule", "expected"),
    [
        (b"72", HR, 72.0),
        (b" 72.5\n", HR, 72.5),
        (b"\xef\xbb\xbf72", HR, 72.0),
        (b'"72"', HR, 72.0),
        (b"72 bpm", HR, 72.0),
        (b"1.2", {"sign": "heart_rate", "unit": "Hz"}, 72.0),
        (b"97 %", SPO2, 97.0),
        (b"97%", SPO2, 97.0),
        (b"99.5 degF", {"sign": "temperature", "unit": "[degF]"}, 37.5),
        ({"hr": 72}, {**HR, "pointer": "/hr"}, 72.0),
        ({"a/b": {"~": [1, {"": 72}]}}, {**HR, "pointer": "/a~1b/~0/1/"}, 72.0),
        ({"v": 0.97, "u": "1"}, {"sign": "spo2", "pointer": "/v", "unit_pointer": "/u"}, 97.0),
        ({"v": 16.0, "u": "kPa"}, {"sign": "systolic_bp", "pointer": "/v", "unit_pointer": "/u"}, 120.0),
        ({"hr": "72", "ok": 1}, {**HR, "pointer": "/hr", "valid": {"/ok": 1}}, 72.0),
        ({"hr": "72", "ok": "1"}, {**HR, "pointer": "/hr", "valid": {"/ok": 1}}, 72.0),
        ({"hr": "72", "valid": 0}, {**HR, "pointer": "/hr", "valid": {"/valid": 0}}, 72.0),
        ({"hr": "72", "deleted": False, "status": "final"}, {**HR, "pointer": "/hr"}, 72.0),
    ],
)
def test_a_value_is_read_with_its_unit(payload: object, rule: dict[str, Any], expected: float) -> None:
    (found,) = signs(received(payload, rule))
    assert list(found.values()) == [pytest.approx(expected, abs=0.05)]


@pytest.mark.parametrize(
    ("payload", "rule", "reason"),
    [
        (b"nan", HR, Reason.UNREADABLE),
        (b"NaN", HR, Reason.UNREADABLE),
        (b"unavailable", {**HR, "no_value": ["Unavailable"]}, Reason.NO_VALUE),
        (b"-1", {**HR, "no_value": [-1]}, Reason.NO_VALUE),
        (b"97,5", SPO2, Reason.UNREADABLE),
        (b"97 98", SPO2, Reason.UNREADABLE),
        (b"1e400", HR, Reason.UNREADABLE),
        (b"true", HR, Reason.UNREADABLE),
        (b"null", HR, Reason.NO_VALUE),
        (b"97 mmHg", SPO2, Reason.UNKNOWN_UNIT),
        (b"36.9 C", {"sign": "temperature", "unit": "[degF]"}, Reason.UNKNOWN_UNIT),
        (b"0.97", SPO2, Reason.IMPLAUSIBLE),
        (b"700", HR, Reason.IMPLAUSIBLE),
        ([72], HR, Reason.UNREADABLE),
        ({"hr": 72}, HR, Reason.UNREADABLE),
        ({"hr": 72, "ok": 0}, {**HR, "pointer": "/hr", "valid": {"/ok": 1}}, Reason.NO_VALUE),
        ({"hr": 72}, {**HR, "pointer": "/hr", "valid": {"/ok": 1}}, Reason.NO_VALUE),
        ({"hr": 72, "ok": True}, {**HR, "pointer": "/hr", "valid": {"/ok": 1}}, Reason.NO_VALUE),
        ({"v": 97}, {"sign": "spo2", "pointer": "/v", "unit_pointer": "/u"}, Reason.UNKNOWN_UNIT),
        ({"hr": 72, "deleted": True}, {**HR, "pointer": "/hr"}, Reason.NO_VALUE),
        ({"hr": 72, "hr_valid": 0}, {**HR, "pointer": "/hr"}, Reason.NO_VALUE),
        ({"v": {"hr": 72, "quality": "poor"}}, {**HR, "pointer": "/v/hr"}, Reason.NO_VALUE),
        ({"v": {"hr": 72}, "tags": {"quality": "bad"}}, {**HR, "pointer": "/v/hr"}, Reason.NO_VALUE),
        ({"v": {"hr": 72}, "status": "estimated"}, {**HR, "pointer": "/v/hr"}, Reason.NO_VALUE),
    ],
)
def test_what_is_no_value_has_a_reason(payload: object, rule: dict[str, Any], reason: Reason) -> None:
    found = received(payload, rule)
    assert signs(found) == []
    assert reason in [verdict.reason for verdict in found.verdicts], found.verdicts


def test_a_sensor_that_is_off_is_stated() -> None:
    found = received({"hr": 0, "ox": -1}, {**HR, "pointer": "/hr", "sensor_off": [0]}, {**SPO2, "pointer": "/ox"})
    (item,) = found.readings
    assert item.reading.sensor_off == ("heart_rate",)


@pytest.mark.parametrize(("rank", "expected"), [(1, [(), ("spo2",)]), (2, [()])])
def test_a_sensor_is_off_from_the_last_moment_of_its_source(rank: int, expected: list[tuple[str, ...]]) -> None:
    samples = {"left": [{"t": 1795770899, "ox": 97}], "right": [{"t": 1795770900, "ox": -1}]}
    first = {**SPO2, "pointer": "/ox", "when": {"/t": 1795770899}}
    last = {**SPO2, "pointer": "/ox", "when": {"/t": 1795770900}, "sensor_off": [-1], "rank": rank}
    found = received(samples, first, last, each="/*/*", time="/t", time_format="s")
    assert [item.reading.sensor_off for item in found.readings] == expected


def test_what_no_rule_speaks_of_is_listed_by_its_pointer_once() -> None:
    message = {"hr": 72, "battery": {"percent": 80, "a/b": None}, "log": [1, "x"], "id": "r-1"}
    found = received(message, {**HR, "pointer": "/hr"}, account="/id", ignore=["/log/1"])
    unmapped = [verdict.observation.codes[0].code for verdict in found.verdicts if verdict.reason is Reason.UNMAPPED]
    assert unmapped == ["/battery/percent", "/log/*"]


def test_elements_of_an_array_have_their_own_time_and_share_what_stands_above() -> None:
    message = {"unit": "%", "series": [{"t": 1795770840, "v": 97}, {"t": "1795770900", "v": 96}, {"v": 95}]}
    rule = {"sign": "spo2", "pointer": "/v", "unit_pointer": "/unit"}
    found = received(message, rule, each="/series/*", time="/t", time_format="s")
    assert [item.reading.time.isoformat()[11:19] for item in found.readings] == ["09:14:00", "09:15:00"]
    assert [verdict.reason for verdict in found.verdicts] == [Reason.USED, Reason.USED, Reason.NO_TIME]


def test_a_value_beside_the_elements_is_a_value_of_none_of_them() -> None:
    message = {"hr": 55, "items": [{"hr": 72, "at": 1795770840}, {"at": 1795770900}]}
    found = received(message, {**HR, "pointer": "/hr"}, each="/items/*", time="/at", time_format="s")
    assert signs(found) == [{"heart_rate": 72}]
    assert "/hr" in [v.observation.codes[0].code for v in found.verdicts if v.reason is Reason.UNMAPPED]


def test_a_rule_holds_only_where_its_condition_does() -> None:
    message = [{"id": "HR", "v": 72}, {"id": "PLS", "v": 71}, {"id": "SPO2", "v": 97}]
    rules = [{**HR, "pointer": "/v", "when": {"/id": "hr"}}, {**SPO2, "pointer": "/v", "when": {"/id": "spo2"}}]
    found = received(message, *rules, each="/*")
    assert signs(found) == [{"heart_rate": 72, "spo2": 97}]
    assert "/*/v of PLS" in [verdict.observation.codes[0].code for verdict in found.verdicts]


def test_the_built_in_mapping_of_vscapture_takes_the_ecg_and_both_pressures() -> None:
    values = {
        "NOM_PULS_OXIM_PULS_RATE": "71",
        "NOM_ECG_CARD_BEAT_RATE": "72",
        "NOM_PULS_OXIM_SAT_O2": "97.0",
        "NOM_PRESS_BLD_NONINV_SYS": "121",
        "NOM_PRESS_BLD_NONINV_DIA": "79",
        "NOM_RESP_RATE": "-",
    }
    message = [{"PhysioID": key, "Value": value, "DeviceID": "MP70-1"} for key, value in values.items()]
    site = Site.model_validate(
        {
            "zone": "UTC",
            "mqtt": [{"name": "or", "url": "mqtt://b", "mappings": ["vscapture"]}],
            "place": [{"ward": "or", "device": "or-1", "equipment": "MP70-1", "source": "or"}],
        }
    )
    found = receive("vscapture/theatre", json.dumps(message).encode(), site.mqtt[0], site, NOW)
    assert signs(found) == [{"heart_rate": 72, "spo2": 97, "systolic_bp": 121, "diastolic_bp": 79}]
    assert [item.device for item in found.readings] == ["or-1"]


def of_preset(preset: str, topic: str, payload: object, account: str) -> Received:
    site = Site.model_validate(
        {
            "zone": "Europe/Berlin",
            "mqtt": [{"name": "home", "url": "mqtt://b", "mappings": [preset]}],
            "place": [{"ward": "w", "device": "d", "equipment": account, "source": "home"}],
        }
    )
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return receive(topic, content, site.mqtt[0], site, NOW)


LINES = (
    b"# of Telegraf\n"
    b'oximeter,host=a,device=ox-1 heart_rate=72i,spo2=97.0,label="a \\"b\\", c=1" 1795770900000000000\n\n'
    b"oximeter,device=ox-1 spo2=96,on=t 1795770901500000000\n"
    b"cuff,device=ox\\ 2 systolic_bp=121,diastolic_bp=79 1795770900000000000"
)


def test_lines_of_telegraf_are_readings_of_their_device_and_time() -> None:
    found = of_preset("telegraf-line", "telegraf/a/oximeter", LINES, "ox-1")
    assert {(item.reading.time.isoformat(), item.device) for item in found.readings} == {
        ("2026-11-27T09:15:00+00:00", "d"),
        ("2026-11-27T09:15:01.500000+00:00", "d"),
        ("2026-11-27T09:15:00+00:00", None),
    }
    assert sorted(signs(found), key=str) == [
        {"heart_rate": 72, "spo2": 97},
        {"spo2": 96},
        {"systolic_bp": 121, "diastolic_bp": 79},
    ]
    off = of_preset("telegraf-line", "telegraf/a/oximeter", b"o,device=ox-1 heart_rate=0i 1795770900000000000", "ox-1")
    assert [item.reading.sensor_off for item in off.readings] == [("heart_rate",)]
    unused = [verdict.observation.codes[0].code for verdict in found.verdicts if verdict.reason is Reason.UNMAPPED]
    assert unused == ["/*/fields/label", "/*/fields/on"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "oximeter",
        "oximeter heart_rate",
        "oximeter heart_rate=",
        "oximeter heart_rate=72,",
        "oximeter heart_rate=72 now",
        "oximeter heart_rate=72i,heart_rate=73i",
        "oximeter,device=a,device=b heart_rate=72",
        "oximeter heart_rate=7 2",
        "oximeter heart_rate=nan",
        'oximeter heart_rate="72',
        "oximeter heart_rate=72 1795770900000000000 7",
        "oximeter heart_rate=1e999 1795770900000000000",
    ],
)
def test_a_line_that_is_not_whole_has_no_value(line: str) -> None:
    try:
        found = of_preset("telegraf-line", "telegraf/a/oximeter", line.encode(), "ox-1")
    except InvalidDocument:
        return
    assert signs(found) == [], line


@pytest.mark.parametrize(
    ("preset", "topic", "payload", "expected"),
    [
        (
            "tasmota",
            "tele/node-1/SENSOR",
            {
                "Time": "2026-11-27T10:14:00",
                "MAX30102": {"HeartRate": 72, "SpO2": 97},
                "MLX90614": {"OBJTMP": 33.1, "AMBTMP": 22.0},
                "Probe": {"BodyTemperature": 98.6},
                "TempUnit": "F",
            },
            [{"heart_rate": 72, "spo2": 97, "temperature": 37.0}],
        ),
        (
            "openice",
            "openice/numeric",
            {
                "unique_device_identifier": "node-1",
                "metric_id": "MDC_PULS_OXIM_SAT_O2",
                "vendor_metric_id": "",
                "instance_id": 0,
                "unit_id": "MDC_DIM_PERCENT",
                "value": 97.0,
                "device_time": {"sec": 1795770800, "nanosec": 0},
                "presentation_time": {"sec": 1795770890, "nanosec": 5},
            },
            [{"spo2": 97}],
        ),
        (
            "openice",
            "openice/numeric",
            {
                "unique_device_identifier": "node-1",
                "metric_id": "MDC_PULS_OXIM_PULS_RATE",
                "unit_id": "MDC_DIM_BEAT_PER_MIN",
                "value": 0,
                "presentation_time": {"sec": 1795770890},
            },
            [],
        ),
        (
            "telegraf",
            "telegraf/a/oximeter",
            {
                "fields": {"heart_rate": 0, "spo2": 97},
                "name": "o",
                "tags": {"device": "node-1"},
                "timestamp": 1795770890,
            },
            [{"spo2": 97}],
        ),
    ],
)
def test_a_built_in_mapping_reads_what_its_documentation_shows(
    preset: str, topic: str, payload: object, expected: list[dict[str, float]]
) -> None:
    found = of_preset(preset, topic, payload, "node-1")
    assert signs(found) == expected
    assert {item.device for item in found.readings} <= {"d"}
    assert not [one for one in found.verdicts if one.reason in (Reason.UNKNOWN_UNIT, Reason.NO_TIME)]


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("2026-11-27T10:15:00", "iso", "2026-11-27T09:15:00+00:00"),
        ("2026-11-27 10:15:00.250", "iso", "2026-11-27T09:15:00.250000+00:00"),
        ("2026-11-27T09:15:00.2500000Z", "iso", "2026-11-27T09:15:00.250000+00:00"),
        ("2026-11-27T10:15+01:00", "iso", "2026-11-27T09:15:00+00:00"),
        (1795770900, "s", "2026-11-27T09:15:00+00:00"),
        (1795770900.5, "s", "2026-11-27T09:15:00.500000+00:00"),
        (1795770900250, "ms", "2026-11-27T09:15:00.250000+00:00"),
        (1795770900250001, "us", "2026-11-27T09:15:00.250001+00:00"),
        (1795770900250001999, "ns", "2026-11-27T09:15:00.250001+00:00"),
    ],
)
def test_a_time_is_read_by_the_stated_form(text: object, form: str, expected: str) -> None:
    found = received({"t": text, "hr": 72}, {**HR, "pointer": "/hr"}, time="/t", time_format=form)
    assert [item.reading.time.isoformat() for item in found.readings] == [expected]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (1795770900, "ms"),
        (1795770900250, "s"),
        ("2026-11-27", "iso"),
        ("2026-13-27T10:15:00Z", "iso"),
        ("2026-03-29T02:30:00", "iso"),
        (None, "iso"),
        (True, "s"),
        ("1e9", "s"),
        ("2026-11-27T10:30:00Z", "iso"),
    ],
)
def test_a_time_that_cannot_be_is_no_time(value: object, form: str) -> None:
    found = received({"t": value, "hr": 72}, {**HR, "pointer": "/hr"}, time="/t", time_format=form)
    assert [verdict.reason for verdict in found.verdicts] == [Reason.NO_TIME]


def test_a_message_that_the_broker_kept_from_before_is_no_present_value() -> None:
    found = received(b"72", HR, retained=True)
    assert [(verdict.reason, not found.readings) for verdict in found.verdicts] == [(Reason.NO_TIME, True)]
    timed = received({"t": 1795770000, "hr": 72}, {**HR, "pointer": "/hr"}, time="/t", time_format="s", retained=True)
    assert len(timed.readings) == 1


def test_accounts_and_patients_are_readings_of_their_own() -> None:
    message = [{"who": "r-1", "p": 7, "hr": 72}, {"who": "r-2", "p": "", "hr": 80}]
    found = received(message, {**HR, "pointer": "/hr"}, subscription="all", each="/*", account="/who", patient="/p")
    assert [(item.device, item.reading.patient_id) for item in found.readings] == [("d", "7"), (None, None)]
    assert found.readings[1].problem == "no place of the site fits the account 'r-2' of home"


def test_a_topic_names_its_levels() -> None:
    mapping = Mapping.model_validate({"name": "m", "topic": "a/{x}/+/{y}/#", "value": [HR]})
    assert mapping.topic_filter == "a/+/+/+/#"
    assert mapping.match("a/1/2/3/4/5") == mapping.match("a/1/2/3") == ("1", "3")
    assert mapping.match("a/1/2") is mapping.match("b/1/2/3") is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"topic": "#"}, "the first level of a topic is a text"),
        ({"topic": "{x}/y"}, "the first level of a topic is a text"),
        ({"topic": "a/b{x}"}, "whole levels"),
        ({"topic": "a/#/b"}, "# is the last level"),
        ({"topic": "a/{x}/{x}"}, "the same name"),
        ({"time": "ts"}, "is no JSON pointer"),
        ({"time": "/a~2"}, "~ is written ~0"),
        ({"value": []}, "at least 1"),
        ({"value": [{"sign": "pulse", "unit": "/min"}]}, "heart_rate"),
        ({"value": [{"sign": "heart_rate"}]}, "a number without a unit is not guessed"),
        ({"value": [{"sign": "heart_rate", "unit": "parsec"}]}, "'parsec' is unknown, for heart_rate"),
        ({"value": [{"sign": "heart_rate", "unit": "%"}]}, "for heart_rate"),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_a_wrong_mapping_is_named(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Mapping.model_validate({"name": "m", "topic": "a/{x}", "value": [HR], **change})


@pytest.mark.parametrize("payload", [b"", b"{", b"[" * 100_000, b'{"a":1,"a":2}', b"\xff", b'{"a":"\\ud800"}'])
def test_what_cannot_be_read_is_refused_in_one_sentence(payload: bytes) -> None:
    with pytest.raises(InvalidDocument):
        received(payload, {**HR, "pointer": "/hr"})


@pytest.mark.parametrize("name", preset_names())
def test_a_built_in_mapping_is_valid_and_has_topics(name: str) -> None:
    assert all(mapping.topic for mapping in read_preset(name))


def test_any_change_of_a_message_keeps_the_counts_and_invents_no_value() -> None:
    """2,000 changed messages: each observation has one reason, and no value arises that the message does not hold."""
    chance = random.Random(7)
    shown = {"t": 1795770900, "id": "r-1", "hr": 72, "ox": {"v": 97, "u": "%"}, "bp": [121, 79], "temp": "36.8 Cel"}
    message = json.dumps(shown).encode()
    rules = (
        {**HR, "pointer": "/hr"},
        {"sign": "spo2", "pointer": "/ox/v", "unit_pointer": "/ox/u"},
        {"sign": "systolic_bp", "pointer": "/bp/0", "unit": "mm[Hg]"},
        {"sign": "diastolic_bp", "pointer": "/bp/1", "unit": "mm[Hg]"},
        {"sign": "temperature", "pointer": "/temp", "unit": "Cel"},
    )
    for _ in range(2_000):
        changed = bytearray(message)
        for _ in range(chance.randint(1, 3)):
            position = chance.randrange(len(changed))
            changed[position : position + chance.randint(0, 2)] = bytes(
                chance.choice(b'{}[]",:0123456789eE.-+ntf%\\') for _ in range(chance.randint(0, 2))
            )
        try:
            found = received(bytes(changed), *rules, time="/t", time_format="s", account="/id")
        except InvalidDocument:
            continue
        content = json.loads(changed, parse_constant=str)
        segments = [verdict.observation.segment for verdict in found.verdicts]
        assert segments == list(range(1, len(segments) + 1))
        for values in signs(found):
            for rule in rules:
                stated = at(content, str(rule["pointer"]))
                assert values.get(str(rule["sign"])) in (None, *readable(stated)), (rule, changed)


def at(content: Any, pointer: str) -> Any:
    for key in pointer.split("/")[1:]:
        if isinstance(content, list):
            content = content[int(key)] if int(key) < len(content) else None
        else:
            content = content.get(key) if isinstance(content, dict) else None
    return content


def readable(stated: Any) -> tuple[float, ...]:
    """Return what a stated value may mean: a saturation without its unit % is a fraction."""
    number = re.match(r"\s*([+-]?\d+(?:\.\d+)?)", str(stated)) if not isinstance(stated, bool) else None
    return () if number is None else (float(number[1]), float(number[1]) * 100)
