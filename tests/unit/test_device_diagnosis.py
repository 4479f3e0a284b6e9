"""Why a device's readings do not arrive: each cause has its finding and its advice, and a right device has none."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vitals.codec import ANY_TIME, Reason, decode, find_unknown_keys
from vitals.device_diagnosis import (
    ADVICE,
    Connection,
    Finding,
    Identity,
    Observations,
    Refused,
    Severity,
    diagnose,
    facts,
)
from vitals.topics import Topics

BEGIN = datetime(2026, 11, 29, 12, tzinfo=UTC)
RIGHT = Identity("device", "icu-1", client_id="bed-1.abcd")
TOPIC = "vitalflow/vitals/icu-1/bed-1"
AFTER = BEGIN + timedelta(seconds=30)


def observe(*payloads: Any, offset_s: float = 0.0, qos: int = 1, topics: Topics | None = None) -> Observations:
    """A device that sends these, one a second, with the time filled in."""
    seen = Observations(topics or Topics(), "bed-1", timedelta(days=30), BEGIN)
    for number, payload in enumerate(payloads):
        arrival = BEGIN + timedelta(seconds=number)
        if isinstance(payload, dict):
            time = (arrival + timedelta(seconds=offset_s)).isoformat()
            payload = json.dumps({"time": time, **payload}).encode()
        seen.take(TOPIC, payload, arrival, qos=qos)
    seen.finish(AFTER)
    return seen


def wrong(seen: Observations, identity: Identity | None = RIGHT, connection: Connection | None = None) -> list[str]:
    found = diagnose(seen, identity, Connection() if connection is None else connection, [], AFTER)
    return [f"{finding.text}; {finding.advice}" for finding in found if finding.severity is Severity.WRONG]


def good(count: int = 10) -> list[dict[str, Any]]:
    return [{"boot": 1, "seq": seq, "patient_id": "p-1", "heart_rate": 72} for seq in range(1, count + 1)]


def test_a_right_device_has_no_finding() -> None:
    seen = observe(*good())
    assert diagnose(seen, RIGHT, Connection(), [], AFTER) == []
    texts = dict(facts(seen, RIGHT, Connection(), AFTER))
    assert texts["publishes"] == f"{TOPIC}: 10 messages"
    assert texts["interval"] == "1.0 s"
    assert texts["clock"] == "right"


def test_a_device_that_is_listed_as_one_without_a_clock_needs_no_time() -> None:
    assert wrong(observe(b'{"spo2": 97}', topics=Topics(arrival_time={"icu-1/+"}))) == []
    assert "no_time" in wrong(observe(b'{"spo2": 97}'))[0]


def test_a_login_without_readings_names_the_right_topic() -> None:
    login = Connection(BEGIN, "10.0.0.7", "MQTT 3.1.1", logins=1)
    (text,) = wrong(observe(), connection=login)
    assert "no reading has arrived since" in text
    assert TOPIC in text


@pytest.mark.parametrize(
    ("client_id", "expected"),
    [
        ("bed-1.abcd", "user or password is wrong"),
        ("bed-1", "the password works with 'bed-1.abcd' only"),
        ("my-own", "it may be this device"),
    ],
)
def test_a_refused_login_is_attributed_by_its_client_id(client_id: str, expected: str) -> None:
    (text,) = wrong(observe(), connection=Connection(refused=[Refused(client_id, 2, BEGIN)]))
    assert expected in text


def test_refused_logins_of_other_clients_are_no_finding_for_a_device_that_sends() -> None:
    assert wrong(observe(*good()), connection=Connection(refused=[Refused("my-own", 2, BEGIN)])) == []


def test_a_device_that_was_not_seen_and_one_that_is_not_enrolled() -> None:
    assert "no login and no reading" in wrong(observe())[0]
    (text,) = wrong(observe(), Identity("", similar=["bed-01"]))
    assert "no user 'bed-1'; similar names: bed-01" in text


@pytest.mark.parametrize(("days", "severity"), [(-1, Severity.WRONG), (10, Severity.NOTE), (100, None)])
def test_a_certificate_that_ends(days: int, severity: Severity | None) -> None:
    identity = Identity("device", "icu-1", certificate_ends=AFTER + timedelta(days=days))
    found = diagnose(observe(*good()), identity, Connection(), [], AFTER)
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])


@pytest.mark.parametrize(
    ("offset_s", "expected"), [(90, "90 s ahead"), (-90, "90 s behind"), (-86_400, "24.0 h behind")]
)
def test_a_wrong_clock(offset_s: float, expected: str) -> None:
    assert any(expected in text for text in wrong(observe(*good(30), offset_s=offset_s)))


def test_a_rejected_payload_has_its_reason_and_advice() -> None:
    (text,) = wrong(observe(b"not json", b"not json"))
    assert text.startswith("rejected 2 times, not_json")
    assert ADVICE[Reason.NOT_JSON] in text
    (text,) = wrong(observe({"heart_rate": 72, "time": "12:00"}))
    assert "bad_time" in text


def test_unknown_keys_are_named_with_the_key_that_is_meant() -> None:
    texts = wrong(observe({"HR": 72, "SpO2": 98, "battery": 80}))
    assert any("no_sign" in text for text in texts)
    assert any("'HR'" in text and "write 'heart_rate'" in text for text in texts)
    assert any("'SpO2'" in text and "write 'spo2'" in text for text in texts)
    found = diagnose(observe({"heart_rate": 72, "battery": 80}), RIGHT, Connection(), [], AFTER)
    assert found == [Finding(Severity.NOTE, "the key 'battery' is unknown and not stored (1 times)")]
    assert find_unknown_keys(b'[{"a": 1, "a": 2}, {"b": 1, "sensor_off": ["c", "spo2"]}, 3]') == ["a", "b", "c"]
    assert find_unknown_keys(b"{") == []


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("heartRate", "heart_rate"),
        ("respiratoryRate", "resp_rate"),
        ("bodyTemperature", "temperature"),
        ("Oxygen-Saturation", "spo2"),
        ("patientId", "patient_id"),
        ("timeStamp", "time"),
        ("sensorOff", "sensor_off"),
    ],
)
def test_a_key_in_another_spelling_is_recognised(key: str, meant: str) -> None:
    texts = wrong(observe({"diastolic_bp": 70, key: 1}))
    assert any(f"{key!r}" in text and text.endswith(f"write {meant!r}") for text in texts)


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([{"spo2": 97, "spo2_valid": False}], "'spo2_valid is False' stands beside a value and is not read"),
        ([{"heart_rate": 70, "quality": 0}], "'quality is 0' stands beside a value"),
        ([{"heart_rate": 70}, {"heart_rate": 255}], "heart_rate was 255 in 1 of 2 readings; it counts as measured"),
        ([{"spo2": 0.97}, {"spo2": 0.98}], "spo2 is at most 0.98 %: it may be a fraction"),
        ([{"spo2": 97, "heart_rate": 70}] * 25, "no value has changed in 25 readings"),
    ],
)
def test_a_value_that_may_not_be_measured_is_a_finding(readings: list[dict[str, Any]], expected: str) -> None:
    found = diagnose(observe(*readings), RIGHT, Connection(), [], AFTER)
    assert any(expected in finding.text for finding in found)
    usual = [{"spo2": 97, "heart_rate": 70 + second % 2, "spo2_valid": True, "lead": "II"} for second in range(60)]
    assert not any(finding.severity is Severity.WRONG for finding in diagnose(observe(*usual), RIGHT, None, [], AFTER))


def test_a_key_that_comes_twice_is_named_and_its_last_value_counts() -> None:
    twice = f'{{"time":"{AFTER.isoformat()}","spo2":70,"heart_rate":72,"spo2":98}}'.encode()
    seen = observe(twice, twice, b'[{"spo2":1,"spo2":2}', {"spo2": 98})
    texts = [text for text in wrong(seen) if "more than once" in text]
    assert len(texts) == 1
    assert "'spo2' comes more than once in one reading, and only its last value counts (2 times)" in texts[0]
    assert [each.spo2 for each in decode(twice, ANY_TIME).readings] == [98.0]  # type: ignore[attr-defined]
    assert [each.spo2 for each in decode(b"\xef\xbb\xbf" + twice, ANY_TIME).readings] == [98.0]  # type: ignore[attr-defined]


def test_messages_that_are_only_nearly_json_are_counted() -> None:
    nearly = f'{{"time":"{AFTER.isoformat()}","spo2":70,}}'.encode()
    found = diagnose(observe(nearly, nearly, {"spo2": 98}), RIGHT, Connection(), [], AFTER)
    assert (
        Finding(Severity.NOTE, "2 messages are no valid JSON, and were read all the same", ADVICE[Reason.NOT_JSON])
        in found
    )


def test_an_announced_interval_that_readings_contradict() -> None:
    seen = observe(*good())
    seen.take(Topics().status("icu-1", "bed-1"), b'{"state":"online","interval_s":1000}', AFTER)
    assert any("every 1000 s, and they come every 1.0 s" in text for text in wrong(seen))


def test_missing_numbers_and_alternating_patients() -> None:
    gap = [{**reading, "seq": reading["seq"] + 3 * (reading["seq"] > 5)} for reading in good()]
    assert any("3 numbers are missing" in text for text in wrong(observe(*gap)))
    turns = [{"heart_rate": 72, "patient_id": name} for name in ("p-1", "P-1") * 15]
    assert any("patient ids come in turn" in text for text in wrong(observe(*turns)))


def test_foreign_text_reaches_no_terminal_as_a_control_sequence_and_memory_is_bounded() -> None:
    hostile = [{f"\x1b[2J{number}": 1, "patient_id": f"p{number}", "heart_rate": 7} for number in range(300)]
    seen = observe(*hostile, b"\x1b[31m", qos=0)
    texts = [*wrong(seen), *(text for pair in facts(seen, RIGHT, Connection(), AFTER) for text in pair)]
    assert all(text.isprintable() for text in texts)
    assert len(texts) < 200


def test_messages_of_other_devices_are_ignored() -> None:
    seen = observe()
    assert seen.take("vitalflow/vitals/icu-1/bed-2", b"{}", BEGIN) is None
    assert seen.take("vitalflow/vitals/icu-1", b"{}", BEGIN) is None
    assert seen.messages == 0


def test_a_service_that_cannot_store_is_a_finding() -> None:
    found = diagnose(observe(*good()), RIGHT, Connection(), ["ingest: the disk is full"], AFTER)
    assert [finding.text for finding in found] == ["a service reports: ingest: the disk is full"]
