"""Generate readings in SQL: millions in minutes, and always the same ones.

Meant to be stored as real ones are: whole numbers that drift and jitter, a temperature in tenths that hardly moves, a
cuff every five minutes, a sensor that falls off now and then, and a time of receipt that is never round.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg

SEED = 0.42

INSERT = """
INSERT INTO patient_vitals (
    time, device_id, boot, seq, patient_id, ward, heart_rate, spo2, resp_rate, temperature, systolic_bp, diastolic_bp,
    on_oxygen, consciousness, sensor_off, status, arrival_lag_ms)
SELECT time, 'bed-' || lpad(device::text, 3, '0'), 1, number, 'p-' || lpad(device::text, 4, '0'),
       'icu-' || mod(device, 4), heart_rate,
       CASE WHEN NOT is_off THEN least(100, round(96.6 + 1.2 * sin(minutes / 31.0) + random() - 0.5)) END,
       round(15 + mod(device, 4) + 1.5 * sin(minutes / 13.0) + random() - 0.5),
       round((36.6 + mod(device, 8) / 10.0 + 0.4 * sin(minutes / 229.0))::numeric, 1),
       CASE WHEN is_cuff THEN round(118 + mod(device, 20) + 6 * sin(minutes / 83.0) + 4 * random()) END,
       CASE WHEN is_cuff THEN round(74 + mod(device, 9) + 4 * sin(minutes / 83.0) + 3 * random()) END,
       mod(device, 9) = 0, 'A', CASE WHEN is_off THEN '{spo2}'::text[] ELSE '{}' END,
       CASE WHEN heart_rate > 120 THEN 'CRITICAL' ELSE 'NORMAL' END,
       ceil(50 + 200 * random())
FROM (
    SELECT *, round(76 + mod(device, 23) + 9 * sin(minutes / 47.0) + 3 * (random() - 0.5)) AS heart_rate,
           mod(number, 997) < 6 AS is_off,
           floor(extract(epoch FROM time) / 300) <> floor((extract(epoch FROM time) - %(step_s)s::float8) / 300)
           AS is_cuff
    FROM (
        SELECT device, number,
               %(origin)s::timestamptz + number * %(step)s::interval + device * interval '37 milliseconds' AS time,
               number * %(step_s)s::float8 / 60.0 + device * 100 AS minutes
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number,
             generate_series(1, %(devices)s::integer) AS device
    ) AS moment
) AS measured
"""


def insert_readings(
    connection: psycopg.Connection[tuple[object, ...]],
    origin: datetime,
    numbers: range,
    devices: int,
    step: timedelta,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Insert readings number `numbers` of each device, `step` apart and counted from `origin`; how many rows.

    In pieces of about 200,000 rows, each its own transaction: `progress` is called with the rows so far.
    """
    connection.execute("SELECT setseed(%s)", [SEED])
    rows = 0
    piece = max(1, 200_000 // devices)
    values = {"origin": origin, "devices": devices, "step": step, "step_s": step.total_seconds()}
    for first in range(numbers.start, numbers.stop, piece):
        last = min(numbers.stop, first + piece) - 1
        rows += connection.execute(INSERT, {**values, "first": first, "last": last}).rowcount
        progress(rows)
    return rows
