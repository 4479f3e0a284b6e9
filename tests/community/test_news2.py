"""news2(), and news2_latest on both editions, against the score that the alert worker computes in Python."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import product
from random import Random

import psycopg

from tests.fixtures.trends import NOW
from tests.support.servers import Db
from vitals.news2 import INPUTS, LastValues, Score, score
from vitals.reading import reading
from vitals.signs import BY_KEY, SIGN_KEYS
from vitals.thresholds import NEWS2_MAX_AGE

Values = dict[str, float | bool | str | None]
ORDER = ("resp_rate", "spo2", "on_oxygen", "systolic_bp", "heart_rate", "consciousness", "temperature")
PARTS = ", ".join(f"{key}_part" for key in ORDER)
ASK = f"""
    SELECT total, worst, missing, {PARTS}
    FROM unnest(%s::float8[], %s::float8[], %s::boolean[], %s::float8[], %s::float8[], %s::text[],
                %s::float8[], %s::int[])
        WITH ORDINALITY AS input (r, s, o, p, h, c, t, scale, number)
    CROSS JOIN LATERAL news2(r, s, o, p, h, c, t, scale)
    ORDER BY number
"""  # noqa: S608


def agree(db: Db, cases: Sequence[tuple[Values, int]]) -> None:
    """Ask SQL and Python for the same scores."""
    with psycopg.connect(db.owner_url) as connection:
        for start in range(0, len(cases), 20_000):
            piece = cases[start : start + 20_000]
            columns = [[values.get(key) for values, _ in piece] for key in ORDER]
            found = connection.execute(ASK.encode(), [*columns, [scale for _, scale in piece]]).fetchall()
            for (values, scale), row in zip(piece, found, strict=True):
                wanted = score(values, scale=scale)
                assert score_of(row) == wanted, (values, scale)
                assert row[1] == wanted.worst


def score_of(row: Sequence[object]) -> Score:
    """A row of SQL as Python's score."""
    parts = {key: value for key, value in zip(ORDER, row[3:], strict=True) if value is not None}
    assert isinstance(row[2], list)
    assert isinstance(row[0], int)
    return Score(row[0], {key: int(str(parts[key])) for key in INPUTS if key in parts}, tuple(row[2]))


def test_every_boundary(display_db: Db) -> None:
    cases: list[tuple[Values, int]] = []
    for key in ("resp_rate", "spo2", "systolic_bp", "heart_rate", "temperature"):
        sign = BY_KEY[key]
        steps = 20 if key == "temperature" else 2  # halves of what the chart is printed in, so every tie is met
        values = [number / steps for number in range(int(sign.low * steps), int(sign.high * steps) + 1)]
        near = [value + off for value in values for off in (-0.001, 0.0, 0.001) if sign.low <= value + off <= sign.high]
        cases += [
            ({key: value, "on_oxygen": oxygen}, scale)
            for value, oxygen, scale in product(near, (None, False, True), (1, 2))
        ]
    cases += [({"consciousness": word}, 1) for word in (None, "A", "C", "V", "P", "U")]
    agree(display_db, cases)


def test_a_hundred_thousand_random_rows(display_db: Db) -> None:
    chance = Random(20171219)

    def drawn() -> tuple[Values, int]:
        values: Values = {
            key: None if chance.random() < 0.1 else round(chance.uniform(BY_KEY[key].low, BY_KEY[key].high), 2)
            for key in ("resp_rate", "spo2", "systolic_bp", "heart_rate", "temperature")
        }
        values["on_oxygen"] = chance.choice([None, False, True])
        values["consciousness"] = chance.choice([None, "A", "C", "V", "P", "U"])
        return values, chance.choice([1, 2])

    agree(display_db, [drawn() for _ in range(100_000)])


def test_values_are_valid_as_long_as_in_python(display_db: Db) -> None:
    found = {key: display_db.one("SELECT news2_max_age(%s)", key) for key in INPUTS}
    assert found == NEWS2_MAX_AGE


