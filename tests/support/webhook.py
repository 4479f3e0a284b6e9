"""Requests to a webhook edge, as a process, and the site that it needs."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.edge import RepeatingSender

SECRET = "0123456789abcdef0123456789abcdef"


def webhook_site(folder: Path, devices: Iterable[str], more: str = "") -> Path:
    """Write a site with a webhook of Health Connect for each device, of the same name, and return its path."""
    secret = folder / "webhook.secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    tables = [
        f'[[webhook]]\nname = "{device}"\nkind = "health-connect"\nsecret_file = "{secret}"\n'
        f'ward = "icu-1"\ndevice = "{device}"\n'
        for device in devices
    ]
    site = folder / "site.toml"
    site.write_text("\n".join(['zone = "UTC"', *tables, more.replace("SECRET", str(secret))]))
    return site


def heart_rates(*values: tuple[datetime, float]) -> bytes:
    """Return a document with these heart rates."""
    points = [{"bpm": value, "time": at.isoformat()} for at, value in values]
    return json.dumps({"timestamp": values[0][0].isoformat(), "heart_rate": points}).encode()


def post(
    port: int, path: str, body: bytes | None, headers: Mapping[str, str] | None = None, method: str | None = None
) -> tuple[int, Any]:
    """Return the status of an answer, and its JSON; raises OSError without an answer."""
    given = {"Authorization": f"Bearer {SECRET}"} if headers is None else headers
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, dict(given), method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


class WebhookSender(RepeatingSender):
    """Sends documents, each until 2xx: the measurement with the ones before it, as a phone does."""

    def deliver(self, number: int) -> bool:
        """Send the last measurements."""
        numbers = range(max(0, number - 3), number + 1)
        body = heart_rates(*((self.at(one), 60 + one % 60) for one in numbers))
        return post(self.port, f"/webhooks/{self.bed}", body)[0] == 200
