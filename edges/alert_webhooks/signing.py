"""Sign a request by Standard Webhooks (standardwebhooks.com, specification 1.0). Pure."""

import base64
import binascii
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
MIN_KEY, MAX_KEY = 24, 64  # bytes, as the specification asks


def parse_key(secret: str) -> bytes:
    """Return the key of a secret; raises ValueError with one clause about it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    except binascii.Error:
        key = b""
    if not MIN_KEY <= len(key) <= MAX_KEY:
        raise ValueError(
            f"is no secret of Standard Webhooks: {PREFIX} and {MIN_KEY} to {MAX_KEY} bytes in base64, such as of "
            f'`echo "{PREFIX}$(openssl rand -base64 32)"`'
        )
    return key


def signature_headers(keys: Sequence[bytes], number: str, stamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a request.

    number   identifies the message, the same in each attempt
    stamp    time of the attempt, in unix seconds
    """
    signed = f"{number}.{stamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    headers = {"webhook-id": number, "webhook-timestamp": str(stamp)}
    if signatures:
        headers["webhook-signature"] = " ".join(f"v1,{text}" for text in signatures)
    return headers
