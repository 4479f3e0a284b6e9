"""Read what the FHIR interface returns from the database, always restricted to the wards of the user who asks.

A search by patient needs the devices and days on which the patient was measured. They come from the daily rollup, kept
here for a few seconds, and from the live beds: the stored readings have no index by patient, because it would slow down
every insert. The readings then come from the index by device and time. A reading belongs to the ward in which it was
measured, and to the patient that it names or who was assigned to its bed (`patient_of_reading`).
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.sql import SQL, Composable, Identifier
from psycopg.types.range import TimestamptzRange

from station.fhir.days import DayCache, each_kind, start_of_day
from station.fhir.pages import (
    DAY,
    INSTANT,
    MAX_LAST_PAGES,
    MAX_QUERIES,
    MAX_SCANNED,
    DeviceDay,
    Place,
    Window,
    end_of,
    from_place,
    windows,
)
from station.fhir.search import Search
from station.fhir.times import EVER, Range, common, join
from station.history import History
from station.queries import Ask
from station.ward import Ward
from vitals.errors import PermanentError
from vitals.fhir import KINDS, Kind, Measured
from vitals.fhir_ids import ObservationKey, device_id, is_derived, observation_id, patient_id, read_observation_id

MARGIN = timedelta(minutes=10)  # after midnight, in which the day before may still lack readings
MAX_COUNTED = 5_000_000  # readings behind a total
COUNTED_AT_ONCE = 200_000  # by one query


_IN_READING = "v.{value} IS NOT NULL OR {key} = ANY (v.sensor_off)"

# The beds to which patients were ever assigned, and when, by the device's clock.
ASSIGNED_SQL = """
SELECT device_id AS device, patient_since - coalesce(clock_offset, interval '0') AS since,
       to_time - coalesce(clock_offset, interval '0') AS until, clock_offset IS NOT NULL AS is_clock_wrong
FROM assignment LEFT JOIN device_clock USING (device_id) WHERE patient_id = ANY (%(patients)s::text[])
"""
_ARRIVED = "arrival_time(v.received_at, v.time, v.arrival_lag_ms)"
# A parameter that is NULL restricts nothing. `patient_of_reading` is called only for readings that name no patient.
_MATCHING = SQL("""
FROM all_vitals v
WHERE v.device_id {of_devices} AND v.time >= %(start)s AND v.time < %(end)s
  AND (%(wards)s::text[] IS NULL OR v.ward = ANY (%(wards)s))
  AND (%(patients)s::text[] IS NULL OR v.patient_id = ANY (%(patients)s)
       OR (v.patient_id IS NULL AND patient_of_reading(NULL, v.device_id, v.time, {arrived}) = ANY (%(patients)s)))
  AND (%(updated)s::tstzrange[] IS NULL OR {arrived} <@ ANY (%(updated)s))
  AND ({present})
""")
_MATCHING_PARTS = {
    "arrived": SQL(_ARRIVED),
    "present": each_kind("{letters} = ANY (%(letters)s) AND ({present})", " OR ", _IN_READING),
}
# With one device the index has the order of the result; with several the readings are sorted.
_OF_DEVICES = {True: SQL("= (%(devices)s::text[])[1]"), False: SQL("= ANY (%(devices)s::text[])")}


def _readings_sql(*, newest_first: bool, one_device: bool) -> str:
    """Return the query of a window, in the order of the columnstore or its reverse."""
    return (
        SQL("""
SELECT found.*, CASE WHEN patient_id IS NULL THEN patient_of_reading(NULL, device_id, time, arrived_at)
                     ELSE patient_id END AS patient
