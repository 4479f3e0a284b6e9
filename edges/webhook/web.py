"""The HTTP application that receives webhooks at /webhooks/NAME: proof and limits come before the document."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edges.config.webhook_table import Webhook
from edges.listener.http_body import discard_body, read_body
from edges.listener.unproven import UnprovenRequests
from edges.observations.json_document import MAX_BODY
from edges.webhook.secrets import Secrets
from edges.webhook.signatures import HttpAnswer, HttpRequest, Unproven, check_stated, verify_address

log = logging.getLogger("edges")

PATH = "/webhooks/"
MAX_DISCARDED = 4 * MAX_BODY  # bytes of a body that is refused
_RETRY_AFTER_S = "5"

Handle = Callable[[Webhook, Sequence[bytes], HttpRequest, datetime], Awaitable[HttpAnswer]]


def webhook_application(
    handle: Handle, webhooks: Sequence[Webhook], secrets: Secrets, unproven: UnprovenRequests
) -> Starlette:
    """Return the application.

    handle   takes a webhook, its secrets, a request and the time of receipt; raises Unproven
    """
    by_name = {webhook.name: webhook for webhook in webhooks}

    def find(request: Request) -> Webhook:
        webhook = by_name.get(request.path_params["name"])
        if webhook is None:
            raise HTTPException(404, "there is no webhook of this name")
        return webhook

    async def receive(request: Request) -> Response:
        webhook, now = find(request), datetime.now(UTC)
        if request.method == "HEAD":  # Withings asks whether the address exists
            return Response(status_code=200)
        if request.method == "GET":
            verified = verify_address(webhook, secrets.code_of(webhook), request.query_params)
            if verified is None:
                raise HTTPException(405, "documents are sent with POST", {"Allow": "POST"})
            return _response(verified)
        headers = {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
        stated = HttpRequest(b"", headers, request.path_params.get("secret", ""))
        try:
            check_stated(webhook, secrets.of(webhook), stated)  # before a body is read
            if headers.get("content-encoding", "identity").strip().lower() != "identity":
                raise HTTPException(415, "the body is compressed; expected none")
            body = await read_body(request, MAX_BODY, "send several documents")
            whole = HttpRequest(body, headers, stated.path_secret)
            answer = await handle(webhook, secrets.of(webhook), whole, now)
        except Unproven as error:
            unproven.refuse(f"webhook {webhook.name}", request, str(error))
            raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from None
        return _response(answer)

    methods = ["POST", "PUT", "GET", "HEAD"]
    return Starlette(
        routes=[
            Route(PATH + "{name}", receive, methods=methods),
            Route(PATH + "{name}/{secret}", receive, methods=methods),
        ],
        exception_handlers={HTTPException: _refuse, Exception: _fail},
    )


def _response(answer: HttpAnswer) -> Response:
    retry = {"Retry-After": _RETRY_AFTER_S} if answer.status == 503 else None
    return Response(answer.body, answer.status, retry, "application/json" if answer.body else None)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code != 408:
        await discard_body(request, MAX_DISCARDED)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _fail(request: Request, error: Exception) -> Response:
    log.error("the handling of a document failed", exc_info=error)
    return JSONResponse({"error": "the document could not be handled; nothing of it is stored"}, 500)
