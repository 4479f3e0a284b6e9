"""Post a message to a receiver over HTTP, once, and say what became of it.

Redirects are not followed: a message goes to no other address than the one of the site. The address appears in no log
line, since that of a topic or a channel is a secret.
"""

import asyncio
import logging
import os
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx

from edges.alert_webhooks.signing import parse_key, signature_headers
from edges.alert_webhooks.templates import Style
from edges.config.receiver_table import Receiver, check_url
from edges.config.secret_file import SecretFile
from edges.config.site import Site
from mqtt.tls import client_context
from vitals.errors import PermanentError
from vitals.version import VERSION

TIMEOUT_S = 10.0  # of an attempt, from the connection to the status
REASON_TIMEOUT_S = 1.0
MAX_RETRY_AFTER_S = 3600.0
MAX_IN_FLIGHT = 4  # attempts at the same time, each of another series
MAX_REASON = 500  # bytes
MAX_PRINTED = 200  # characters of a reason
_MIN_TOKEN = 8  # characters, of a service that chooses its tokens
_MAY_PASS = (408, 425, 429)
_ALL_MESSAGES = (429, 503)

for _name in ("httpx", "httpcore"):  # they log addresses
    logging.getLogger(_name).setLevel(logging.WARNING)


class Result(Enum):
    """What a receiver did with a message."""

    ACCEPTED = "accepted"
    FAILED = "failed"  # may be accepted later
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of an attempt.

    code            status of HTTP; empty: there was no answer
    reason          what the receiver says, or why there was no answer
    retry_after_s   what the receiver asks for
    """

    result: Result
    code: str = ""
    reason: str = ""
    retry_after_s: float | None = None

    @property
    def concerns_all(self) -> bool:
        """Whether the receiver is down or busy, so that no other message will be accepted now."""
        return self.result is Result.FAILED and (not self.code or int(self.code) in _ALL_MESSAGES)

    def __str__(self) -> str:
        if not self.code:
            return self.reason
        return f"answers {self.code}{'; redirects are not followed' if self.code.startswith('3') else ''}"


@dataclass(frozen=True, slots=True)
class Target:
    """A receiver with its secrets, as they were read at the start."""

    name: str
    url: str
    style: Style
    keys: tuple[bytes, ...]
    token: str
    tls: ssl.SSLContext


def read_target(receiver: Receiver, site: Site) -> Target:
    """Read the files of a receiver; raises PermanentError that states no secret."""
    try:
        url = receiver.url or _read(receiver, receiver.url_file)
        check_url(receiver, url)
        keys = []
        for path in receiver.secret_files:
            try:
                keys.append(parse_key(_read(receiver, path)))
            except ValueError as error:
                raise ValueError(f"{path} {error}") from None
    except ValueError as error:
        raise PermanentError(f"receiver {receiver.name}: {error}") from None
    topic = ""
    if receiver.template == "ntfy":
        parts = urlsplit(url)
        url, topic = f"{parts.scheme}://{parts.netloc}/", parts.path.strip("/")
    style = Style(receiver.template, site.tz, receiver.states_patient, topic)
    token = _read(receiver, receiver.token_file) if receiver.token_file else ""
    return Target(receiver.name, url, style, tuple(keys), token, client_context(receiver.ca))


def _read(receiver: Receiver, path: Path | None) -> str:
    return "" if path is None else SecretFile(path, receiver.name, _MIN_TOKEN).value.decode()


class Client:
    """The connections to one receiver."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._http = httpx.AsyncClient(
            verify=target.tls,
            timeout=TIMEOUT_S,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=MAX_IN_FLIGHT, keepalive_expiry=30.0),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def post(self, number: str, body: bytes) -> Answer:
        """Send a message and return what became of it. `number` identifies it, the same in each attempt."""
        target = self._target
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": _AGENT}
        if target.token:
            headers["Authorization"] = f"Bearer {target.token}"
        headers |= signature_headers(target.keys, number, int(datetime.now(UTC).timestamp()), body)
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._http.stream("POST", target.url, content=body, headers=headers) as response,
            ):
                reason = await _read_reason(response)
        except TimeoutError:
            return Answer(Result.FAILED, reason=f"no answer within {TIMEOUT_S:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Answer(Result.FAILED, reason=_describe(error))
        return judge(response.status_code, reason, response.headers.get("retry-after", ""), datetime.now(UTC))


def _describe(error: BaseException) -> str:
    """Return the reason that is furthest down: those above it say only that no connection was made."""
    text, cause = str(error) or type(error).__name__, error.__cause__ or error.__context__
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {cause.verify_message}"
        if isinstance(cause, OSError):  # the text of a failed connection of asyncio names the address instead
            text = os.strerror(cause.errno) if cause.errno is not None and cause.errno > 0 else cause.strerror or text
        cause = cause.__cause__ or cause.__context__
    return ascii(text)[1:-1][:MAX_PRINTED]


_AGENT = f"vitalflow/{VERSION}"


async def _read_reason(response: httpx.Response) -> bytes:
    """Return the begin of the content. The status decides: an end that is missing makes no failure."""
    found = b""
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(REASON_TIMEOUT_S):
            async for part in response.aiter_raw():
                found += part
                if len(found) >= MAX_REASON:
                    break
    return found[:MAX_REASON]


def judge(status: int, reason: bytes, retry_after: str, now: datetime) -> Answer:
    """Return what an answer means.

    A redirect may pass: the message waits until the site states the new address.
    """
    code, text = str(status), " ".join(reason.decode("utf-8", "replace").split())
    if 200 <= status < 300:
        return Answer(Result.ACCEPTED, code)
    if 400 <= status < 500 and status not in _MAY_PASS:
        return Answer(Result.REJECTED, code, text)
    return Answer(Result.FAILED, code, text, _seconds(retry_after, now))


def _seconds(retry_after: str, now: datetime) -> float | None:
    """Return the seconds of Retry-After, a number or a date; None if it has neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
        left = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(left, 0.0), MAX_RETRY_AFTER_S)
