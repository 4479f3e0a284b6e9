"""The days on which devices measured patients, from the daily rollup, kept for a few seconds."""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.sql import SQL, Composable, Identifier, Literal

from station.fhir.pages import DAY, DeviceDay
from station.fhir.times import LAST, Range, common, join
from station.history import History
from vitals.fhir import KINDS, Kind

RECENT = timedelta(days=1)  # before the present day: what of the rollup changes with every reading
RECENT_VALID_S, OLDER_VALID_S, IMPORTED_VALID_S = 5.0, 60.0, 600.0  # seconds for which a day is kept
IMPORTED_DAYS_AT_ONCE = 30  # by one query: a chunk of imported_vitals
MAX_SHARE = 0.05  # of the time may be spent on reading days: where that takes long, they are kept longer


def _is_measured(kind: Kind, present: str) -> Composable:
    """Return the condition that a kind of Observation is there; `present`: that condition for one sign."""
    return SQL(" OR ").join(
        SQL(present).format(
            value=Identifier(key), n=Identifier(f"{key}_n"), off=Identifier(f"{key}_off"), key=Literal(key)
        )
        for key in kind.keys
    )


def each_kind(pattern: str, separator: str, present: str) -> Composable:
    """Return a pattern once per kind of Observation; `present`: the condition that a sign is there."""
    return SQL(separator).join(
        SQL(pattern).format(letters=Literal(kind.letters), present=_is_measured(kind, present)) for kind in KINDS
    )


_IN_ROLLUP = "{n} > 0 OR {off} > 0"
_IN_READINGS = "count({value}) > 0 OR bool_or({key} = ANY (sensor_off))"

# The ranges of the chunks, with imported readings and with those of devices.
STORED_SQL = """
SELECT hypertable_name = 'imported_vitals' AS is_imported, range_start AS first, range_end AS last,
       (SELECT community FROM vitalflow_edition) AS has_rollups
FROM timescaledb_information.chunks
WHERE hypertable_schema = 'public' AND hypertable_name IN ('patient_vitals', 'imported_vitals') ORDER BY range_start
"""
_LETTERS = "CASE WHEN {present} THEN {letters} END"
DAYS_SQL = (
    SQL("""
SELECT bucket AS start, device_id AS device, patient_id AS patient, ward, readings, ARRAY[{letters}] AS letters
FROM vitals_1d WHERE bucket >= %(start)s AND bucket < %(end)s
""")
    .format(letters=each_kind(_LETTERS, ", ", _IN_ROLLUP))
    .as_string()
)
# Where the rollups are views: one aggregate over the readings and not three. And of days of which all readings are
# imported ones: averages of dropped readings, which are no Observations, may be in the rollup of such a day.
DAYS_OF_READINGS_SQL = (
    SQL("""
SELECT time_bucket('1 day', time) AS start, device_id AS device, patient_id AS patient, ward, count(*) AS readings,
       ARRAY[{letters}] AS letters
FROM all_vitals WHERE time >= %(start)s AND time < %(end)s GROUP BY start, device_id, patient_id, ward
""")
    .format(letters=each_kind(_LETTERS, ", ", _IN_READINGS))
    .as_string()
)


class DayCache:
    """Days of the rollup, and which of them are stored at all."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._days: dict[datetime, list[DeviceDay]] = {}
        self._valid_until: dict[datetime | None, float] = {}  # by the monotonic clock; None: of `_stored`
        self._stored: tuple[Range, ...] = ()
        self._has_rollups = False
        self._live_from = LAST  # before that, every reading is an imported one
        self._reading = asyncio.Lock()

    async def read(self, dates: Iterable[Range], now: datetime) -> list[DeviceDay]:
        """Return what devices measured on the days of these dates, in order of time."""
        async with self._reading:  # simultaneous searches read a day once
            present = start_of_day(now)
            if not self._is_valid(None):
                begun = time.monotonic()
                chunks = await self._history.ask(STORED_SQL)
                self._stored = tuple((row["first"], row["last"]) for row in chunks)
                self._has_rollups = any(row["has_rollups"] for row in chunks)
                self._live_from = start_of_day(next((row["first"] for row in chunks if not row["is_imported"]), LAST))
                self._keep(None, begun, RECENT_VALID_S)
            wanted = common(dates, join([*self._stored, (present - RECENT, present + DAY)]))
            found: list[DeviceDay] = []
            for start, end in wanted:
                day = start_of_day(start)
                while day < end:
                    if not self._is_valid(day):
                        await self._read_days(day, end, present)
                    if not found or found[-1].start < day:  # dates of one day may be apart
                        found += self._days[day]
                    day += DAY
            return found

    async def _read_days(self, start: datetime, end: datetime, present: datetime) -> None:
        """Read a day, or several up to `end` if they have imported readings only."""
        begun = time.monotonic()
        days, query = 1, DAYS_SQL if self._has_rollups else DAYS_OF_READINGS_SQL
        valid_s = RECENT_VALID_S if start >= present - RECENT else OLDER_VALID_S
        imported_until = min(self._live_from, present - RECENT)
        if start < imported_until:
            days = min(IMPORTED_DAYS_AT_ONCE, -((start - min(end, imported_until)) // DAY))
            query, valid_s = DAYS_OF_READINGS_SQL, IMPORTED_VALID_S
        rows = await self._history.ask(query, start=start, end=start + days * DAY)
        for day in (start + number * DAY for number in range(days)):
            self._days[day] = []
            self._keep(day, begun, valid_s)
        for row in rows:
            self._days[row["start"]].append(_device_day(row))

    def _is_valid(self, day: datetime | None) -> bool:
        return time.monotonic() < self._valid_until.get(day, 0.0)

    def _keep(self, day: datetime | None, begun: float, valid_s: float) -> None:
        now = time.monotonic()
        self._valid_until[day] = now + max(valid_s, (now - begun) / MAX_SHARE)


def start_of_day(moment: datetime) -> datetime:
    """Return the start of the UTC day of a time."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _device_day(row: dict[str, Any]) -> DeviceDay:
    letters = frozenset(text for text in row["letters"] if text is not None)
    return DeviceDay(row["start"], row["device"], row["patient"], row["ward"], row["readings"], letters)
