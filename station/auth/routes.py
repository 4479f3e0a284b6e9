"""Signing in and out. The page asks for name and password; the broker says whether they are right (`people`)."""

from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel

from station.auth.middleware import CurrentSession, client_address
from station.auth.sessions import SessionManager, TooManyAttempts
from station.auth.user_connection import InvalidCredentials
from vitals.errors import TransientError

STATIC = Path(__file__).parent.parent / "static"


class Credentials(BaseModel):
    """User name and password of a sign-in request."""

    name: str
    password: str


def auth_routes(people: SessionManager, cookie: str) -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/signin")
    async def page() -> FileResponse:
        return FileResponse(STATIC / "signin.html", headers={"Cache-Control": "no-cache"})

    @router.post("/signin")
    async def sign_in(asked: Credentials, request: Request) -> Response:
        """Sign in: a cookie, or one sentence why not."""
        try:
            person = await people.verify(asked.name.strip(), asked.password, client_address(request))
        except TooManyAttempts as wait:
            return JSONResponse(_told(wait), 429, {"Retry-After": str(wait.wait_s)})
        except InvalidCredentials as wrong:
            return JSONResponse(_told(wrong), 401)
        except TransientError as away:
            return JSONResponse({"detail": f"Signing in is not possible now: {away}."}, 503)
        answer = JSONResponse({"name": person.name})
        # What the browser's own address line says: a proxy before us may be the one that encrypts.
        secure = urlsplit(request.headers.get("origin", "")).scheme == "https" or request.url.scheme == "https"
        before = people.login(request.cookies.get(cookie, ""))
        if before is not None:
            people.sign_out(before)  # its pages would show one name and act in the other
        token = people.sign_in(person).token
        answer.set_cookie(cookie, token, httponly=True, samesite="strict", secure=secure, path="/")
        return answer

    @router.post("/signout")
    async def sign_out(login: CurrentSession) -> Response:
        """Sign this browser out."""
        people.sign_out(login)
        answer = JSONResponse({})
        answer.delete_cookie(cookie, path="/", httponly=True, samesite="strict")
        return answer

    @router.get("/ui/me")
    async def me(login: CurrentSession) -> dict[str, str]:
        """Whether this browser is signed in, and as whom."""
        return {"name": login.person.name}

    return router


def _told(error: Exception) -> dict[str, str]:
    """As a sentence on the page."""
    sentence = str(error)
    return {"detail": f"{sentence[0].upper()}{sentence[1:]}."}
