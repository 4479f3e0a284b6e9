"""Authenticate requests, after `origin_check` and before every route with patient data.

A browser sends the cookie of its session; a script sends name and password with each request to the API (HTTP Basic).
Deny by default: paths that are not listed here as public need authentication.
"""

import base64
import binascii
from typing import Annotated, cast
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request
from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from station.auth.sessions import SessionManager, TooManyAttempts, WebSession
from station.auth.user_connection import InvalidCredentials, UserConnection
from station.problems import FHIR_PREFIX, problem
from vitals.errors import TransientError

PAGE_PATHS = ("/", "/alerts", "/review", "/bed", "/report")
PUBLIC_PATHS = ("/signin", "/healthz", "/metrics", "/openapi.json", "/fhir/R4/metadata")  # without patient data
PUBLIC_PREFIXES = ("/static/",)
API_PREFIXES = ("/api/", FHIR_PREFIX)
CHALLENGE = 'Basic realm="VitalFlow", charset="UTF-8"'
USER_KEY = "vitalflow.user"  # in the request's scope
SESSION_KEY = "vitalflow.login"


class AuthMiddleware:
    """ASGI middleware that admits signed-in users. `cookie`: the name of the session cookie."""

    def __init__(self, app: ASGIApp, sessions: SessionManager, cookie: str) -> None:
        self._app = app
        self._sessions = sessions
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate one request, or reject it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        request = Request(scope)
        session = self._sessions.find(request.cookies.get(self._cookie, ""))
        if session is not None:
            scope[SESSION_KEY], scope[USER_KEY] = session, session.user
        elif path.startswith(API_PREFIXES) and "authorization" in request.headers:
            answer = await self._authenticate_api_user(request)
            if answer is not None:
                await answer(scope, receive, send)
                return
        if USER_KEY not in scope and path not in PUBLIC_PATHS and not path.startswith(PUBLIC_PREFIXES):
            await self._reject(request)(scope, receive, send)
            return

        async def send_private(message: Message) -> None:
            if message["type"] == "http.response.start" and not path.startswith(PUBLIC_PREFIXES):
                # The browser must not show a cached response after signing out.
                MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_private)

    async def _authenticate_api_user(self, request: Request) -> Response | None:
        """Put the user into the scope, or answer with the reason for the rejection."""
        path = request.url.path
        try:
            name, password = parse_basic_auth(request.headers["authorization"])
            address = client_address(request)
            request.scope[USER_KEY] = await self._sessions.verify(name, password, address, script=True)
        except TooManyAttempts as wait:
            return problem(path, 429, str(wait), {"Retry-After": str(wait.wait_s)})
        except (InvalidCredentials, ValueError) as error:
            return problem(path, 401, str(error), {"WWW-Authenticate": CHALLENGE})
        except TransientError as error:
            return problem(path, 503, f"names and passwords cannot be checked now: {error}")
        return None

    def _reject(self, request: Request) -> Response:
        path = request.url.path
        if request.method == "GET" and path in PAGE_PATHS:
            back = path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/signin?to={quote(back, safe='')}", 303)
        # No challenge for a browser, which would open its own password dialog.
        script = path.startswith(API_PREFIXES) and not {"sec-fetch-mode", "cookie"} & set(request.headers)
        detail = "sign in first; a script sends name and password with each request, as curl --user does"
        return problem(path, 401, detail, {"WWW-Authenticate": CHALLENGE} if script else None)


def parse_basic_auth(header: str) -> tuple[str, str]:
    """Return name and password of an Authorization header (RFC 7617); raises ValueError with the expected format."""
    kind, _, encoded = header.partition(" ")
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if kind.lower() != "basic" or not colon:
        raise ValueError("expected Authorization: Basic, followed by NAME:PASSWORD in UTF-8, encoded as base64")
    return name, password


def client_address(request: Request) -> str:
    """Return the address of the peer; X-Forwarded-For is ignored, because any client can send it."""
    return request.client.host if request.client is not None else ""


def user_of(request: Request) -> UserConnection:
    """Return the user of a request."""
    return cast(UserConnection, request.scope[USER_KEY])


def session_of(request: Request) -> WebSession:
    """Return the session of a browser; raises status 401 for a script, which has none."""
    session = request.scope.get(SESSION_KEY)
    if session is None:
        raise HTTPException(401, "sign in first")
    return cast(WebSession, session)


CurrentUser = Annotated[UserConnection, Depends(user_of)]
CurrentSession = Annotated[WebSession, Depends(session_of)]
