"""The HTTP application that receives FHIR at /fhir/R4: authentication, media types and limits before a body is read."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edges.config.site import UNKNOWN_SOURCE, Source
from edges.fhir.answers import answer_problem
from edges.fhir.capability import capability_statement
from edges.fhir.tokens import Tokens
from edges.listener.http_body import HttpAnswer, failure_handlers, read_body
from edges.listener.unproven import UnprovenRequests
from vitals.fhir import MEDIA_TYPE

_JSON = (MEDIA_TYPE, "application/json", "text/json")
_LINES = ("application/fhir+ndjson", "application/ndjson", "application/x-ndjson")
_VERSIONS = ("4.0", "4.3")  # R4 and R4B, whose Observation is the same
_ACCEPTED = frozenset((*_JSON, "*/*", "application/*"))
_CODES = {401: "login", 404: "not-found", 413: "too-long", 500: "exception"}

Handle = Callable[[bytes, Source, datetime, bool], Awaitable[HttpAnswer]]


def fhir_application(handle: Handle, tokens: Tokens, unproven: UnprovenRequests) -> Starlette:
    """Return the application.

    handle   takes a body, its sender, the time of receipt, and whether it is a Bundle or NDJSON
    """

    async def receive(request: Request, bundle: bool) -> Response:
        now = datetime.now(UTC)
        source = tokens.find(request.headers.get("authorization", "")) if tokens.required else UNKNOWN_SOURCE
        if source is None:
            reason = "a bearer token of a source of the site is needed"
            unproven.refuse("FHIR", request, reason)
            raise HTTPException(401, reason, {"WWW-Authenticate": "Bearer"})
        _check_media_types(request, bundle)
        body = await read_body(request, "send several Bundles")
        return (await handle(body, source, now, bundle)).response(MEDIA_TYPE)

    async def receive_observation(request: Request) -> Response:
        return await receive(request, False)

    async def receive_bundle(request: Request) -> Response:
        return await receive(request, True)

    async def metadata(request: Request) -> Response:
        return JSONResponse(capability_statement(), media_type=MEDIA_TYPE)

    application = Starlette(
        routes=[
            Route("/fhir/R4/Observation", receive_observation, methods=["POST", "PUT"]),
            Route("/fhir/R4/Observation/", receive_observation, methods=["POST"]),
            Route("/fhir/R4/Observation/{id}", receive_observation, methods=["PUT"]),
            Route("/fhir/R4", receive_bundle, methods=["POST"]),
            Route("/fhir/R4/", receive_bundle, methods=["POST"]),
            Route("/fhir/R4/metadata", metadata, methods=["GET"]),
        ],
        exception_handlers=failure_handlers(_problem, MEDIA_TYPE),
    )
    application.router.redirect_slashes = False  # a redirect of a POST is followed by few senders
    return application


def _check_media_types(request: Request, bundle: bool) -> None:
    """Raise HTTPException unless the body is JSON and the answer may be."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    allowed = (*_JSON, *_LINES) if bundle else _JSON
    if kind.strip().lower() not in allowed:
        raise HTTPException(415, f"the body is {kind.strip()[:60]!a}; expected one of {', '.join(allowed)}")
    version = re.search(r"fhirversion *= *\"?([^\" ;]*)", parameters.lower())
    if version and version[1] not in _VERSIONS:
        raise HTTPException(415, f"the body is FHIR {version[1][:10]!a}; expected one of {', '.join(_VERSIONS)}")
    charset = parameters.lower().replace(" ", "").replace('"', "").partition("charset=")[2].partition(";")[0]
    if charset not in ("", "utf-8", "us-ascii") and "charset=" in parameters.lower():
        raise HTTPException(415, f"the character set is {charset[:40]!a}; expected UTF-8")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise HTTPException(415, f"the body is encoded as {encoding[:40]!a}; expected none")
    accepted = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "*/*").split(",")]
    wanted = request.query_params.get("_format", "").replace(" ", "+") or "json"  # a plus is a space in a query
    if not _ACCEPTED.intersection(accepted) or wanted not in ("json", *_JSON):
        raise HTTPException(406, f"the answer is {MEDIA_TYPE}; nothing else is there")


def _problem(status: int, reason: str) -> HttpAnswer:
    return answer_problem(status, _CODES.get(status, "not-supported"), reason)
