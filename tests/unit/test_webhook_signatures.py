"""Proofs of webhooks: a request that is forged, old or unsigned is not of its sender."""

import base64
import hmac
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edges.config.site import Site
from edges.config.webhook_table import Webhook
from edges.webhook.secrets import Secrets
from edges.webhook.signatures import HttpRequest, Unproven, check_signed, check_stated, verify_address

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
BODY = b'{ "a": 1 }\n'
KEY = b"a secret of thirty-two characters"
SECRET = b"whsec_" + base64.b64encode(KEY)


def webhook(kind: str, **more: Any) -> Webhook:
    return Webhook.model_validate({"name": "w", "kind": kind, "secret_file": "none", **more})


STANDARD = webhook("health-connect", proof="standard-webhooks")


def standard_headers(key: bytes = KEY, at: datetime = NOW, identifier: str = "msg_1") -> dict[str, str]:
    stamp = int(at.timestamp())
    digest = hmac.digest(key, f"{identifier}.{stamp}.".encode() + BODY, "sha256")
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(stamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def test_a_signature_of_one_of_the_secrets_is_accepted_while_a_secret_is_changed() -> None:
    headers = standard_headers()
    assert check_signed(STANDARD, [b"whsec_b3RoZXI=", SECRET], HttpRequest(BODY, headers), NOW) == "msg_1"
    other = f"v1a,x v1,{base64.b64encode(b'0' * 32).decode()} {headers['webhook-signature']}"
    assert check_signed(STANDARD, [SECRET], HttpRequest(BODY, {**headers, "webhook-signature": other}), NOW) == "msg_1"


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_signature_within_five_minutes_is_accepted(seconds: int) -> None:
    headers = standard_headers(at=NOW + timedelta(seconds=seconds))
    assert check_signed(STANDARD, [SECRET], HttpRequest(BODY, headers), NOW) == "msg_1"


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v2," + standard_headers()["webhook-signature"][3:]},
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-timestamp": "-5"},
        {"webhook-timestamp": "٣"},
        {"webhook-timestamp": "9" * 400},
        standard_headers(at=NOW - timedelta(seconds=301)),
        standard_headers(at=NOW + timedelta(seconds=301)),
        standard_headers(key=b"another"),
    ],
)
def test_a_request_that_is_forged_old_or_unsigned_is_not_of_its_sender(change: dict[str, str]) -> None:
    with pytest.raises(Unproven):
        check_signed(STANDARD, [SECRET], HttpRequest(BODY, {**standard_headers(), **change}), NOW)


def test_each_changed_byte_of_the_body_ends_the_signature() -> None:
    for place in range(len(BODY)):
        changed = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
        with pytest.raises(Unproven):
            check_signed(STANDARD, [SECRET], HttpRequest(changed, standard_headers()), NOW)


def test_without_a_usable_secret_nothing_is_proven() -> None:
    with pytest.raises(Unproven):
        check_signed(STANDARD, [], HttpRequest(BODY, standard_headers(key=b"")), NOW)
    with pytest.raises(Unproven):
        check_stated(webhook("health-connect"), [b""], HttpRequest(BODY, {"authorization": "Bearer "}))


@pytest.mark.parametrize(
    ("found", "request_"),
    [
        (webhook("health-connect"), HttpRequest(BODY, {"authorization": f"bearer {KEY.decode().replace(' ', '-')}"})),
        (
            webhook("health-auto-export", header="API-Key"),
            HttpRequest(BODY, {"api-key": KEY.decode().replace(" ", "-")}),
        ),
        (webhook("garmin"), HttpRequest(BODY, {}, KEY.decode().replace(" ", "-"))),
    ],
)
def test_a_stated_secret_is_compared_whole(found: Webhook, request_: HttpRequest) -> None:
    secret = KEY.replace(b" ", b"-")
    check_stated(found, [b"other", secret], request_)
    for wrong in (secret[:-1], secret + b"x", b"", secret.upper()):
        with pytest.raises(Unproven):
            check_stated(found, [wrong], request_)


def test_signatures_of_providers() -> None:
    stamp = str(int(NOW.timestamp()))
    terra = hmac.new(KEY, f"{stamp}.".encode() + BODY, "sha256").hexdigest()
    oura = hmac.new(KEY, stamp.encode() + BODY, "sha256").hexdigest().upper()
    fitbit = base64.b64encode(hmac.new(KEY + b"&", BODY, "sha1").digest()).decode()
    requests = {
        "terra": {"terra-signature": f"t={stamp},v1={terra}"},
        "oura": {"x-oura-timestamp": stamp, "x-oura-signature": oura},
        "fitbit": {"x-fitbit-signature": fitbit},
    }
    for kind, headers in requests.items():
        check_signed(webhook(kind), [KEY], HttpRequest(BODY, headers), NOW)
        for wrong in (HttpRequest(BODY + b" ", headers), HttpRequest(BODY, {})):
            with pytest.raises(Unproven):
                check_signed(webhook(kind), [KEY], wrong, NOW)
    with pytest.raises(Unproven, match="old or ahead"):
        check_signed(webhook("terra"), [KEY], HttpRequest(BODY, requests["terra"]), NOW + timedelta(minutes=6))


def test_an_address_is_verified_only_by_its_code() -> None:
    fitbit, oura = webhook("fitbit", verify_file="none"), webhook("oura", verify_file="none")
    found = [verify_address(fitbit, code, {"verify": "right"}) for code in (b"right", b"wrong", b"")]
    assert [answer and answer.status for answer in found] == [204, 404, 404]
    answer = verify_address(oura, b"token", {"verification_token": "token", "challenge": "c"})
    assert answer is not None
    assert answer.body == b'{"challenge": "c"}'
    assert verify_address(oura, b"token", {"challenge": "c"}) is not None
    assert verify_address(webhook("garmin"), b"", {"verify": "x"}) is None


def test_a_changed_secret_is_read_and_a_file_that_others_can_read_ends_the_access(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("first\n")
    path.chmod(0o600)
    found = webhook("health-connect", secret_file=str(path))
    secrets = Secrets(Site.model_validate({"zone": "UTC", "webhook": [found.model_dump()]}))
    assert (secrets.of(found), secrets.find_short()) == ([b"first"], str(path))
    path.write_text("a-second-one-that-is-long\n")
    os.utime(path, ns=(1, 1))
    secrets.renew()
    assert (secrets.of(found), secrets.find_short()) == ([b"a-second-one-that-is-long"], "")
    path.chmod(0o644)
    os.utime(path, ns=(2, 2))
    secrets.renew()
    assert secrets.of(found) == []