FROM (
    SELECT v.*, {arrived} AS arrived_at {matching}
      AND (%(after_device)s::text IS NULL OR v.time {beyond} %(after_time)s
           OR (v.time = %(after_time)s AND (v.device_id, v.boot, v.seq) {from_key}
               (%(after_device)s, %(after_boot)s::bigint, %(after_seq)s::bigint)))
    ORDER BY {order} LIMIT %(limit)s
) AS found ORDER BY {order_of_found}
""")
        .format(
            arrived=SQL(_ARRIVED),
            matching=_MATCHING.format(of_devices=_OF_DEVICES[one_device], **_MATCHING_PARTS),
            beyond=SQL("<" if newest_first else ">"),
            from_key=SQL(">=" if newest_first else "<="),
            order=_order("v", newest_first=newest_first),
            order_of_found=_order("found", newest_first=newest_first),
        )
        .as_string()
    )


def _order(of: str, *, newest_first: bool) -> Composable:
    pattern = (
        "{of}.time DESC, {of}.device_id, {of}.boot, {of}.seq"
        if newest_first
        else "{of}.time, {of}.device_id DESC, {of}.boot DESC, {of}.seq DESC"
    )
    return SQL(pattern).format(of=Identifier(of))


READINGS_SQL = {
    (newest_first, one_device): _readings_sql(newest_first=newest_first, one_device=one_device)
    for newest_first in (True, False)
    for one_device in (True, False)
}
COUNT_SQL = (
    SQL("SELECT {count} AS total {matching}")
    .format(
        count=each_kind("count(*) FILTER (WHERE {letters} = ANY (%(letters)s) AND ({present}))", " + ", _IN_READING),
        matching=_MATCHING.format(of_devices=_OF_DEVICES[False], **_MATCHING_PARTS),
    )
    .as_string()
)
PATIENTS_SQL = """
SELECT patient_id AS patient, min(from_time) AS since FROM assignment
WHERE patient_id IS NOT NULL AND (%(wards)s::text[] IS NULL OR ward = ANY (%(wards)s)) GROUP BY 1
"""
# Every device that ever sent a status or had a patient.
DEVICES_SQL = """
SELECT device_id AS name, model, state, changed_at, coalesce(device.ward, assigned.ward) AS ward,
       -- An assignment in another ward is not for the users of this one.
       CASE WHEN device.ward IS NULL OR device.ward = assigned.ward THEN assigned.patient_id END AS patient
FROM device FULL JOIN (SELECT device_id, ward, patient_id FROM assignment WHERE to_time IS NULL) AS assigned
  USING (device_id)
