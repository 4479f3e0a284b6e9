"""Read the body of a request within bounds of size and time, and answer it, also if that fails."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from edges.observations.json_document import MAX_BODY

log = logging.getLogger("edges")

BODY_TIMEOUT_S = 30.0
MAX_DISCARDED = 4 * MAX_BODY  # bytes of a body that is refused
_RETRY_AFTER_S = "5"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The status and the body of an answer."""

    status: int
    body: bytes = b""

    def response(self, media_type: str) -> Response:
        """Return it as a response."""
        headers = {"Retry-After": _RETRY_AFTER_S} if self.status == 503 else None
        return Response(self.body, self.status, headers, media_type if self.body else None)


def failure_handlers(write: Callable[[int, str], HttpAnswer], media_type: str) -> dict[Any, Any]:
    """Return the exception handlers of an application; `write` returns the answer with a status and a reason."""

    async def refuse(request: Request, error: HTTPException) -> Response:
        if error.status_code != 408:
            await _discard_body(request)
        response = write(error.status_code, error.detail).response(media_type)
        response.headers.update(error.headers or {})
        return response

    async def fail(_: Request, error: Exception) -> Response:
        log.error("the handling of a document failed", exc_info=error)
        reason = "the document could not be handled; nothing of it is stored"
        return write(500, reason).response(media_type)

    return {HTTPException: refuse, Exception: fail}


async def read_body(request: Request, advice: str) -> bytes:
    """Return the body; raises HTTPException, with what to do instead, if it is too large or too slow."""
    too_large = HTTPException(413, f"the body has more than {MAX_BODY} bytes; {advice}")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and len(length) < 20 and int(length) > MAX_BODY:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, f"the body took more than {BODY_TIMEOUT_S:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the body") from None
    return bytes(body)


async def _discard_body(request: Request) -> None:
    """Read on, so that a client that sends before it reads gets the answer and not a broken connection."""
    count = 0
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):  # the last one: all of it was read
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                count += len(part)
                if count > MAX_DISCARDED:
                    return
