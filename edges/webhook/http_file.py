"""Read a file with one HTTP request: request line, headers, an empty line, body. Pure."""

import re
from dataclasses import dataclass

_REQUEST_LINE = re.compile(rb"(GET|HEAD|POST|PUT) (\S+) HTTP/1\.[01]\r?\n")
_NAME = re.compile(r"/(?:webhooks|hooks)/([^/?]+)(?:/([^/?]+))?")


@dataclass(frozen=True, slots=True)
class RequestFile:
    """A request in a file; `headers` by name in lower case."""

    method: str
    name: str
    path_secret: str
    query: str
    headers: dict[str, str]
    body: bytes


def read_request(content: bytes) -> RequestFile | None:
    """Return the request in a file; None if the file is a body alone."""
    match = _REQUEST_LINE.match(content)
    if match is None:
        return None
    method, target = match.group(1).decode(), match.group(2).decode("utf-8", "replace")
    parts = re.split(rb"\r?\n\r?\n", content[match.end() - 1 :], maxsplit=1)
    headers: dict[str, str] = {}
    for line in parts[0].decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    body = parts[1] if len(parts) > 1 else b""
    if headers.get("content-length", "").isdecimal():
        body = body[: int(headers["content-length"])]
    named = _NAME.match(target)
    name, secret = named.groups() if named else ("", None)
    return RequestFile(method, name, secret or "", target.partition("?")[2], headers, body)
