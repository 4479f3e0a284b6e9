"""Routes to sign in and out. The broker verifies name and password (`sessions`)."""

from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel

from station.auth.middleware import CurrentSession, client_address
from station.auth.sessions import SessionManager, TooManyAttempts
from station.auth.user_connection import InvalidCredentials
from vitals.errors import PermanentError, TransientError

STATIC = Path(__file__).parent.parent / "static"


class Credentials(BaseModel):
    """User name and password of a sign-in request."""

    name: str
    password: str


class PasswordChange(BaseModel):
    """The present password of the user who is signed in, and the new one."""

    old: str
    new: str


def auth_routes(sessions: SessionManager, cookie: str) -> APIRouter:
    """Return the routes to sign in and out."""
    router = APIRouter(include_in_schema=False)

    @router.get("/signin")
    async def page() -> FileResponse:
        return FileResponse(STATIC / "signin.html", headers={"Cache-Control": "no-cache"})

    @router.post("/signin")
    async def sign_in(credentials: Credentials, request: Request) -> Response:
        """Sign in: set a cookie, or return the reason for a rejection."""
        try:
            user = await sessions.verify(credentials.name.strip(), credentials.password, client_address(request))
        except InvalidCredentials as error:
            return _refusal(error, 401)
        except TransientError as error:
            if not isinstance(error, TooManyAttempts):
                error = TransientError(f"Signing in is not possible now: {error}")
            return _refusal(error, 503)
        answer = JSONResponse({"name": user.name})
        # Origin has the scheme of the browser's URL: a reverse proxy may terminate TLS.
        secure = urlsplit(request.headers.get("origin", "")).scheme == "https" or request.url.scheme == "https"
        before = sessions.find(request.cookies.get(cookie, ""))
        if before is not None:
            sessions.sign_out(before)  # its pages would show one name and act under the other
        token = sessions.sign_in(user).token
        answer.set_cookie(cookie, token, httponly=True, samesite="strict", secure=secure, path="/")
        return answer

    @router.post("/signout")
    async def sign_out(session: CurrentSession) -> Response:
        """Sign this browser out."""
        sessions.sign_out(session)
        answer = JSONResponse({})
        answer.delete_cookie(cookie, path="/", httponly=True, samesite="strict")
        return answer

    @router.post("/ui/password")
    async def change_password(change: PasswordChange, session: CurrentSession, request: Request) -> Response:
        """Change the password of the user; other sessions of the user end."""
        try:
            await sessions.change_password(session, change.old, change.new, client_address(request))
        except InvalidCredentials as error:
            return _refusal(error, 403)  # not 401: the session goes on
        except (PermanentError, TransientError) as error:
            return _refusal(error, 409 if isinstance(error, PermanentError) else 503)
        return JSONResponse({})

    @router.get("/ui/me")
    async def me(session: CurrentSession) -> dict[str, str]:
        """Return the user that is signed in in this browser; status 401 without a session."""
        return {"name": session.user.name}

    return router


def _refusal(error: Exception, status: int) -> JSONResponse:
    """Return an error as a sentence for the page; one for too many attempts with its own status and the pause."""
    sentence = str(error)
    body = {"detail": f"{sentence[0].upper()}{sentence[1:]}."}
    if isinstance(error, TooManyAttempts):
        return JSONResponse(body, 429, {"Retry-After": str(error.wait_s)})
    return JSONResponse(body, status)
