"""Python and SQL name the condition of a bed alike: the station and Grafana show the same word for the same bed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import cycle, product

import psycopg

from station.bed import BedState
from tests.support.servers import Db
from vitals.bed_snapshot import BedSnapshot, Condition
from vitals.reading import Reading, reading
from vitals.signs import classify
from vitals.thresholds import NEWS2_MAX_AGE, SILENT_AFTER, silent_after
from vitals.topics import DeviceAddress

WARD = "icu-1"
INTERVALS = (None, 0.5, 1.0, 1.5, 2.0, 10.0, 60.0)
MILLISECOND = timedelta(milliseconds=1)
VALUES = {"heart_rate": 80.0}, {"heart_rate": 200.0}  # NORMAL and CRITICAL
SENSOR_OFF = (), ("spo2",)


def readings(interval_s: float | None, now: datetime) -> list[Reading | None]:
    """No reading, and readings on both sides of the threshold in each state."""
    limit = silent_after(timedelta(seconds=interval_s or 0.0))
    ages = timedelta(), limit - MILLISECOND, limit, limit + MILLISECOND, timedelta(seconds=15), timedelta(minutes=10)
    return [None] + [
        reading(now - age, values, sensor_off=sensor_off)
        for age, values, sensor_off in product(ages, VALUES, SENSOR_OFF)
    ]


def test_a_bed_has_the_same_condition_in_python_and_in_sql(db: Db) -> None:
    expected: dict[str, Condition] = {}
    with psycopg.connect(db.owner_url) as connection:
        (row,) = connection.execute("SELECT now()")  # the same until the end of the transaction
        now: datetime = row[0]
        for interval_s, online in product(INTERVALS, (True, False)):
            for last in readings(interval_s, now):
                device = f"bed-{len(expected)}"
                connection.execute(
                    "INSERT INTO device (device_id, ward, state, boot, interval_s, changed_at)"
                    " VALUES (%s, %s, %s, 1, %s, now())",
                    [device, WARD, "online" if online else "offline", interval_s],
                )
                if last is not None:
                    connection.execute(
                        "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, sensor_off, status,"
                        " received_at) VALUES (%s, %s, 1, 1, %s, %s, %s, %s, now())",
                        [
                            last.time,
                            device,
                            WARD,
                            last.value("heart_rate"),
                            list(last.sensor_off),
                            classify(last.values),
                        ],
                    )
                bed = BedSnapshot(DeviceAddress(WARD, device), online=online, interval_s=interval_s or 0.0)
                if last is not None:
                    bed = replace(bed.with_reading(last, last.time), online=online)
                expected[device] = bed.condition(now)
        found: dict[str, str] = dict(connection.execute("SELECT device_id, condition FROM ward_condition").fetchall())
    assert found == expected
    assert set(expected.values()) == set(Condition) - {Condition.VACANT}, "that depends on the assignment"


def sequences() -> Iterator[tuple[float | None, list[tuple[float, str]]]]:
    """Yield the interval that a device announces, and how long before its last reading each came, with its sign."""
    for announced, interval in product((None, 1.0, 10.0, 60.0, 1000.0), (0.25, 1.0, 10.0, 20.0, 60.0)):
        regular = [interval * number for number in range(70)]
        for some in regular[:2], regular[:3], regular:
            yield announced, [(ago, "heart_rate") for ago in some]
            # A sign a message: the oldest one, critical, is two intervals old.
            yield announced, list(zip(some, cycle(("spo2", "resp_rate", "heart_rate"))))
        for outage in 3, 40:
            yield announced, [(ago + 500 * (ago >= outage * interval), "heart_rate") for ago in regular]
        if interval >= 1:
            yield (
                announced,
                [(ago + part / 10, key) for ago in regular for part, key in enumerate(("spo2", "heart_rate"))],
            )


def test_a_bed_is_silent_or_critical_as_at_the_station_whatever_interval_its_device_announced(db: Db) -> None:
    """It may be missing or in another unit: then the interval counts at which readings come."""
    expected: dict[str, tuple[object, ...]] = {}
    readings_sql = (
        "COPY patient_vitals (time, device_id, boot, seq, ward, heart_rate, spo2, resp_rate, status, arrival_lag_ms)"
        " FROM STDIN"
    )
    values = {"heart_rate": 200.0, "spo2": 97.0, "resp_rate": 14.0}
    with psycopg.connect(db.owner_url) as connection, connection.cursor() as cursor:
        (row,) = connection.execute("SELECT now()")
        now: datetime = row[0]
        with cursor.copy(readings_sql) as copy:
            for (announced, sent), age_s in product(sequences(), (0, 6, 42, 250, 4000)):
                device = f"bed-{len(expected)}"
                bed = BedState(DeviceAddress(WARD, device))
                bed.announced = timedelta(seconds=announced) if announced else None
                bed.snapshot = bed.snapshot.with_status("online", 0, announced)
                for number, (ago, key) in enumerate(reversed(sent)):
                    at = now - timedelta(seconds=age_s + ago)
                    bed.add_reading(reading(at, {key: values[key]}), WARD, at)
                    signs = [values[key] if key == other else None for other in values]
                    copy.write_row([at, device, 0, -1 - number, WARD, *signs, "NORMAL", 0])
                expected[device] = (bed.snapshot.condition(now), announced, age_s, sent[:4], len(sent))
        cursor.executemany(
            "INSERT INTO device (device_id, ward, state, boot, interval_s, changed_at)"
            " VALUES (%s, %s, 'online', 0, %s, now() - interval '1 day')",
            [(device, WARD, case[1]) for device, case in expected.items() if case[1]],
        )
        connection.execute("ANALYZE patient_vitals")
        found: dict[str, str] = dict(connection.execute("SELECT device_id, condition FROM ward_condition").fetchall())
    assert [(found.get(device), *case) for device, case in expected.items() if found.get(device) != case[0]] == []


def test_the_functions_of_the_database_return_the_thresholds_of_python(db: Db) -> None:
    for interval_s in INTERVALS:
        assert db.one("SELECT silent_after(%s::float8)", interval_s) == silent_after(
            timedelta(seconds=interval_s or 0.0)
        )
    assert silent_after(None) == SILENT_AFTER
    assert {key: db.one("SELECT news2_max_age(%s)", key) for key in NEWS2_MAX_AGE} == NEWS2_MAX_AGE
    assert db.one("SELECT news2_max_age('no such input')") is None
