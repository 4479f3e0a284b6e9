"""A ward's week in a database, with everything that a dashboard asks for: readings, devices, alerts, rejected messages.

Readings are dense (one a second) at the end and sparse before: rollups have a row for every minute either way, and a
week of 25 beds at one a second would be 15 million rows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from bench.generated_readings import insert_readings
from bench.report import Log
from sql.backfill import backfill

Connection = psycopg.Connection[tuple[object, ...]]

SECOND = timedelta(seconds=1)

DEVICES = """
INSERT INTO device (device_id, ward, state, boot, interval_s, model, changed_at)
SELECT DISTINCT ON (device_id) device_id, ward, 'online', boot, 1, 'made up', time
FROM patient_vitals ORDER BY device_id, time DESC
"""

# Alerts come at any time of the day; each of the rules has its own priority and length. Two of three are acknowledged.
ALERTS = """
WITH rule (number, rule, sign, priority, kind, text, lasts) AS (
    VALUES (0, 'spo2-low', 'spo2', 'high', 'physiological', 'Oxygen saturation low', interval '3 minutes'),
           (1, 'resp-rate-high', 'resp_rate', 'medium', 'physiological', 'Breathing fast', interval '8 minutes'),
           (2, 'news2', 'news2', 'medium', 'physiological', 'NEWS2', interval '25 minutes'),
           (3, 'sensor-off-spo2', 'sensor-off', 'low', 'technical', 'Sensor off', interval '2 minutes'),
           (4, 'no-data', 'no-data', 'medium', 'technical', 'No readings from the device', interval '90 seconds')
), raised AS (
    SELECT gen_random_uuid() AS alert_id, rule.*, bed.device_id, bed.ward,
           'p-0' || right(bed.device_id, 3) AS patient_id,
           %(now)s::timestamptz - %(days)s * interval '1 day' * place / %(each)s
           - mod(place * 37 + hashtext(bed.device_id), 600) * interval '1 second' AS raised_at,
           place
    FROM device AS bed CROSS JOIN generate_series(1, %(each)s - 1) AS place JOIN rule ON rule.number = mod(place, 5)
), change AS (
    SELECT *, 1 AS revision, 'raised' AS change, 'active' AS state, raised_at AS changed_at, NULL AS by FROM raised
    UNION ALL
    SELECT *, 2, 'acknowledged', 'acknowledged', raised_at + lasts / 3, 'nurse Ada' FROM raised WHERE mod(place, 3) > 0
    UNION ALL
    SELECT *, 3, 'cleared', 'cleared', raised_at + lasts, CASE WHEN mod(place, 3) > 0 THEN 'nurse Ada' END
    FROM raised WHERE place > 1
)
INSERT INTO alert_event (
    alert_id, revision, rule, priority, kind, state, change, level, ward, device_id, patient_id, sign, value, "limit",
    text, since, raised_at, changed_at, acknowledged_by, latched, received_at)
SELECT alert_id, revision, rule, priority, kind, state, change, 1, ward, device_id, patient_id, sign, 88, 90, text,
       raised_at, raised_at, changed_at, by, false, changed_at
FROM change
"""
BROKER = """
INSERT INTO alert_event (
    alert_id, revision, rule, priority, kind, state, change, level, ward, device_id, value, text, since, raised_at,
    changed_at, latched, received_at)
SELECT id, revision, 'broker-dropping', 'high', 'technical', state, change, 1, 'stack', 'broker', 17,
       'The broker drops messages', at, at, at + revision * interval '1 minute', revision = 2, at
FROM (SELECT gen_random_uuid() AS id, %(now)s - interval '20 minutes' AS at) AS moment
CROSS JOIN (VALUES (1, 'active', 'raised'), (2, 'latched', 'latched')) AS step (revision, state, change)
"""
LATEST = """
INSERT INTO alert_latest (device_id, rule, alert_id, revision, state, changed_at)
SELECT DISTINCT ON (device_id, rule) device_id, rule, alert_id, revision, state, changed_at
FROM alert_event ORDER BY device_id, rule, raised_at DESC, revision DESC
"""
REJECTED = """
INSERT INTO rejected_message (received_at, topic, payload, payload_size, reason, detail)
SELECT %(now)s - number * interval '5 minutes' * %(days)s / 7, 'vitalflow/vitals/icu-1/bed-001', '{}', 2,
       (ARRAY['implausible', 'not_json', 'too_old'])[1 + mod(number, 3)], 'heart_rate 801 is outside 0 to 350 /min'
FROM generate_series(1, 2000) AS number
"""


@dataclass(frozen=True)
class Week:
    """How much of it. `dense` is the stretch before now with a reading a second; before that one every `sparse`."""

    beds: int = 25
    days: int = 7
    dense: timedelta = timedelta(hours=2)
    sparse: timedelta = timedelta(seconds=30)
    alerts_a_day: int = 12


def fill_week(connection: Connection, now: datetime, week: Week, log: Log = lambda _: None) -> int:
    """Fill an empty, migrated database up to `now`, rollups too; how many readings."""
    origin = now - timedelta(days=week.days)
    many = (timedelta(days=week.days) - week.dense) // week.sparse
    last_second = week.dense // SECOND - 2  # beds are some milliseconds apart, and none is to be in the future
    stored = insert_readings(connection, origin, range(1, many + 1), week.beds, week.sparse)
    log(f"{stored} readings of the days before")
    since = now - week.dense - many * SECOND
    stored += insert_readings(connection, since, range(many + 1, many + last_second), week.beds, SECOND)
    log(f"{stored} readings with the last {week.dense}")
    values = {"now": now, "days": week.days, "each": week.days * week.alerts_a_day}
    for statement in (DEVICES, ALERTS, BROKER, LATEST, REJECTED):
        connection.execute(statement.encode(), values if "%(" in statement else None)
    if connection.execute("SELECT community FROM vitalflow_edition").fetchone() == (True,):
        backfill(connection, origin, now, lambda _: None)
    connection.execute("ANALYZE")
    return stored
