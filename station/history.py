"""Query trends and past alerts from the database as vitalflow_reader. Live data does not depend on it."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import psycopg

from station.alert_review import AlertFilter, Cursor
from station.queries import CONNECT_S, Queries

CHECK_INTERVAL_S = 2.0  # seconds between two checks of the database

# A reading belongs to the ward in which it was measured.
SERIES_SQL = """
SELECT series.*, extract(epoch FROM series_kept_step(%(start)s, %(end)s, %(points)s))::float8 AS step_s
FROM vitals_series(%(device)s, %(start)s, %(end)s, %(points)s, %(wards)s) AS series
"""
# Alerts that were open at any time in the range: raised in it, cleared in it or later, or open now.
ALERTS_SQL = """
SELECT alert_id, rule, kind, sign, unit, raised_at, device_id AS device, ward, patient_id, state, worst_priority, text,
       "limit", first_value, first_value_at, worst_value, worst_value_at, acknowledged_at, acknowledged_by, cleared_at,
       reason, extract(epoch FROM duration)::float8 AS duration_s, count(*) OVER () AS total
FROM alert
WHERE device_id = %(device)s AND (%(wards)s::text[] IS NULL OR ward = ANY (%(wards)s)) AND alert_id = ANY (ARRAY(
    SELECT alert_id FROM alert_event WHERE device_id = %(device)s AND raised_at >= %(start)s AND raised_at < %(end)s
    UNION
    SELECT alert_id FROM alert_event
    WHERE device_id = %(device)s AND raised_at < %(start)s AND state = 'cleared' AND changed_at >= %(start)s
    UNION
    SELECT event.alert_id FROM alert_latest AS latest JOIN alert_event AS event USING (alert_id, revision)
    WHERE latest.device_id = %(device)s AND latest.state <> 'cleared' AND event.raised_at < %(end)s))
ORDER BY raised_at DESC, alert_id LIMIT %(limit)s
"""
# Averages are kept by UTC hours. Where a day begins within an hour, that hour belongs to the day before.
DAY_SQL = """
SELECT zone AS time_zone, time_bucket('1 hour', (%(day)s::timestamp AT TIME ZONE zone) + past) AS start,
       time_bucket('1 hour', ((%(day)s::date + 1)::timestamp AT TIME ZONE zone) + past) AS "end"
FROM ward_time_zone(%(ward)s) AS zone, (SELECT interval '1 hour' - interval '1 microsecond') AS rounding (past)
"""
REPORT_SQL = "SELECT * FROM bed_report(%(device)s, %(start)s, %(end)s, %(wards)s)"
ASSIGNMENTS_SQL = """
SELECT from_time, to_time, patient_id FROM assignment
WHERE device_id = %(device)s AND (%(wards)s::text[] IS NULL OR ward = ANY (%(wards)s))
  AND from_time < %(end)s AND (to_time IS NULL OR to_time > %(start)s)
ORDER BY from_time
"""
PATIENTS_SQL = """
SELECT DISTINCT patient_id FROM assignment
WHERE device_id = %(device)s AND patient_id IS NOT NULL AND (%(wards)s::text[] IS NULL OR ward = ANY (%(wards)s))
"""
# Newest first, from the last one of the page before on (keyset paging). A parameter that is NULL restricts nothing. The
# first subquery finds keys by what any change of an alert has. The second puts the alerts of a page together, one by
# one because of OFFSET; only then their last ward and worst priority are known.
ALERT_HISTORY_SQL = """
SELECT key.alert_id, rule, kind, sign, unit, key.raised_at, device_id AS device, ward, patient_id, state,
       worst_priority, text, "limit", first_value, first_value_at, worst_value, worst_value_at, acknowledged_at,
       acknowledged_by, cleared_at, reason, extract(epoch FROM duration)::float8 AS duration_s
FROM (
    SELECT DISTINCT raised_at, alert_id FROM alert_event
    WHERE raised_at >= %(start)s AND (%(end)s::timestamptz IS NULL OR raised_at < %(end)s)
      AND (%(after_time)s::timestamptz IS NULL OR (raised_at, alert_id) < (%(after_time)s, %(after_id)s::uuid))
      AND (%(device)s::text IS NULL OR device_id = %(device)s) AND (%(rule)s::text IS NULL OR rule = %(rule)s)
      AND (%(ward)s::text IS NULL OR ward = %(ward)s) AND (%(wards)s::text[] IS NULL OR ward = ANY (%(wards)s))
      AND (%(priority)s::text IS NULL OR priority = %(priority)s)
    ORDER BY raised_at DESC, alert_id DESC
) AS key
CROSS JOIN LATERAL (
    SELECT * FROM alert WHERE alert.alert_id = key.alert_id AND alert.raised_at = key.raised_at OFFSET 0
) AS found
WHERE (%(ward)s::text IS NULL OR ward = %(ward)s) AND (%(wards)s::text[] IS NULL OR ward = ANY (%(wards)s))
  AND (%(priority)s::text IS NULL OR worst_priority = %(priority)s)
