"""Prove that a request is of its sender: a secret that it states, or a signature of its body. Pure.

Each comparison takes the same time whatever was sent. Standard Webhooks: standardwebhooks.com, specification 1.0. The
others are those of the providers' documentation.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from edges.config.webhook_table import Webhook
from edges.listener.http_body import HttpAnswer

MAX_AGE_S = 300  # of a signature, and as much ahead
MAX_SIGNATURES = 20
MAX_ID = 200
_STANDARD_PREFIX = b"whsec_"


class Unproven(ValueError):
    """A request that is not of its sender; the text is one sentence and states no secret."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What of a request proves its sender.

    headers       by name in lower case
    path_secret   what follows the name in the path
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    path_secret: str = ""


def check_stated(webhook: Webhook, secrets: Iterable[bytes], request: HttpRequest) -> None:
    """Raise Unproven unless a request states a secret, where the proof is one. The body is not needed."""
    proof = webhook.required_proof
    if proof == "bearer":
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        given = given if scheme.lower() == "bearer" else ""
    elif proof == "header":
        given = request.headers.get((webhook.header or "").lower(), "")
    elif proof == "path":
        given = request.path_secret
    else:
        return
    _require(given.strip().encode("utf-8", "replace"), secrets, f"it does not state a secret of {webhook.name}")


def check_signed(webhook: Webhook, secrets: Sequence[bytes], request: HttpRequest, now: datetime) -> str:
    """Raise Unproven unless the body is signed, where the proof is a signature.

    Returns what the sender recognises the message by; empty without it.
    """
    headers, body = request.headers, request.body
    match webhook.required_proof:
        case "standard-webhooks":
            identifier, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
            signatures = headers.get("webhook-signature", "")
            if not (identifier and stamp and signatures) or len(identifier) > MAX_ID:
                raise Unproven("webhook-id, webhook-timestamp or webhook-signature is missing")
            _require_recent(stamp, now)
            signed = b".".join((_ascii(identifier), _ascii(stamp), body))
            expected = [base64.b64encode(_sha256(_standard_key(secret), signed)) for secret in secrets]
            _require_any(
                [text.removeprefix("v1,") for text in signatures.split()[:MAX_SIGNATURES] if text.startswith("v1,")],
                expected,
            )
            return identifier
        case "terra":
            parts = dict(part.strip().partition("=")[::2] for part in headers.get("terra-signature", "").split(","))
            stamp = parts.get("t", "")
            _require_recent(stamp, now)
            signed = _ascii(stamp) + b"." + body
            _require_any([parts.get("v1", "").lower()], [_sha256(secret, signed).hex().encode() for secret in secrets])
        case "oura":
            signed = _ascii(headers.get("x-oura-timestamp", "")) + body
            given = headers.get("x-oura-signature", "").lower()
            _require_any([given], [_sha256(secret, signed).hex().encode() for secret in secrets])
        case "fitbit":
            expected = [base64.b64encode(hmac.digest(secret + b"&", body, "sha1")) for secret in secrets]
            _require_any([headers.get("x-fitbit-signature", "")], expected)
        case _:
            pass
    return ""


def verify_address(webhook: Webhook, code: bytes, parameters: Mapping[str, str]) -> HttpAnswer | None:
    """Return the answer to a provider that verifies the address before it sends; None if the request is none of that.

    code   the code that it was given; empty: there is none
    """
    if webhook.kind == "fitbit" and "verify" in parameters:
        return HttpAnswer(204 if _is_code(parameters["verify"], code) else 404)
    if webhook.kind == "oura" and "challenge" in parameters:
        if not _is_code(parameters.get("verification_token", ""), code):
            return HttpAnswer(401)
        return HttpAnswer(200, json.dumps({"challenge": parameters["challenge"]}).encode())
    return None


def _is_code(given: str, code: bytes) -> bool:
    return bool(code) and hmac.compare_digest(given.encode("utf-8", "replace"), code)


def _require_recent(stamp: str, now: datetime) -> None:
    if not stamp.isascii() or not stamp.isdecimal() or len(stamp) > 12:
        raise Unproven("the time of the signature is no number of seconds")
    if abs(now.timestamp() - int(stamp)) > MAX_AGE_S:
        raise Unproven(f"the signature is more than {MAX_AGE_S} s old or ahead; the clocks differ, or it is sent again")


def _require_any(given: Iterable[str], expected: Sequence[bytes]) -> None:
    found = False
    for text in given:
        for one in expected:
            found |= hmac.compare_digest(text.strip().encode("utf-8", "replace"), one)
    if not found:
        raise Unproven("the signature is none of this body with a secret of this webhook")


def _require(given: bytes, secrets: Iterable[bytes], text: str) -> None:
    found = False
    for secret in secrets:
        found |= bool(secret) and hmac.compare_digest(given, secret)
    if not found:
        raise Unproven(text)


def _standard_key(secret: bytes) -> bytes:
    if not secret.startswith(_STANDARD_PREFIX):
        return secret
    try:
        return base64.b64decode(secret.removeprefix(_STANDARD_PREFIX))
    except binascii.Error:
        return secret


def _sha256(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")


def _ascii(text: str) -> bytes:
    return text.encode("utf-8", "replace")