"""


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device as it is now."""

    name: str
    ward: str | None
    model: str | None
    patient: str | None
    is_removed: bool
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """Observations of a search, and where the next page begins; None: there is none."""

    found: list[tuple[Measured, Kind]]
    next: Place | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a search reads: days of devices, of these patients (None: all), within these dates."""

    days: list[DeviceDay]
    dates: tuple[Range, ...]
    patients: list[str] | None


class FhirStore:
    """Queries of the FHIR interface. `wards`: those of the user, None for all."""

    def __init__(self, history: History, ward: Ward) -> None:
        self._history = history
        self._ward = ward
        self._days = DayCache(history)
        self._names: dict[str, str] = {}  # of devices, by id

    async def page(self, search: Search, wards: list[str] | None, place: Place | None = None) -> Page:
        """Return the Observations behind `place`, up to the number that the search asks for."""
        plan = await self._plan(search, wards)
        if plan is None:
            return Page([])
        async with self._history.session() as ask:
            newest_first = search.is_newest_first
            dates = from_place(plan.dates, place, newest_first=newest_first)
            found: list[tuple[Measured, Kind]] = []
            scanned = queries = 0
            behind: Place | None = None
            for window in windows(plan.days, dates, newest_first=newest_first):
                if behind is not None and (queries >= MAX_QUERIES or scanned + window.readings > MAX_SCANNED):
                    return Page(found, behind)
                async for one in self._read(ask, search, plan, window, place, wards):
                    if len(found) == search.count:
                        return Page(found, _place_of(*found[-1]))
                    found.append(one)
                behind = end_of(window, newest_first=newest_first)
                scanned, queries = scanned + window.readings, queries + 1
            return Page(found)

    async def last(self, search: Search, wards: list[str] | None) -> list[tuple[Measured, Kind]]:
        """Return the last Observations of each kind of a search.

        Raises PermanentError if more than MAX_LAST_PAGES would be read: what is rare may be far back.
        """
        found: list[tuple[Measured, Kind]] = []
        pages = 0
        for kind in search.kinds:
            of_kind: list[tuple[Measured, Kind]] = []
            place: Place | None = None
            while True:
                wanted = replace(search, kinds=(kind,), count=search.last - len(of_kind))
                page = await self.page(wanted, wards, place)
                of_kind += page.found
                place, pages = page.next, pages + 1
                if place is None or len(of_kind) >= search.last:
                    break
                if pages >= MAX_LAST_PAGES:
                    raise PermanentError(f"the last {kind.sign.key} is too far back; add a date to the search")
            found += of_kind
        return found

    async def total(self, search: Search, wards: list[str] | None) -> int:
        """Return the number of Observations of a search; raises PermanentError if too many readings are behind it."""
        plan = await self._plan(search, wards)
        if plan is None:
            return 0
        wanted = list(windows(plan.days, plan.dates, newest_first=True, size=COUNTED_AT_ONCE))
        if sum(window.readings for window in wanted) > MAX_COUNTED:
            raise PermanentError("too many readings to count; search for a shorter time, or without a total")
        total = 0
        for window in wanted:
            async with self._history.session() as ask:
                (row,) = await ask(COUNT_SQL, **_parameters(search, plan, window, wards))
            total += row["total"]
        return total

    async def patients(self, ids: Iterable[str] | None, wards: list[str] | None) -> dict[str, datetime]:
        """Return the numbers of the patients with these ids, None for all, and since when each is known."""
        wanted = None if ids is None else set(ids)
        found = {row["patient"]: row["since"] for row in await self._history.ask(PATIENTS_SQL, wards=wards)}
        for day in await self._days.read(EVER, datetime.now(UTC)):
            if day.patient is not None and (wards is None or day.ward in wards):
                found[day.patient] = min(day.start, found.get(day.patient, day.start))
        return {number: since for number, since in found.items() if wanted is None or patient_id(number) in wanted}

    async def devices(self, wards: list[str] | None) -> list[KnownDevice]:
        """Return every device that is now in one of the wards."""
        return [one for one in (await self._devices()).values() if wards is None or one.ward in wards]

    # --- readings ---

    async def _read(
        self, ask: Ask, search: Search, plan: _Plan, window: Window, place: Place | None, wards: list[str] | None
    ) -> AsyncIterator[tuple[Measured, Kind]]:
        """Yield the Observations of a window behind `place`."""
        limit = search.count + 2
        known: Measured | None = None
        while True:
            after = place or Place(window.start)
            rows = await ask(
                READINGS_SQL[search.is_newest_first, len(window.devices) == 1],
                **_parameters(search, plan, window, wards),
                after_time=after.time,
                after_device=after.device,
                after_boot=after.boot,
                after_seq=after.seq,
                limit=limit,
            )
            for row in rows:
                reading = Measured.of_row(row)
                if known is not None and _is_same(reading, known):
                    continue  # the last one of the query before
                known = reading
                for kind in reading.kinds():
                    if kind not in search.kinds or (place is not None and _is_before(reading, kind, place)):
                        continue
                    if search.ids is None or _id(reading, kind) in search.ids:
                        yield reading, kind
            if len(rows) < limit or known is None:
                return
            place = _place_of(known, KINDS[-1])

    async def _plan(self, search: Search, wards: list[str] | None) -> _Plan | None:
        """Return what a search reads; None if nothing can match."""
        dates = search.dates
        wanted = None if search.devices is None else set(search.devices)
        if search.ids is not None:
            keys = [key for text in search.ids if (key := _key(text)) is not None]
            dates = common(dates, join((key.time, key.time + INSTANT) for key in keys))
            measuring = {key.device for key in keys}
            wanted = measuring if wanted is None else wanted & measuring
        devices = None if wanted is None else await self._device_names(wanted)
        patients = None if search.patients is None else list(await self._numbers(search.patients, wards))
        if not (search.kinds and dates and search.updated) or devices == set() or patients == []:
            return None
        now = datetime.now(UTC)
        days = await self._days.read(dates, now)
        assigned = await self._history.ask(ASSIGNED_SQL, patients=patients) if patients is not None else []
        letters = {kind.letters for kind in search.kinds}
        matching = [
            day
            for day in days
            if (devices is None or day.device in devices)
            and (wards is None or day.ward in wards)
            and (day.letters is None or day.letters & letters)
            and (patients is None or day.patient in patients or (day.patient is None and _was_on(assigned, day)))
        ]
        return _Plan(matching + self._live_days(devices, patients, wards, now), dates, patients)

    def _live_days(
        self, devices: set[str] | None, patients: list[str] | None, wards: list[str] | None, now: datetime
    ) -> list[DeviceDay]:
        """Return the present day of every bed that may match: the rollup that was read may lack its newest readings."""
        names = devices or set()
        if devices is None or patients is not None:
            live = {
                name
                for name, bed in self._ward.beds.items()
                if (patients is None or bed.snapshot.patient in patients)
                and (wards is None or bed.snapshot.bed.ward in wards)
            }
            names = live if devices is None else live & devices
        days = {start_of_day(now), start_of_day(now - MARGIN)}
        return [DeviceDay(day, name, None, None, 0) for day in days for name in names]

    # --- names ---

    async def _device_names(self, ids: Iterable[str]) -> set[str]:
        wanted = set(ids)
        for name in self._ward.beds:
            self._names.setdefault(device_id(name), name)
        if not wanted <= self._names.keys():
            for name in await self._devices():
                self._names[device_id(name)] = name
        return {self._names[identity] for identity in wanted if identity in self._names}

    async def _devices(self) -> dict[str, KnownDevice]:
        """Return every device: those with a status, an assignment or a reading."""
        found: dict[str, KnownDevice] = {}
        for day in await self._days.read(EVER, datetime.now(UTC)):  # in order of time: the last ward counts
            found[day.device] = KnownDevice(day.device, day.ward, None, None, is_removed=False, changed_at=None)
        for row in await self._history.ask(DEVICES_SQL):
            is_removed = row.pop("state") == "forgotten"
            found[row["name"]] = KnownDevice(**row, is_removed=is_removed)
        for name, bed in self._ward.beds.items():
            known = found.get(name) or KnownDevice(name, None, None, None, is_removed=False, changed_at=None)
            found[name] = replace(known, ward=bed.snapshot.bed.ward, patient=bed.snapshot.patient, is_removed=False)
        return found

    async def _numbers(self, ids: Iterable[str], wards: list[str] | None) -> set[str]:
        """Return the numbers of patients; those of ids that state them may not exist."""
        stated = {identity for identity in ids if not is_derived(identity)}
        derived = set(ids) - stated
        return stated | set(await self.patients(derived, wards) if derived else ())


def _parameters(search: Search, plan: _Plan, window: Window, wards: list[str] | None) -> dict[str, object]:
    return {
        "devices": list(window.devices),
        "start": window.start,
        "end": window.end,
        "wards": wards,
        "patients": plan.patients,
        "updated": None if search.updated == EVER else [TimestamptzRange(*one) for one in search.updated],
        "letters": [kind.letters for kind in search.kinds],
    }


def _was_on(assigned: Iterable[Mapping[str, Any]], day: DeviceDay) -> bool:
    """Return whether one of the patients may have been assigned to the bed on that day.

    Not by the present offset of a wrong clock, which may have been another one then.
    """
    return any(
        row["device"] == day.device
        and (
            row["is_clock_wrong"]
            or (row["since"] <= day.start + DAY and (row["until"] is None or day.start <= row["until"]))
        )
        for row in assigned
    )


def _is_same(one: Measured, other: Measured) -> bool:
    return (one.time, one.device, one.boot, one.seq) == (other.time, other.device, other.boot, other.seq)


def _is_before(reading: Measured, kind: Kind, place: Place) -> bool:
    """Return whether the Observation was given on the page that ended at `place`, of the same reading."""
    same = _place_of(reading, kind)[:-1] == place[:-1]
    return same and KINDS.index(kind) <= [one.letters for one in KINDS].index(place.what)


def _place_of(reading: Measured, kind: Kind) -> Place:
    return Place(reading.time, reading.device, reading.boot, reading.seq, kind.letters)


def _key(text: str) -> ObservationKey | None:
    try:
        return read_observation_id(text)
    except ValueError:
        return None


def _id(reading: Measured, kind: Kind) -> str:
    return observation_id(
        ObservationKey(device_id(reading.device), reading.time, reading.boot, reading.seq, kind.letters)
    )
