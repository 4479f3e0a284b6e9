"""Reject requests from pages of other sites, and add security headers to every response.

A page of another site, open in the browser of a signed-in user, must neither read nor write data of the station:
- a Host that is not a name of the station is rejected, because an attacker's name may resolve to it (DNS rebinding);
- a request that changes state must come from a page of the station: Origin and Sec-Fetch-Site are checked, and the body
  must be JSON, which a form cannot send (a FHIR search is a form, and changes nothing);
- responses have a strict Content-Security-Policy: scripts and styles only from the station, none inline.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from station.problems import FHIR_PREFIX, problem

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
FOR_MACHINES = ("/healthz", "/metrics")  # requested with names of a container network; no patient data
MAX_BODY = 64 * 1024  # bytes


class OriginMiddleware:
    """ASGI middleware of the origin check. `names`: accepted host names; addresses are always accepted."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request and add the headers to its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        rejection = self._rejection(scope["method"], scope["path"], Headers(scope=scope))
        response = self._app if rejection is None else problem(scope["path"], *rejection)
        await response(scope, receive, send_with_headers)

    def _rejection(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if path not in FOR_MACHINES and not self._is_own_host(host):
            detail = f"{host[:100]!r} is not a name of this station; VITALFLOW_STATION_ALLOWED_HOSTS lists its names"
            return 421, detail
        if method in SAFE:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "only pages of this station may send this request"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return 403, "only pages of this station may send this request"
        # A search of FHIR is a form, as HL7 specifies it; it changes nothing.
        is_search = path.startswith(FHIR_PREFIX) and path.endswith("/_search")
        expected = "application/x-www-form-urlencoded" if is_search else "application/json"
        if headers.get("content-type", "").partition(";")[0].strip() != expected:
            return 415, f"expected {expected}"
        length = headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return 413, f"expected at most {MAX_BODY} bytes, and a Content-Length header"
        return None

    def _is_own_host(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or ""
        if name in self._names:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True  # DNS rebinding needs a name
