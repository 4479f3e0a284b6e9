"""The JSON API for scripts: the ward, a bed, its trends, the open alerts. Read-only; described by /openapi.json.

Whoever asks is told of the wards that the broker lets that person see (`door` says who it is), and of no other.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Query

from station import answers, models
from station.door import Visitor
from station.history import History
from station.person import Person
from station.ward import Ward
from vitals.errors import PermanentError, TransientError

MAX_POINTS = 5_000
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": models.Problem, "description": "Nobody knows that bed."}}
NO_ANSWER: dict[int | str, dict[str, Any]] = {
    **UNKNOWN,
    422: {"model": models.Problem, "description": "That range or device cannot be."},
    503: {"model": models.Problem, "description": "The database is away."},
}
Found = TypeVar("Found")


def api(ward: Ward, history: History) -> APIRouter:
    """The routes below /api."""
    router = APIRouter(prefix="/api", tags=["ward"])

    @router.get("/ward")
    async def the_ward(
        visitor: Visitor, name: Annotated[str | None, Query(alias="ward", description="One ward.")] = None
    ) -> models.Ward:
        """Every bed as of now, with its open alerts, and who is away."""
        return answers.ward(ward, name, visitor.sees, _now())

    @router.get("/beds/{device}", responses=UNKNOWN)
    async def one_bed(visitor: Visitor, device: str) -> models.BedResource:
        """One bed as of now."""
        found = answers.bed(ward, device, visitor.sees, _now())
        if found is None:
            raise no_bed(device)
        return found

    @router.get("/beds/{device}/series", responses=NO_ANSWER)
    async def series(
        visitor: Visitor,
        device: str,
        start: Annotated[datetime | None, Query(alias="from", description="RFC 3339; 24 hours before `to`.")] = None,
        end: Annotated[datetime | None, Query(alias="to", description="RFC 3339; now.")] = None,
        points: Annotated[int, Query(ge=1, le=MAX_POINTS, description="How many points at most.")] = 500,
    ) -> models.Series:
        """One bed's trends from the database, in the finest steps that give at most so many points."""
        until = end or _now()
        since = start or until - timedelta(hours=24)
        for name, moment in (("from", since), ("to", until)):
            if moment.tzinfo is None:
                raise HTTPException(
                    422, f"{name} is {moment.isoformat()}, without an offset; write it with Z or +01:00"
                )
        wards = only(visitor, device)
        return answers.series(device, await answered(lambda: history.series(device, since, until, points, wards)))

    @router.get("/beds/{device}/alerts", responses=NO_ANSWER)
    async def past_alerts(
        visitor: Visitor,
        device: str,
        limit: Annotated[int, Query(ge=1, le=500, description="How many at most.")] = 50,
    ) -> models.PastAlerts:
        """One bed's alerts of the last 30 days from the database, the newest first."""
        wards = only(visitor, device)
        return answers.past_alerts(device, await answered(lambda: history.alerts(device, limit, wards)))

    @router.get("/alerts")
    async def alerts(
        visitor: Visitor, name: Annotated[str | None, Query(alias="ward", description="One ward.")] = None
    ) -> models.Alerts:
        """The open alerts as of now, the most urgent first."""
        return answers.alerts(ward, name, visitor.sees, _now())

    def only(visitor: Person, device: str) -> list[str] | None:
        """The wards whose past may be told, None for all; raises 404 for a device that is in another one now."""
        if not device.isprintable():  # no name of a topic is, and the database would refuse a NUL
            raise no_bed(device)
        if not visitor.sees.everywhere:
            bed = ward.beds.get(device)
            if bed is None or not visitor.sees.covers(bed.seen.bed.ward):
                raise no_bed(device)
        return visitor.sees.listed()

    return router


def no_bed(device: str) -> HTTPException:
    """The same for one that nobody knows and for one that this person may not see."""
    return HTTPException(404, f"there is no bed {device[:200]!r}; /api/ward lists them")


async def answered(ask: Callable[[], Awaitable[Found]]) -> Found:
    """An answer, or our errors as HTTP says them."""
    try:
        return await ask()
    except PermanentError as never:
        raise HTTPException(422, str(never)) from None
    except TransientError as away:
        raise HTTPException(503, str(away)) from None


def _now() -> datetime:
    return datetime.now(UTC)
