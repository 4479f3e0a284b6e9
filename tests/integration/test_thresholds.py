"""Python and SQL name the condition of a bed alike: the station and Grafana show the same word for the same bed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import cycle, product
from random import Random

import psycopg

from ingest.batch_builder import copy_line
from ingest.device_clocks import DeviceClocks
from ingest.store import COPY_DIRECT
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


def random_messages(random: Random, now: datetime) -> Iterator[tuple[Reading, datetime]]:
    """Yield readings of one bed with their arrivals: whole or sign by sign, numbered or not, by any clock."""
    clock = timedelta(seconds=random.choice((0, 0, 0, -3600, -90, -20, 3, 60)))
    interval_s = random.choice((0.5, 1.0, 2.0))
    is_whole, is_numbered, in_seconds, changes_patient = (random.random() < 0.5 for _ in range(4))
    begin = now - timedelta(seconds=random.choice((0.2, 2, 20)) + 39 * interval_s)
    for number in range(40):
        signs = {
            key: random.choice(values) if random.random() < 0.9 else None
            for key, values in (("heart_rate", (80.0, 81.0, 200.0)), ("spo2", (97.0, 70.0)), ("resp_rate", (14.0,)))
        }
        off = [key for key in signs if random.random() < (0.3 if number > 30 else 0.02)]
        keys = list(signs) if is_whole else random.sample(list(signs), random.randint(1, 3))
        for part, shown in enumerate([keys] if is_whole else [[key] for key in keys]):
            arrival = begin + timedelta(seconds=number * interval_s, milliseconds=10 * part)
            time = arrival + clock
            item = reading(
                time.replace(microsecond=0) if in_seconds else time,
                {key: signs[key] for key in shown if key not in off},
                sensor_off=tuple(key for key in shown if key in off),
                patient_id="p-2" if changes_patient and number > 28 else "p-1",
                boot=1 if is_numbered else 0,
                seq=10 * number + part + 1 if is_numbered else 0,
            )
            if item.sensor_off or any(value is not None for value in item.values):
                yield item, arrival


def test_the_views_show_what_the_station_shows_of_any_stream(db: Db) -> None:
    beds: dict[str, BedState] = {}
    clocks, offsets = DeviceClocks(), dict[str, timedelta]()
    with psycopg.connect(db.owner_url) as connection, connection.cursor() as cursor:
        (row,) = connection.execute("SELECT now()")
        now: datetime = row[0]
        with cursor.copy(COPY_DIRECT) as copy:
            for seed in range(300):
                device = f"bed-{seed}"
                bed = beds[device] = BedState(DeviceAddress(WARD, device))
                stored: set[str] = set()
                for item, arrival in random_messages(Random(seed), now):
                    bed.add_reading(item, WARD, arrival)
                    offsets |= clocks.offsets({device: item}, arrival)
                    line = copy_line(item, bed.snapshot.bed, item.time)
                    if line not in stored:
                        copy.write(copy_line(item, bed.snapshot.bed, arrival))
                    stored.add(line)
                bed.settle(now)
        cursor.executemany(
            "INSERT INTO device_clock (device_id, clock_offset, changed_at) VALUES (%s, %s, now())",
            list(offsets.items()),
        )
        connection.execute("ANALYZE patient_vitals")
        board = "SELECT device_id, patient_id, condition, heart_rate, spo2, resp_rate FROM ward_board"
        found = {device: tuple(shown) for device, *shown in connection.execute(board)}
    assert len(found) == len(beds)
    different = []
    for device, bed in beds.items():
        known = bed.snapshot.last_values
        values = [known[key].value if key in known else None for key in ("heart_rate", "spo2", "resp_rate")]
        if found[device] != (shown := (bed.snapshot.patient, bed.condition(now), *values)):
            different.append((device, found[device], shown))
    assert different == []
    assert {condition for _, condition, *_ in found.values()} == {"NORMAL", "CRITICAL", "SENSOR OFF", "SILENT"}
