"""Build the HTTP application: pages and their assets, the live stream, the API, /healthz and /metrics."""

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from station.auth.middleware import PAGE_PATHS, AuthMiddleware
from station.auth.sessions import SessionManager
from station.origin_check import OriginMiddleware
from station.problems import FAILURES, answer_error

STATIC = Path(__file__).parent / "static"


def web(
    names: frozenset[str],
    sessions: SessionManager,
    cookie: str,
    version: str,
    routers: list[object],
    healthz: Callable[[], tuple[str | None, dict[str, object]]],
    metrics: Callable[[], bytes],
) -> ASGIApp:
    """Return the application."""
    # Without docs_url: FastAPI's own pages fetch their scripts from a content network.
    app = FastAPI(
        title="VitalFlow station",
        version=version,
        description="The live ward, read-only, for signed-in users: HTTP Basic with the name and password of "
        "`vitalflow user add`. Trends come from the database; everything else comes from the broker.",
        docs_url=None,
        redoc_url=None,
    )
    app.add_exception_handler(HTTPException, answer_error)
    for kind in FAILURES:
        app.add_exception_handler(kind, answer_error)
    for router in routers:
        app.include_router(router)  # type: ignore[arg-type]

    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    for path in PAGE_PATHS:  # one document; its script reads the page from the URL
        app.add_api_route(path, page, include_in_schema=False)

    @app.get("/healthz", tags=["operation"], responses={503: {"description": "It does not work; `reason` says why"}})
    async def health(response: Response) -> dict[str, object]:
        """Return the health of the station; `outages` names what is down, and `reasons` has the causes."""
        reason, facts = healthz()
        response.status_code = 200 if reason is None else 503
        return {"status": "ok" if reason is None else "failing", "reason": reason, **facts}

    @app.get("/metrics", tags=["operation"], response_class=PlainTextResponse)
    async def counters() -> Response:
        """Return the metrics for Prometheus."""
        return Response(metrics(), media_type=CONTENT_TYPE_LATEST)

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return OriginMiddleware(AuthMiddleware(app, sessions, cookie), names)
