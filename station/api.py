"""The JSON API for scripts: the ward, a bed, its trends, the open alerts. Read-only; described by /openapi.json.

A user gets only the wards that the broker allows this user to see; `auth` identifies the user.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from station import api_models, api_responses
from station.auth.middleware import CurrentUser
from station.auth.user_connection import UserConnection
from station.clock import present_time
from station.history import History
from station.ward import Ward

MAX_POINTS = 5_000
FIRST_DAY = date(2000, 1, 1)  # of a report
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": api_models.Problem, "description": "That bed is unknown."}}
NO_ANSWER: dict[int | str, dict[str, Any]] = {
    **UNKNOWN,
    422: {"model": api_models.Problem, "description": "The range or the device is invalid."},
    503: {"model": api_models.Problem, "description": "The database is unreachable."},
}


def api(ward: Ward, history: History) -> APIRouter:
    """Return the routes below /api."""
    router = APIRouter(prefix="/api", tags=["ward"])

    @router.get("/ward")
    async def the_ward(
        user: CurrentUser, name: Annotated[str | None, Query(alias="ward", description="One ward.")] = None
    ) -> api_models.Ward:
        """Return every bed as of now, with its open alerts, and the outages."""
        return api_responses.ward(ward, name, user.viewable, present_time())

    @router.get("/beds/{device}", responses=UNKNOWN)
    async def one_bed(user: CurrentUser, device: str) -> api_models.BedResource:
        """Return one bed as of now."""
        found = api_responses.bed(ward, device, user.viewable, present_time())
        if found is None:
            raise no_bed(device)
        return found

    @router.get("/beds/{device}/series", responses=NO_ANSWER)
    async def series(
        user: CurrentUser,
        device: str,
        start: Annotated[datetime | None, Query(alias="from", description="RFC 3339; 24 hours before `to`.")] = None,
        end: Annotated[datetime | None, Query(alias="to", description="RFC 3339; now.")] = None,
        points: Annotated[int, Query(ge=1, le=MAX_POINTS, description="Maximum number of points.")] = 500,
    ) -> api_models.Series:
        """Return the trends of one bed from the database, in the finest steps that give at most `points` points."""
        since, until = _range(start, end, timedelta(hours=24))
        wards = only(user, device)
        return api_responses.series(device, await history.series(device, since, until, points, wards))

    @router.get("/beds/{device}/alerts", responses=NO_ANSWER)
    async def past_alerts(
        user: CurrentUser,
        device: str,
        start: Annotated[datetime | None, Query(alias="from", description="RFC 3339; 30 days before `to`.")] = None,
        end: Annotated[datetime | None, Query(alias="to", description="RFC 3339; now.")] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="Maximum number of alerts.")] = 50,
    ) -> api_models.PastAlerts:
        """Return the alerts of one bed that were open in a range from the database, the newest first."""
        since, until = _range(start, end, timedelta(days=30))
        wards = only(user, device)
        return api_responses.past_alerts(device, await history.alerts(device, since, until, limit, wards))

    @router.get("/beds/{device}/report", responses=NO_ANSWER)
    async def report(
        user: CurrentUser, device: str, day: Annotated[date, Query(description="In the time zone of the ward.")]
    ) -> api_models.Report:
        """Return one day of one bed from the database, hour by hour."""
        wards = only(user, device)
        bed = ward.beds.get(device)
        if not FIRST_DAY <= day <= _now().date() + timedelta(days=1):
            raise HTTPException(422, f"there is no report of {day}: choose a day from {FIRST_DAY} to today")
        found = await history.report(device, bed.snapshot.bed.ward if bed else "", day, wards)
        return api_responses.report(device, day, found)

    @router.get("/alerts")
    async def alerts(
        user: CurrentUser, name: Annotated[str | None, Query(alias="ward", description="One ward.")] = None
    ) -> api_models.Alerts:
        """Return the open alerts as of now, the most urgent first."""
        return api_responses.alerts(ward, name, user.viewable, present_time())

    def only(user: UserConnection, device: str) -> list[str] | None:
        """Return the wards whose history may be shown, None for all; raises 404 for a device now in another ward."""
        if not device.isprintable():  # no topic level contains such characters, and the database rejects a NUL
            raise no_bed(device)
        if not user.viewable.everywhere:
            bed = ward.beds.get(device)
            if bed is None or not user.viewable.includes(bed.snapshot.bed.ward):
                raise no_bed(device)
        return user.viewable.as_list()

    return router


def require_offsets(times: dict[str, datetime | None]) -> None:
    """Raise status 422 if one of these times, by parameter, has no offset to UTC."""
    for name, moment in times.items():
        if moment is not None and moment.tzinfo is None:
            raise HTTPException(422, f"{name} is {moment.isoformat()}, without an offset; write it with Z or +01:00")


def no_bed(device: str) -> HTTPException:
    """Return the same error for an unknown bed and for one that this user may not see."""
    return HTTPException(404, f"there is no bed {device[:200]!r}; /api/ward lists them")


def _range(start: datetime | None, end: datetime | None, span: timedelta) -> tuple[datetime, datetime]:
    """Return the range of a query, by default the last `span`; raises 422 for a time without an offset."""
    require_offsets({"from": start, "to": end})
    until = end or _now()
    return start or until - span, until


def _now() -> datetime:
    return datetime.now(UTC)
