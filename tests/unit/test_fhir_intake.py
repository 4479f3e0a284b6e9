"""Documents of FHIR in the inbox: the answer follows the commit, a repeat is kept once, and a full disk refuses."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edges.config.site import UNKNOWN_SOURCE, Site
from edges.fhir.intake import Intake
from edges.fhir.listen_commands import require_safe
from edges.fhir.tokens import Tokens
from edges.inbox.inbox import Inbox, read_unused
from edges.listener.access import Access
from edges.service.metrics import Metrics
from identity.authority import CertificateAuthority
from mqtt.server_certificate import ReloadingCertificate
from tests.support.fhir import heart_rate_at
from vitals.errors import PermanentError
from vitals.reading import Reading

NOW = datetime(2026, 11, 29, 9, 5, tzinfo=UTC)
AT = NOW - timedelta(minutes=1)
PLACE = {"equipment": "Device/monitor-1", "ward": "icu-1", "device": "bed-1"}
SITE = Site.model_validate({"zone": "UTC", "place": [PLACE]})
TOKEN = "0123456789abcdef0123456789abcdef"


def body(content: dict[str, Any], **layout: Any) -> bytes:
    return json.dumps(content, **layout).encode()


def with_intake(path: Path, work: Callable[[Intake, Inbox, list[Reading]], Awaitable[None]]) -> None:
    async def run() -> None:
        inbox = Inbox(path, 1, lambda text: None)
        kept: list[Reading] = []
        inbox.on_kept = lambda bed, reading: kept.append(reading)
        inbox.begin(SITE, NOW.timestamp())
        inbox.start()
        try:
            await work(Intake(SITE, inbox, Metrics()), inbox, kept)
        finally:
            await inbox.close()

    asyncio.run(run())


def test_a_document_that_is_written_in_another_way_is_a_repeat(tmp_path: Path) -> None:
    async def work(intake: Intake, inbox: Inbox, kept: list[Reading]) -> None:
        content = heart_rate_at(AT, 71)
        first = await intake.handle(body(content), UNKNOWN_SOURCE, NOW, bundle=False)
        again = await intake.handle(body(content, indent=2, sort_keys=True), UNKNOWN_SOURCE, NOW, bundle=False)
        assert first.status == 201
        assert again == first
        corrected = {**content, "status": "corrected"}
        assert (await intake.handle(body(corrected), UNKNOWN_SOURCE, NOW, bundle=False)).status == 201
        assert [reading.value("heart_rate") for reading in kept] == [71, 71]

    with_intake(tmp_path / "inbox.db", work)


def test_the_same_values_at_the_time_of_receipt_are_measurements_of_their_own(tmp_path: Path) -> None:
    async def work(intake: Intake, inbox: Inbox, kept: list[Reading]) -> None:
        content = heart_rate_at(AT, 171)
        source = UNKNOWN_SOURCE.model_copy(update={"clock": "receipt"})
        for stated in ({"identifier": [{"value": "7"}]}, {"effectiveDateTime": content.pop("effectiveDateTime")}, {}):
            for _ in range(2):
                status = (await intake.handle(body({**content, **stated}), source, NOW, bundle=False)).status
                assert status == 201
        assert [reading.value("heart_rate") for reading in kept] == [171] * (1 + 1 + 2)

    with_intake(tmp_path / "inbox.db", work)


def test_a_refused_document_is_listed_and_a_full_disk_is_503(tmp_path: Path) -> None:
    async def work(intake: Intake, inbox: Inbox, kept: list[Reading]) -> None:
        content = heart_rate_at(AT, 71, day_only=True)
        assert (await intake.handle(body(content), UNKNOWN_SOURCE, NOW, bundle=False)).status == 422
        assert [(row["reason"], row["count"]) for row in read_unused(tmp_path / "inbox.db")] == [("no_time", 1)]
        database = inbox._database
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        big = heart_rate_at(AT, 71) | {"note": [{"text": "x" * 100_000}]}
        entry = {"resource": big, "request": {"method": "POST", "url": "Observation"}}
        unused = [{**entry, "resource": heart_rate_at(AT, 71) | {"code": {"text": str(n)}}} for n in range(300)]
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry, *unused]}
        answer = await intake.handle(body(bundle), UNKNOWN_SOURCE, NOW, bundle=True)
        assert answer.status == 503
        assert json.loads(answer.body)["issue"][0]["code"] == "transient"
        assert kept == []
        database.execute("PRAGMA max_page_count = 100000")
        assert (await intake.handle(body(bundle), UNKNOWN_SOURCE, NOW, bundle=True)).status == 200
        assert len(kept) == 1

    with_intake(tmp_path / "inbox.db", work)


def test_the_source_of_a_request_is_that_of_its_token(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("a", "b")}
    for name, path in files.items():
        path.write_text(f"{TOKEN}{name}\n")
        path.chmod(0o600)
    sources = [{"name": name, "token_file": str(path)} for name, path in files.items()]
    tokens = Tokens(Site.model_validate({"zone": "UTC", "source": sources}))

    def named(authorization: str) -> str | None:
        source = tokens.find(authorization)
        return source.name if source else None

    assert named(f"Bearer {TOKEN}a") == "a"
    assert named(f"bearer  {TOKEN}b") == "b"
    for wrong in ("", "Bearer", "Bearer ", f"Basic {TOKEN}a", f"Bearer {TOKEN}", f"Bearer {TOKEN}ab", "Bearer \udcff"):
        assert named(wrong) is None
    files["a"].unlink()
    tokens.renew()
    assert named(f"Bearer {TOKEN}a") is None
    assert named("Bearer ") is None
    files["a"].write_text(f"{TOKEN}new")
    files["a"].chmod(0o600)
    tokens.renew()
    assert named(f"Bearer {TOKEN}new") == "a"


@pytest.mark.parametrize(("text", "mode"), [("short", 0o600), (TOKEN, 0o644), (f"{TOKEN} {TOKEN}", 0o600)])
def test_a_token_that_is_short_or_not_private_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)
    site = Site.model_validate({"zone": "UTC", "source": [{"name": "a", "token_file": str(path)}]})
    with pytest.raises(PermanentError, match=str(path)):
        Tokens(site)


def test_a_listener_that_other_machines_can_reach_needs_certificates_or_tokens(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    with_token = Site.model_validate({"zone": "UTC", "source": [{"name": "a", "token_file": str(path)}]})
    authority = CertificateAuthority(tmp_path / "identity")
    authority.server_pair("edges", ["127.0.0.1"], datetime.now(UTC))
    pair = (authority.folder / "edges.crt", authority.folder / "edges.key")
    encrypted, with_clients = (Access(tls=ReloadingCertificate(*pair, ca)) for ca in (None, authority.ca_certificate))
    for host in ("0.0.0.0", "10.0.0.7", "::", "monitors.example"):
        for site, access in ((SITE, Access()), (SITE, encrypted), (with_token, Access())):
            with pytest.raises(PermanentError, match="other machines can reach"):
                require_safe(host, Tokens(site), access)
        require_safe(host, Tokens(with_token), encrypted)
        require_safe(host, Tokens(SITE), with_clients)
    for host in ("127.0.0.1", "::1", "localhost"):
        require_safe(host, Tokens(SITE), Access())
