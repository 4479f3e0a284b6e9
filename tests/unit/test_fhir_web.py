"""The HTTP side of the FHIR listener: which requests reach it, and the status of those that do not."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from edges.config.site import Site, Source
from edges.config.webhook_table import Webhook
from edges.fhir.tokens import Tokens
from edges.fhir.web import fhir_application
from edges.listener.http_body import HttpAnswer
from edges.listener.unproven import UnprovenRequests
from edges.service.metrics import Metrics
from edges.webhook.secrets import Secrets
from edges.webhook.signatures import HttpRequest
from edges.webhook.web import webhook_application

OBSERVATION = "/fhir/R4/Observation"
JSON = "application/fhir+json"


def status(method: str, path: str, headers: Mapping[str, str]) -> int:
    async def handle(body: bytes, source: Source, now: datetime, bundle: bool) -> HttpAnswer:
        return HttpAnswer(201, b"{}")

    async def request() -> int:
        tokens, unproven = Tokens(Site.model_validate({"zone": "UTC"})), UnprovenRequests(Metrics().messages)
        transport = httpx.ASGITransport(fhir_application(handle, tokens, unproven))
        async with httpx.AsyncClient(transport=transport, base_url="http://listener") as client:
            return (await client.request(method, path, content=b"{}", headers=headers)).status_code

    return asyncio.run(request())


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", OBSERVATION, 201),
        ("POST", f"{OBSERVATION}/", 201),
        ("PUT", f"{OBSERVATION}/7", 201),
        ("PUT", f"{OBSERVATION}?identifier=7", 201),
        ("POST", f"{OBSERVATION}?_format=application/fhir+json", 201),
        ("POST", f"{OBSERVATION}?_format=", 201),
        ("POST", f"{OBSERVATION}?_format=xml", 406),
        ("GET", f"{OBSERVATION}/7", 405),
        ("DELETE", f"{OBSERVATION}/7", 405),
        ("POST", "/fhir/R4/Patient", 404),
    ],
)
def test_an_observation_is_received_by_post_and_put(method: str, path: str, expected: int) -> None:
    assert status(method, path, {"Content-Type": JSON}) == expected


@pytest.mark.parametrize(
    ("content_type", "accept", "expected"),
    [
        ("text/json", "*/*", 201),
        (f"{JSON}; fhirVersion=4.0", f"{JSON}; fhirVersion=4.0", 201),
        (f"{JSON}; charset=utf-8; fhirVersion=4.3", "text/html, */*;q=0.1", 201),
        (f"{JSON}; fhirVersion=3.0", "*/*", 415),
        (f"{JSON}; charset=latin-1; fhirVersion=4.0", "*/*", 415),
        ("application/fhir+xml", "*/*", 415),
        (JSON, "application/fhir+xml", 406),
    ],
)
def test_types_and_versions_that_are_not_read_are_refused(content_type: str, accept: str, expected: int) -> None:
    assert status("POST", OBSERVATION, {"Content-Type": content_type, "Accept": accept}) == expected


def test_a_sender_whose_document_cannot_be_kept_now_gets_the_time_after_which_to_send_it_again(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0123456789abcdef")
    (tmp_path / "secret").chmod(0o600)
    table = {"name": "phone", "kind": "health-connect", "ward": "home", "device": "phone"}
    site = Site.model_validate({"zone": "UTC", "webhook": [{**table, "secret_file": str(tmp_path / "secret")}]})
    unproven = UnprovenRequests(Metrics().messages)

    async def refuse_fhir(body: bytes, source: Source, now: datetime, bundle: bool) -> HttpAnswer:
        return HttpAnswer(503)

    async def refuse_webhook(
        webhook: Webhook, secrets: Sequence[bytes], request: HttpRequest, now: datetime
    ) -> HttpAnswer:
        return HttpAnswer(503)

    async def send() -> list[str]:
        found = []
        for application, path in (
            (fhir_application(refuse_fhir, Tokens(site), unproven), OBSERVATION),
            (webhook_application(refuse_webhook, site.webhook, Secrets(site), unproven), "/webhooks/phone"),
        ):
            transport = httpx.ASGITransport(application)
            headers = {"Content-Type": JSON, "Authorization": "Bearer 0123456789abcdef"}
            async with httpx.AsyncClient(transport=transport, base_url="http://listener") as client:
                answer = await client.post(path, content=b"{}", headers=headers)
                assert answer.status_code == 503
                found.append(answer.headers["Retry-After"])
        return found

    assert asyncio.run(send()) == ["5", "5"]
