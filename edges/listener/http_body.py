"""Read the body of a request within bounds of size and time."""

import asyncio
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

BODY_TIMEOUT_S = 30.0


async def read_body(request: Request, limit: int, advice: str = "") -> bytes:
    """Return the body; raises HTTPException if it is too large or too slow.

    limit    in bytes
    advice   what to do instead of sending a larger body
    """
    too_large = HTTPException(413, f"the body has more than {limit} bytes{advice and f'; {advice}'}")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and len(length) < 20 and int(length) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                body += part
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, f"the body took more than {BODY_TIMEOUT_S:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the body") from None
    return bytes(body)


async def discard_body(request: Request, limit: int) -> None:
    """Read on, so that a client that sends before it reads gets the answer and not a broken connection."""
    count = 0
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):  # the last one: all of it was read
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                count += len(part)
                if count > limit:
                    return