def test_the_latest_score_of_a_bed_is_that_of_the_worker(weeks: Db) -> None:
    """Each bed ends in another way; the readings of a bed come a while before its last one."""

    def minutes(number: int) -> timedelta:
        return timedelta(minutes=number)

    def seconds(number: int) -> timedelta:
        return timedelta(seconds=number)

    full: Values = {
        "resp_rate": 22.0, "spo2": 93.0, "systolic_bp": 105.0, "heart_rate": 112.0, "temperature": 38.5,
        "on_oxygen": True, "consciousness": "C",
    }  # fmt: skip
    stories: dict[str, list[tuple[timedelta, Values]]] = {
        "bed-news-1": [(seconds(0), full)],
        "bed-news-2": [(seconds(59), full), (seconds(0), {"heart_rate": 80.0})],
        "bed-news-3": [(seconds(61), full), (seconds(0), {"heart_rate": 80.0})],
        "bed-news-4": [(minutes(59), full), (seconds(0), {"temperature": 36.05})],
        "bed-news-5": [(minutes(61), full), (seconds(0), {"on_oxygen": False})],
        "bed-news-6": [(minutes(239), full), (minutes(30), {"consciousness": "A"}), (seconds(0), {"spo2": 91.0})],
        "bed-news-7": [(minutes(241), full), (seconds(0), {"spo2": 97.0})],
        "bed-news-8": [(seconds(30), {"heart_rate": 131.0}), (seconds(10), {"heart_rate": 90.0}), (seconds(0), {})],
        "bed-news-9": [(seconds(9), full), (seconds(5), {"sensor_off": "spo2"}), (seconds(0), {"resp_rate": 16.0})],
        "bed-news-10": [(seconds(9), full), (seconds(5), {"sensor_off": "spo2"}), (seconds(0), {"spo2": 94.0})],
    }

    def sensor_off(values: Values) -> tuple[str, ...]:
        return (str(values["sensor_off"]),) if "sensor_off" in values else ()

    columns = ", ".join(("sensor_off", *ORDER))
    slots = ", ".join(["%s"] * (1 + len(ORDER)))
    with psycopg.connect(weeks.owner_url, autocommit=True) as connection:
        for device, messages in stories.items():
            for seq, (before, values) in enumerate(messages):
                connection.execute(
                    f"INSERT INTO patient_vitals (time, device_id, boot, seq, ward, status, received_at, {columns})"  # noqa: S608
                    f" VALUES (%s, %s, 1, %s, 'icu-1', 'NORMAL', now(), {slots})".encode(),
                    [NOW - before, device, seq, list(sensor_off(values)), *(values.get(key) for key in ORDER)],
                )
    try:
        for device, messages in stories.items():
            held = LastValues()
            for before, values in messages:
                signs = {key: values[key] for key in SIGN_KEYS if key in values}
                rest = {key: values[key] for key in ("on_oxygen", "consciousness") if key in values}
                taken = reading(NOW - before, signs, sensor_off=sensor_off(values), **rest)  # type: ignore[arg-type]
                held.update(taken, taken.values, taken.time)
            row = weeks.rows(
                f"SELECT total, worst, missing, {PARTS}, time, age FROM news2_latest WHERE device_id = %s",  # noqa: S608
                device,
            )[0]
            assert score_of(row[:-2]) == held.score()._replace(stale=()), device
            assert row[-2] == NOW
        stale = weeks.rows("SELECT DISTINCT stale FROM news2_latest WHERE device_id LIKE 'bed-news-%'")
        old = weeks.one("SELECT now() - %s > interval '1 minute'", NOW)
        assert stale == [(old,)]
    finally:
        with psycopg.connect(weeks.owner_url, autocommit=True) as connection:
            connection.execute("DELETE FROM patient_vitals WHERE device_id LIKE 'bed-news-%'")
