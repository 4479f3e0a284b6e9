"""Responses with the reason of a rejected request, in the form that its path has. Pure.

Routes raise the errors of FAILURES, and HTTPException for any other status.
"""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from vitals.errors import PermanentError, TransientError
from vitals.fhir import MEDIA_TYPE, operation_outcome
from vitals.limits import RequestRejected

FHIR_PREFIX = "/fhir/"
# Codes of hl7.org/fhir/R4/valueset-issue-type.html.
ISSUES = {
    400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 406: "not-supported",
    413: "too-long", 415: "not-supported", 421: "not-supported", 422: "too-costly", 429: "throttled", 503: "transient",
}  # fmt: skip

FAILURES: dict[type[Exception], int] = {RequestRejected: 409, PermanentError: 422, TransientError: 503}
"""Status by error; the nearest base class counts."""


async def answer_error(request: Request, error: Exception) -> JSONResponse:
    """Return the response to an error that a route has raised."""
    if isinstance(error, HTTPException):
        return problem(request.url.path, error.status_code, error.detail, error.headers)
    status = next(FAILURES[kind] for kind in type(error).__mro__ if kind in FAILURES)
    return problem(request.url.path, status, str(error))


def problem(path: str, status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a response with a status and the reason: an OperationOutcome below /fhir/, elsewhere `detail`."""
    if not path.startswith(FHIR_PREFIX):
        return JSONResponse({"detail": detail}, status, headers)
    outcome = operation_outcome(ISSUES.get(status, "processing"), detail)
    return JSONResponse(outcome, status, headers, media_type=f"{MEDIA_TYPE}; charset=utf-8")
