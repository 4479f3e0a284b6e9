"""Documents of webhooks: which of their values become readings, and why each of the others does not."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edges.config.site import Site
from edges.config.webhook_table import Webhook
from edges.observations.json_document import InvalidDocument
from edges.webhook.receive import Answered, receive
from vitals.signs import SIGN_KEYS

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
SITE = Site.model_validate(
    {
        "zone": "UTC",
        "place": [
            {"source": "watches", "equipment": "token-a", "ward": "home", "device": "watch-a"},
            {"source": "watches", "equipment": "u-b", "ward": "home", "device": "watch-b"},
        ],
    }
)


def webhook(kind: str, **more: Any) -> Webhook:
    fixed = {} if kind in ("garmin", "terra") else {"ward": "home", "device": "phone"}
    name = {"name": "watches"} if kind in ("garmin", "terra") else {"name": "phone"}
    return Webhook.model_validate({"kind": kind, "secret_file": "none", **name, **fixed, **more})


def take(kind: str, content: Any, **more: Any) -> Answered:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return receive(body, webhook(kind, **more), SITE, NOW)


def signs(received: Answered) -> list[tuple[str, str | None, dict[str, float]]]:
    return [
        (
            item.reading.time.strftime("%d %H:%M:%S"),
            item.device,
            {key: value for key in SIGN_KEYS if (value := item.reading.value(key)) is not None},
        )
        for item in received.readings
    ]


def metrics(*found: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    return {"data": {"metrics": [{"name": name, "units": units, "data": [point]} for name, units, point in found]}}


AT = "2026-11-29 12:30:05 +0200"


def test_metrics_of_one_moment_are_one_reading_in_the_units_of_the_signs() -> None:
    content = metrics(
        ("heart_rate", "count/min", {"date": AT, "Min": 81, "Avg": 81, "Max": 81, "source": "W"}),
        ("blood_oxygen_saturation", "%", {"date": AT, "qty": 94, "source": "W"}),
        ("body_temperature", "degF", {"date": AT, "qty": 100.4}),
        ("blood_pressure", "kPa", {"date": AT, "systolic": 16, "diastolic": 10.5}),
        ("respiratory_rate", "count/min", {"date": AT, "qty": "17"}),
    )
    values = {
        "heart_rate": 81, "spo2": 94, "resp_rate": 17, "temperature": 38, "systolic_bp": 120, "diastolic_bp": 79
    }  # fmt: skip
    assert signs(take("health-auto-export", content)) == [("29 10:30:05", "phone", values)]


@pytest.mark.parametrize(
    ("name", "units", "point", "reason"),
    [
        ("heart_rate", "count/min", {"date": AT, "Min": 60, "Avg": 70, "Max": 80}, "summary"),
        ("heart_rate", "count/min", {"date": AT, "Avg": 70}, "summary"),
        (
            "respiratory_rate",
            "count/min",
            {"date": AT, "qty": 14, "start": AT, "end": AT.replace("30", "45")},
            "summary",
        ),
        ("heart_rate", "count/min", {"date": AT, "Min": 70, "Avg": 70, "Max": 70, "qty": 71}, "summary"),
        ("Herzfrequenz", "Schläge/min", {"date": AT, "qty": 70}, "unmapped"),
        ("resting_heart_rate", "count/min", {"date": AT, "qty": 51}, "unmapped"),
        ("apple_sleeping_wrist_temperature", "degC", {"date": AT, "qty": 35.1}, "unmapped"),
        ("blood_oxygen_saturation", "%", {"date": AT, "qty": 0.97}, "implausible"),
        ("body_temperature", "", {"date": AT, "qty": 37}, "unknown_unit"),
        ("blood_pressure", "", {"date": AT, "systolic": 120}, "unknown_unit"),
        ("heart_rate", "Takte/min", {"date": AT, "qty": 70}, "unknown_unit"),
        ("heart_rate", "count/min", {"date": "2026-11-29", "qty": 70}, "no_time"),
        ("heart_rate", "count/min", {"date": "2026-11-29 12:30:05", "qty": 70}, "no_time"),
        ("heart_rate", "count/min", {"date": "2026-11-30 12:30:05 +0000", "qty": 70}, "no_time"),
        ("heart_rate", "count/min", {"date": "2026-11-31 12:30:05 +0000", "qty": 70}, "no_time"),
        ("heart_rate", "count/min", {"date": AT, "qty": None}, "no_value"),
        ("heart_rate", "count/min", {"date": AT, "qty": 70, "deleted": True}, "no_value"),
        ("heart_rate", "count/min", {"date": AT, "qty": 70, "isEstimated": 1}, "no_value"),
        ("heart_rate", "count/min", {"date": AT, "qty": 70, "aggregatedBy": "average"}, "no_value"),
        ("heart_rate", "count/min", {"date": AT, "qty": 70, "startDate": AT, "endDate": AT[:-5] + "+0000"}, "summary"),
        ("heart_rate", "count/min", {"date": AT, "qty": "72 bpm"}, "unreadable"),
        ("heart_rate", "count/min", {"date": AT, "qty": "97,5"}, "unreadable"),
        ("heart_rate", "count/min", {"date": AT, "qty": True}, "unreadable"),
        ("heart_rate", "count/min", {"date": AT, "qty": [70]}, "unreadable"),
        ("heart_rate", "count/min", {"date": AT, "qty": {"value": 70}}, "unreadable"),
        ("heart_rate", "count/min", {"date": AT, "qty": 10**400}, "unreadable"),
        ("heart_rate", "count/min", {"date": AT, "qty": 1e300}, "unreadable"),
        ("heart_rate", "count/min", {"date": AT, "qty": float("nan")}, "unreadable"),
        ("heart_rate", "count/min", {"date": AT, "qty": float("inf")}, "unreadable"),
        ("heart_rate", "count/min", {"date": AT, "qty": -5}, "implausible"),
    ],
)
def test_what_is_no_value_is_counted_with_its_reason(name: str, units: str, point: dict[str, Any], reason: str) -> None:
    content = metrics((name, units, point), ("heart_rate", "count/min", {"date": "2026-11-29T09:00:00Z", "qty": 64}))
    received = take("health-auto-export", content)
    assert signs(received) == [("29 09:00:00", "phone", {"heart_rate": 64})]
    assert received.counts == {reason: 1, "used": 1}
    assert received.status == 200


@pytest.mark.parametrize(
    "date",
    [
        "2026-11-29 5:30:05 AM -0500",
        "2026-11-29 5:30:05\N{NARROW NO-BREAK SPACE}a.m. -05:00",
        "2026-11-29T10:30:05.9999999Z",
        "2026-11-29 10:30:05 +0000",
        "2026-11-29T16:15:05+05:45",
    ],
)
def test_each_way_to_write_a_time_is_the_same_second(date: str) -> None:
    content = {"data": [{"name": "heart_rate", "date": date, "qty": 66}]}
    assert signs(take("health-auto-export", content)) == [("29 10:30:05", "phone", {"heart_rate": 66})]


def test_two_values_of_one_second_from_one_source_are_a_contradiction_and_from_two_sources_one_is_taken() -> None:
    one = {"date": AT, "qty": 66, "source": "Watch"}
    other = {"date": AT, "qty": 99, "source": "Watch"}
    same = metrics(("heart_rate", "count/min", one), ("heart_rate", "count/min", other))
    assert take("health-auto-export", same).counts == {"contradiction": 2}
    assert take("health-auto-export", metrics(*[("heart_rate", "count/min", one)] * 2)).counts == {
        "other_source": 1,
        "used": 1,
    }
    several = metrics(("heart_rate", "count/min", one), ("heart_rate", "count/min", {**other, "source": "Ring"}))
    assert signs(take("health-auto-export", several)) == [("29 10:30:05", "phone", {"heart_rate": 66})]


def test_pressures_of_two_sources_are_no_pair() -> None:
    content = metrics(
        ("blood_pressure", "mmHg", {"date": AT, "systolic": 150, "source": "A"}),
        ("blood_pressure", "mmHg", {"date": AT, "diastolic": 60, "source": "B"}),
    )
    assert take("health-auto-export", content).counts == {"other_source": 1, "used": 1}


def test_test_data_is_counted_and_not_stored() -> None:
    record = {"bpm": 61, "time": "2026-11-29T11:00:00Z"}
    content = {"test": True, "heart_rate": [record, record]}
    assert take("health-connect", content).counts == {"not_production": 2}
    assert take("health-connect", {**content, "test": "true"}).counts == {"not_production": 2}
    assert take("health-connect", {**content, "test": False}).counts == {"other_source": 1, "used": 1}


@pytest.mark.parametrize("value", [0, 0.0, -0.0, "0", "0.00"])
def test_a_worn_sensor_that_sends_zero_has_measured_nothing(value: object) -> None:
    at = {"time": "2026-11-29T11:00:00Z"}
    content = {"heart_rate": [{"bpm": value, **at}], "oxygen_saturation": [{"percentage": 95, **at}]}
    assert signs(take("health-connect", content)) == [("29 11:00:00", "phone", {"spo2": 95.0})]


def test_records_of_health_connect_have_their_own_units() -> None:
    time = {"time": "2026-11-29T11:00:00.250Z"}
    content = {
        "timestamp": "2026-11-29T11:59:00Z",
        "heart_rate": [{"bpm": 59, **time}],
        "oxygen_saturation": [{"percentage": 96.4, **time}],
        "blood_pressure": [{"systolic": 131.0, "diastolic": 84.0, **time}],
        "body_temperature": [{"celsius": 36.94, **time}, {"fahrenheit": 98, **time}],
        "skin_temperature": [{"delta_celsius": 0.2, "baseline_celsius": 33.0, **time}],
        "resting_heart_rate": [{"bpm": 48, **time}],
        "steps": [{"count": 12, "start_time": "2026-11-29T10:00:00Z"}],
        "heart_rate_variability": None,
    }
    received = take("health-connect", content)
    values = {"heart_rate": 59, "spo2": 96.4, "temperature": 36.94, "systolic_bp": 131, "diastolic_bp": 84}
    assert signs(received) == [("29 11:00:00", "phone", values)]
    assert received.counts == {"unmapped": 5, "used": 5}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"bpm": 72, "min": 60, "max": 90}, "summary"),
        ({"bpm": 72, "bpm_avg": 71}, "summary"),
        ({"bpm": 72, "minBpm": 60}, "summary"),
        ({"celsius": 34.1, "measurement_location": "wrist"}, "no_value"),
        ({"celsius": 34.1, "measurementLocation": 7}, "no_value"),
        ({"celsius": 34.1, "measurement_location": "MEASUREMENT_LOCATION_FINGER"}, "no_value"),
        ({"celsius": 36.8, "measurementLocation": 3}, "used"),
        ({"bpm": 72, "metadata": {"deleted": True}}, "no_value"),
        ({"bpm": 72, "status": "entered-in-error"}, "no_value"),
    ],
)
def test_a_record_of_a_period_or_of_the_skin_is_no_value_of_the_body(record: dict[str, Any], reason: str) -> None:
    name = "heart_rate" if "bpm" in record else "body_temperature"
    assert take("health-connect", {name: [{"time": "2026-11-27T09:10:00Z", **record}]}).counts == {reason: 1}


@pytest.mark.parametrize("date", ["2026-11-27 00:00:00 +0100", "2026-11-27 12:00:00\u202fAM +0100"])
def test_the_point_of_a_whole_day_is_no_value_of_a_moment(date: str) -> None:
    content = metrics(("blood_oxygen_saturation", "%", {"date": date, "qty": 96}))
    assert take("health-auto-export", content).counts == {"summary": 1}
    content["data"]["metrics"][0]["data"].append({"date": "2026-11-27 00:05:10 +0100", "qty": 95})
    assert take("health-auto-export", content).counts == {"used": 2}  # of a metric that is not summarised by day


def test_points_that_are_all_of_whole_hours_are_means() -> None:
    content = metrics(("blood_oxygen_saturation", "%", {"date": "2026-11-27 09:00:00 +0100", "qty": 95}))
    points = content["data"]["metrics"][0]["data"]
    points.append({"date": "2026-11-27 10:00:00 +0100", "qty": 95})
    assert take("health-auto-export", content).counts == {"summary": 2}
    points.append({"date": "2026-11-27 10:04:00 +0100", "qty": 95})
    assert take("health-auto-export", content).counts == {"used": 3}


def test_data_points_of_open_mhealth_count_one_by_one_and_a_statistic_is_none() -> None:
    frame = {"effective_time_frame": {"date_time": "2026-11-29T12:00:00+01:00"}}
    period = {"start_date_time": "2026-11-29T10:00:00Z", "duration": {"value": 1, "unit": "h"}}
    points = [
        {"header": {"schema_id": {"name": "heart-rate"}}, "body": {"heart_rate": _omh(57, "beats/min"), **frame}},
        {"heart_rate": _omh(88, "beats/min"), "descriptive_statistic": "average", **frame},
        {"respiratory_rate": _omh(14, "breaths/min"), "effective_time_frame": {"time_interval": period}},
        {"body_temperature": _omh(31.5, "C"), "measurement_location": "toe", **frame},
        {"body_temperature": _omh(33.9, "C"), "measurement_location": "Left wrist", **frame},
        {"oxygen_saturation": _omh(97, "%"), **frame},
        {"oxygen_saturation": _omh(70, "%"), "system": "mixed venous", **frame},
        {"step_count": 4, **frame},
    ]
    received = take("open-mhealth", points)
    assert signs(received) == [("29 11:00:00", "phone", {"heart_rate": 57, "spo2": 97})]
    assert received.counts == {"no_value": 4, "summary": 1, "unmapped": 1, "used": 2}


def test_a_data_point_with_a_unit_that_its_schema_does_not_have_is_refused() -> None:
    point = {"body_temperature": _omh(37, "Celsius"), "effective_time_frame": {"date_time": "2026-11-29T11:00:00Z"}}
    with pytest.raises(InvalidDocument, match="the schema has C or F or K") as error:
        take("open-mhealth", point)
    assert error.value.status == 422


def _omh(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit}


def test_samples_of_garmin_are_of_the_account_that_a_place_names() -> None:
    start = int(datetime(2026, 11, 29, 9, 0, tzinfo=UTC).timestamp())
    a = {"userId": "u-a", "userAccessToken": "token-a", "startTimeInSeconds": start, "startTimeOffsetInSeconds": 7200}
    b = {**a, "userId": "u-b", "userAccessToken": "token-b"}
    content = {
        "dailies": [{**a, "timeOffsetHeartRateSamples": {"15": 71, "30": 0}, "averageHeartRateInBeatsPerMinute": 66}],
        "allDayRespiration": [{**b, "timeOffsetEpochToBreaths": {"15": 13.6, "75": -1}}],
        "bloodPressures": [
            {"userId": "u-c", "systolic": 118, "diastolic": 77, "pulse": 63, "measurementTimeInSeconds": start}
        ],
        "pulseOx": [{"userId": "u-a", "callbackURL": "https://example.com"}],
        "stressDetails": [a],
    }
    received = take("garmin", content)
    assert sorted(signs(received), key=str) == [
        ("29 09:00:00", None, {"heart_rate": 63, "systolic_bp": 118, "diastolic_bp": 77}),
        ("29 09:00:15", "watch-a", {"heart_rate": 71}),
        ("29 09:00:15", "watch-b", {"resp_rate": 13.6}),
    ]
    assert received.counts == {"no_value": 2, "notice": 1, "unknown_place": 3, "unmapped": 1, "used": 2}


def test_an_access_token_is_in_no_sentence() -> None:
    start = int(NOW.timestamp()) - 60
    summary = {"userId": "u-z", "userAccessToken": "secret-z", "startTimeInSeconds": start}
    content = {"pulseOx": [{**summary, "timeOffsetSpo2Values": {"0": 95}}]}
    received = take("garmin", content)
    assert "u-z" in received.readings[0].problem
    assert "secret-z" not in f"{received.readings[0].problem}{received.verdicts}{received.answer!r}"


def test_samples_of_terra_count_in_each_type_of_event() -> None:
    stamp = {"timestamp": "2026-11-29T10:00:00.000000+00:00"}
    item = {
        "heart_data": {"heart_rate_data": {"detailed": {"hr_samples": [{"bpm": 68, **stamp}]}, "summary": {"avg": 70}}},
        "temperature_data": {
            "body_temperature_samples": [{"temperature_celsius": 36.8, **stamp}],
            "skin_temperature_samples": [{"temperature_celsius": 33.1, **stamp}],
        },
    }
    event = {"type": "daily", "user": {"user_id": "u-b"}, "data": [item, {"metadata": {}}]}
    received = take("terra", event)
    assert signs(received) == [("29 10:00:00", "watch-b", {"heart_rate": 68, "temperature": 36.8})]
    assert received.counts == {"unmapped": 1, "used": 2}
    assert take("terra", {"type": "deauth", "user": {"user_id": "u-b"}}).counts == {"notice": 1}


def test_a_saturation_of_terra_that_may_be_of_a_muscle_is_no_spo2() -> None:
    samples: list[dict[str, object]] = [
        {"timestamp": f"2026-11-29T10:00:0{second}+00:00", "percentage": 60 + second, "type": kind}
        for second, kind in enumerate((None, None, 0, 1))
    ]
    del samples[0]["type"]
    event = {"type": "body", "user": {"user_id": "u-b"}, "data": [{"oxygen_data": {"saturation_samples": samples}}]}
    received = take("terra", event)
    assert [values["spo2"] for _, _, values in signs(received)] == [60, 61]
    assert received.counts == {"no_value": 2, "used": 2}


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("withings", b"userid=7&appli=16&startdate=1&enddate=2", 200),
        ("oura", b'{"event_type": "update", "data_type": "daily_spo2", "user_id": "x"}', 200),
        ("fitbit", b'[{"collectionType": "activities"}, {"collectionType": "sleep"}]', 204),
    ],
)
def test_a_notice_is_counted_and_has_no_readings(kind: str, body: bytes, status: int) -> None:
    found = Webhook.model_validate({"name": "n", "kind": kind, "secret_file": "none"})
    received = receive(body, found, SITE, NOW)
    assert (received.readings, received.status, set(received.counts)) == ([], status, {"notice"})


def test_values_of_a_wrong_clock_have_the_time_of_receipt_and_older_ones_none() -> None:
    points = [{"bpm": 60 + minute, "time": f"2013-01-01T00:0{minute}:00Z"} for minute in range(3)]
    received = take("health-connect", {"heart_rate": points}, clock="receipt")
    assert signs(received) == [("29 12:00:00", "phone", {"heart_rate": 62})]
    assert received.counts == {"no_time": 2, "used": 1}
    assert received.by_receipt


@pytest.mark.parametrize("kind", ["health-auto-export", "health-connect", "open-mhealth", "garmin", "terra"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"data": 1, "data": 2}', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 300 + b"1" + b"}" * 300, 400),
        (b"null", 422),
        (b"7", 422),
        (b'"text"', 422),
        (b'{"data": 5}', 422),
    ],
)
def test_a_document_of_another_shape_is_refused_with_a_sentence(kind: str, body: bytes, status: int) -> None:
    if kind == "open-mhealth" and body == b'{"data": 5}':
        assert take(kind, body).counts == {"unmapped": 1}
        return
    with pytest.raises(InvalidDocument) as error:
        take(kind, body)
    assert error.value.status == status


def test_a_byte_order_mark_and_old_times_change_nothing() -> None:
    at = (NOW - timedelta(hours=48)).isoformat()
    content = {"heart_rate": [{"bpm": 72, "time": at}]}
    assert signs(take("health-connect", b"\xef\xbb\xbf" + json.dumps(content).encode())) == [
        ("27 12:00:00", "phone", {"heart_rate": 72})
    ]


MAPPED = {
    "zone": "Europe/Berlin",
    "mapping": [
        {
            "name": "gateway",
            "each": "/items/*",
            "time": "/at",
            "account": "/id",
            "value": [
                {"sign": "heart_rate", "pointer": "/hr", "unit": "/min", "no_value": [-1]},
                {"sign": "temperature", "pointer": "/temp", "unit": "degF"},
            ],
        },
        {"name": "now", "value": [{"sign": "spo2", "pointer": "/spo2", "unit": "%"}]},
    ],
    "webhook": [
        {"name": "gateway", "kind": "mapping", "mapping": "gateway", "secret_file": "none"},
        {
            "name": "now", "kind": "mapping", "mapping": "now", "secret_file": "none", "ward": "home", "device": "ring"
        },
    ],
    "place": [{"source": "gateway", "equipment": "7", "ward": "home", "device": "bed-7"}],
}  # fmt: skip


def test_any_other_json_is_read_by_a_mapping_of_the_site() -> None:
    site = Site.model_validate(MAPPED)
    items = [
        {"id": 7, "hr": "64", "temp": 98.6, "at": "2026-11-29 11:00:00", "note": "x"},
        {"id": 8, "hr": -1, "at": "2026-11-29T10:30:00.1239Z"},
        {"id": 7, "hr": 70, "at": "yesterday"},
    ]
    received = receive(json.dumps({"items": items}).encode(), site.webhook[0], site, NOW)
    assert signs(received) == [("29 10:00:00", "bed-7", {"heart_rate": 64, "temperature": 37})]
    assert received.counts == {"no_time": 1, "no_value": 1, "unmapped": 1, "used": 2}
    assert not received.by_receipt


def test_a_mapping_without_a_time_means_the_time_of_receipt() -> None:
    site = Site.model_validate(MAPPED)
    received = receive(b'{"spo2": 96, "battery": 40}', site.webhook[1], site, NOW)
    assert signs(received) == [("29 12:00:00", "ring", {"spo2": 96})]
    assert received.by_receipt


def test_test_data_of_a_mapping_is_not_stored() -> None:
    site = Site.model_validate(MAPPED)
    assert receive(b'{"spo2": 96, "test": true}', site.webhook[1], site, NOW).readings == []