ORDER BY key.raised_at DESC, key.alert_id DESC LIMIT %(limit)s
"""
# From the last alert of each rule of each bed, so that the cost does not grow with history.
ALERT_NAMES_SQL = """
SELECT event.device_id AS device, event.ward, event.rule, split_part(event.text, ':', 1) AS text
FROM alert_latest JOIN alert_event AS event USING (alert_id, revision)
WHERE %(wards)s::text[] IS NULL OR event.ward = ANY (%(wards)s)
ORDER BY alert_latest.changed_at
"""
# Its ward is that in which the readings were measured; the alert itself may have moved with its device.
SNAPSHOT_SQL = """
SELECT alert_id, device_id AS device, ward, raised_at, taken_at, readings FROM alert_snapshot
WHERE alert_id = %(alert)s AND (%(wards)s::text[] IS NULL OR ward = ANY (%(wards)s))
"""


class History(Queries):
    """Queries to the database; without a URL every query raises TransientError."""

    def __init__(self, url: str | None) -> None:
        super().__init__(
            url,
            without_url="this station keeps no history",
            failed="the stored readings cannot be read now; live values continue",
        )

    async def series(
        self, device: str, start: datetime, end: datetime, points: int, wards: list[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return the trend of a device in at most `points` points; raises PermanentError or TransientError.

        wards   only what was measured in these; None: all
        """
        return await self.ask(SERIES_SQL, device=device, start=start, end=end, points=points, wards=wards)

    async def report(self, device: str, ward: str, day: date, wards: list[str] | None = None) -> dict[str, Any]:
        """Return a day of a device, in the time zone of `ward`: its hours in `wards`, and the assignments of its bed.

        Raises TransientError.
        """
        (bounds,) = await self.ask(DAY_SQL, ward=ward, day=day)
        query = {"device": device, "start": bounds["start"], "end": bounds["end"], "wards": wards}
        hours = await self.ask(REPORT_SQL, **query)
        return {**bounds, "hours": hours, "assignments": await self.ask(ASSIGNMENTS_SQL, **query)}

    async def alerts(
        self, device: str, start: datetime, end: datetime, limit: int, wards: list[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return the alerts of a device in these wards that were open in a range, newest first; raises TransientError.

        Each row has the `total` of all of them.
        """
        return await self.ask(ALERTS_SQL, device=device, start=start, end=end, limit=limit, wards=wards)

    async def alert_history(
        self, wanted: AlertFilter, limit: int, wards: list[str] | None, after: Cursor | None = None
    ) -> list[dict[str, Any]]:
        """Return the alerts in these wards that match, newest first, behind `after`; raises TransientError."""
        after_time, after_id = after or (None, None)
        parameters = {**asdict(wanted), "after_time": after_time, "after_id": after_id}
        return await self.ask(ALERT_HISTORY_SQL, **parameters, wards=wards, limit=limit)

    async def alert_names(self, wards: list[str] | None) -> list[dict[str, Any]]:
        """Return each rule of each bed in these wards that ever had an alert; raises TransientError."""
        return await self.ask(ALERT_NAMES_SQL, wards=wards)

    async def alert_snapshot(self, alert: UUID, wards: list[str] | None) -> dict[str, Any] | None:
        """Return the readings kept with an alert; None if there is none in these wards. Raises TransientError."""
        return next(iter(await self.ask(SNAPSHOT_SQL, alert=alert, wards=wards)), None)

    async def patients(self, device: str, wards: list[str] | None) -> list[str]:
        """Return every patient who was assigned to a device in these wards; raises TransientError."""
        rows = await self.ask(PATIENTS_SQL, device=device, wards=wards)
        return [row["patient_id"] for row in rows]

    async def watch(self, report: Callable[[bool, datetime], None]) -> None:
        """Check every CHECK_INTERVAL_S seconds whether the database responds, and `report` it; never returns."""
        reader: psycopg.AsyncConnection[Any] | None = None
        while self.enabled:
            try:
                async with asyncio.timeout(CONNECT_S + 1):
                    if reader is None or reader.closed:
                        reader = await self.connect()
                    await reader.execute("SELECT 1")
                report(True, datetime.now(UTC))
            except (psycopg.Error, TimeoutError, OSError):
                report(False, datetime.now(UTC))
                if reader is not None:
                    await reader.close()
                    reader = None
            await asyncio.sleep(CHECK_INTERVAL_S)
