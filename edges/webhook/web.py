"""The HTTP application that receives webhooks at /webhooks/NAME: proof and limits come before the document."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edges.config.webhook_table import Webhook
from edges.listener.http_body import HttpAnswer, failure_handlers, read_body
from edges.listener.unproven import UnprovenRequests
from edges.webhook.receive import write_error
from edges.webhook.secrets import Secrets
from edges.webhook.signatures import HttpRequest, Unproven, check_stated, verify_address

PATH = "/webhooks/"
JSON = "application/json"

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
            return verified.response(JSON)
        headers = {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
        stated = HttpRequest(b"", headers, request.path_params.get("secret", ""))
        try:
            check_stated(webhook, secrets.of(webhook), stated)  # before a body is read
            if headers.get("content-encoding", "identity").strip().lower() != "identity":
                raise HTTPException(415, "the body is compressed; expected none")
            body = await read_body(request, "send several documents")
            whole = HttpRequest(body, headers, stated.path_secret)
            answer = await handle(webhook, secrets.of(webhook), whole, now)
        except Unproven as error:
            unproven.refuse(f"webhook {webhook.name}", request, str(error))
            raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from None
        return answer.response(JSON)

    methods = ["POST", "PUT", "GET", "HEAD"]
    return Starlette(
        routes=[
            Route(PATH + "{name}", receive, methods=methods),
            Route(PATH + "{name}/{secret}", receive, methods=methods),
        ],
        exception_handlers=failure_handlers(_problem, JSON),
    )


def _problem(status: int, reason: str) -> HttpAnswer:
    return HttpAnswer(status, write_error(reason))
