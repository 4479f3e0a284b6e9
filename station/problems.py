"""Responses with the reason of a rejected request, in the form that its path has. Pure."""

from collections.abc import Mapping

from starlette.responses import JSONResponse

from vitals.fhir import MEDIA_TYPE, operation_outcome

FHIR_PREFIX = "/fhir/"
# Codes of hl7.org/fhir/R4/valueset-issue-type.html.
ISSUES = {
    400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 406: "not-supported",
    413: "too-long", 415: "not-supported", 421: "not-supported", 422: "too-costly", 429: "throttled", 503: "transient",
}  # fmt: skip


def problem(path: str, status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a response with a status and the reason: an OperationOutcome below /fhir/, elsewhere `detail`."""
    if not path.startswith(FHIR_PREFIX):
        return JSONResponse({"detail": detail}, status, headers)
    outcome = operation_outcome(ISSUES.get(status, "processing"), detail)
    return JSONResponse(outcome, status, headers, media_type=f"{MEDIA_TYPE}; charset=utf-8")
