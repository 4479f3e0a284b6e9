"""The routes of the alarm review: stored alerts of all beds in pages or as CSV, and the readings around each.

Each query is restricted to the wards that the broker allows the user to see.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query, Response

from station import api_models, api_responses
from station.alert_review import AlertFilter, Cursor, csv_header, csv_lines, read_cursor, write_cursor
from station.api import require_offsets
from station.auth.middleware import CurrentUser
from station.history import History

DEFAULT_RANGE = timedelta(hours=24)
MAX_EXPORT = 50_000  # alerts of one file, which is built in memory
EXPORT_PAGE = 5_000  # alerts of one query of an export
PROBLEMS: dict[int | str, dict[str, Any]] = {
    422: {"model": api_models.Problem, "description": "A parameter is invalid, or too many alerts match."},
    503: {"model": api_models.Problem, "description": "The database is unreachable."},
}
NO_ALERT = {"model": api_models.Problem, "description": "That alert is unknown."}
# The database rejects a NUL, and no name has other control characters.
Name = Annotated[str | None, Query(pattern=r"^[^\x00-\x1f]+$")]


@dataclass(frozen=True, slots=True)
class _Wanted:
    filter: AlertFilter
    after: Cursor | None


def _wanted(
    start: Annotated[datetime | None, Query(alias="from", description="RFC 3339; 24 hours ago.")] = None,
    end: Annotated[datetime | None, Query(alias="to", description="RFC 3339, exclusive; no end.")] = None,
    ward: Name = None,
    device: Name = None,
    rule: Name = None,
    priority: Annotated[
        Literal["high", "medium", "low"] | None, Query(description="The highest that the alert had.")
    ] = None,
    after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> _Wanted:
    require_offsets({"from": start, "to": end})
    since = start or datetime.now(UTC) - DEFAULT_RANGE
    wanted = AlertFilter(start=since, end=end, ward=ward, device=device, rule=rule, priority=priority)
    try:
        return _Wanted(wanted, None if after is None else read_cursor(after))
    except ValueError:
        raise HTTPException(422, "after is not `next` of a page") from None


Wanted = Annotated[_Wanted, Depends(_wanted)]


def review_api(history: History) -> APIRouter:
    """Return the routes of stored alerts, and the choices of the page's form."""
    router = APIRouter(tags=["ward"])

    async def page(user: CurrentUser, wanted: _Wanted, limit: int) -> api_models.AlertHistory:
        """Return the alerts of one page; with one more than its limit there is a next one."""
        wards = user.viewable.as_list()
        rows = await history.alert_history(wanted.filter, limit + 1, wards, wanted.after)
        alerts = [api_responses.past_alert(**row) for row in rows[:limit]]
        return api_models.AlertHistory(alerts=alerts, next=write_cursor(alerts[-1]) if len(rows) > limit else None)

    @router.get("/api/alerts/history", responses=PROBLEMS)
    async def alert_history(
        user: CurrentUser,
        wanted: Wanted,
        limit: Annotated[int, Query(ge=1, le=500, description="Maximum number of alerts.")] = 50,
    ) -> api_models.AlertHistory:
        """Return the stored alerts raised in a range, the newest first, in pages."""
        return await page(user, wanted, limit)

    @router.get("/api/alerts/history.csv", responses=PROBLEMS, response_class=Response)
    async def alert_history_csv(user: CurrentUser, wanted: Wanted) -> Response:
        """Return all matching alerts as CSV: complete, or an error."""
        lines, count, rest = [csv_header()], 0, wanted
        while True:
            found = await page(user, rest, EXPORT_PAGE)
            lines.append(csv_lines(found.alerts))
            count += len(found.alerts)
            if found.next is None:
                break
            if count >= MAX_EXPORT:
                raise HTTPException(422, f"more than {MAX_EXPORT:,} alerts match; choose a shorter time")
            rest = _Wanted(wanted.filter, read_cursor(found.next))
        headers = {"Content-Disposition": 'attachment; filename="alerts.csv"'}
        return Response("".join(lines), media_type="text/csv; charset=utf-8", headers=headers)

    @router.get("/api/alerts/{alert_id}/snapshot", responses={404: NO_ALERT, **PROBLEMS})
    async def alert_snapshot(user: CurrentUser, alert_id: UUID) -> api_models.AlertSnapshot:
        """Return the readings around an alert that are kept with it, also after those of its time were dropped."""
        found = await history.alert_snapshot(alert_id, user.viewable.as_list())
        if found is None:
            raise HTTPException(404, "no signs of this alert are stored for the wards that you can see")
        return api_responses.alert_snapshot(**found)

    @router.get("/ui/review", include_in_schema=False)
    async def choices(user: CurrentUser) -> dict[str, list[dict[str, str]]]:
        """Return the beds and rules that ever had an alert, for the form of the page."""
        names = await history.alert_names(user.viewable.as_list())
        beds = sorted({(row["ward"], row["device"]) for row in names})
        rules = {row["rule"]: row["text"] for row in names}
        return {
            "beds": [{"ward": ward, "device": device} for ward, device in beds],
            "rules": [{"rule": rule, "text": text} for rule, text in sorted(rules.items(), key=lambda item: item[1])],
        }

    return router
