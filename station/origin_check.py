"""What stands before every request and behind every answer, so that no other site can speak through a browser.

A page of another site, open in the browser of a signed-in user, must neither read nor write here:
- a Host that is none of our names is refused: a stranger's name may be made to point at us (DNS rebinding);
- what changes something must come from our own page: Origin and Sec-Fetch-Site say so, and a form cannot send JSON;
- answers carry a strict Content-Security-Policy: scripts and styles from here only, none inside the page.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SAFE = ("GET", "HEAD", "OPTIONS")
FOR_MACHINES = ("/healthz", "/metrics")  # asked by a name that only a container network knows; no patient in them
MAX_BODY = 64 * 1024  # bytes


class OriginMiddleware:
    """The ASGI application behind it, guarded. `names`: what browsers may call us; addresses need no name."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        answer = self._app if refusal is None else JSONResponse({"detail": refusal[1]}, refusal[0])
        await answer(scope, receive, send_guarded)

    def _refusal(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if path not in FOR_MACHINES and not self._is_ours(host):
            detail = f"this station is not called {host[:100]!r}; VITALFLOW_STATION_ALLOWED_HOSTS lists its names"
            return 421, detail
        if method in SAFE:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "only our own pages may change something"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return 403, "only our own pages may change something"
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return 415, "expected application/json"
        length = headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return 413, f"expected at most {MAX_BODY} bytes, and a Content-Length that says how many"
        return None

    def _is_ours(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or ""
        if name in self._names:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True  # an address cannot be made to point elsewhere
