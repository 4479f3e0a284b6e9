"""Documents of webhooks in the inbox: a value is kept once however often it is sent, and nothing is lost in silence."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edges.config.site import Site
from edges.inbox.inbox import Inbox, read_unused
from edges.listener.http_body import HttpAnswer
from edges.service.metrics import Metrics
from edges.webhook.intake import Intake
from edges.webhook.signatures import HttpRequest, Unproven
from vitals.reading import Reading

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
PHONE = {"name": "phone", "kind": "health-connect", "secret_file": "none", "ward": "home", "device": "phone"}
SECRETS = [b"secret"]
PROOF = {"authorization": "Bearer secret"}


def records(*values: tuple[int, float], **more: Any) -> bytes:
    """Return a document with a heart rate at each of these minutes before NOW."""
    points = [{"bpm": value, "time": (NOW - timedelta(minutes=minutes)).isoformat()} for minutes, value in values]
    return json.dumps({"heart_rate": points, **more}).encode()


Send = Callable[[bytes], Awaitable[HttpAnswer]]


def with_intake(
    path: Path, work: Callable[[Send, list[Reading], Metrics], Awaitable[None]], site: Site | None = None, **more: Any
) -> None:
    site = site or Site.model_validate({"zone": "UTC", "webhook": [{**PHONE, **more}]})

    async def run() -> None:
        metrics = Metrics()
        inbox = Inbox(path, 1, lambda text: None)
        kept: list[Reading] = []
        inbox.on_kept = lambda bed, reading: kept.append(reading)
        inbox.begin(site, NOW.timestamp())
        inbox.start()
        intake = Intake(site, inbox, metrics)

        async def send(body: bytes) -> HttpAnswer:
            return await intake.handle(site.webhook[0], SECRETS, HttpRequest(body, PROOF), NOW)

        try:
            await work(send, kept, metrics)
        finally:
            await inbox.close()

    asyncio.run(run())


def rates(kept: list[Reading]) -> list[float | None]:
    return [reading.value("heart_rate") for reading in kept]


def count(metrics: Metrics, reason: str) -> float:
    return metrics.registry.get_sample_value("vitalflow_edges_observations_total", {"reason": reason}) or 0.0


def test_a_day_that_is_sent_again_with_more_is_kept_once_also_after_a_restart(tmp_path: Path) -> None:
    async def first(send: Send, kept: list[Reading], metrics: Metrics) -> None:
        assert (await send(records((30, 61), (20, 62)))).status == 200
        assert (await send(records((30, 61), (20, 62), (10, 63)))).status == 200
        assert rates(kept) == [61, 62, 63]
        assert (count(metrics, "used"), count(metrics, "same_again")) == (3, 2)

    async def second(send: Send, kept: list[Reading], metrics: Metrics) -> None:
        assert (await send(records((20, 62), (10, 63), (5, 64)))).status == 200
        assert rates(kept) == [64]

    with_intake(tmp_path / "inbox.db", first)
    with_intake(tmp_path / "inbox.db", second)


def test_a_sign_that_comes_later_for_a_time_and_a_corrected_value_are_kept(tmp_path: Path) -> None:
    async def work(send: Send, kept: list[Reading], metrics: Metrics) -> None:
        await send(records((10, 70)))
        saturation = [{"percentage": 96, "time": (NOW - timedelta(minutes=10)).isoformat()}]
        await send(records((10, 70), oxygen_saturation=saturation))
        await send(records((10, 71)))
        assert rates(kept) == [70, None, 71]
        assert kept[1].value("spo2") == 96

    with_intake(tmp_path / "inbox.db", work)


def test_a_repeat_gets_the_first_answer(tmp_path: Path) -> None:
    async def work(send: Send, kept: list[Reading], metrics: Metrics) -> None:
        body = records((10, 70), steps=[{"count": 3}])
        first = await send(body)
        assert first.body == b'{"readings": 1, "not_used": {"unmapped": 1}}'
        assert await send(body) == first
        assert len(kept) == 1
        assert [row["count"] for row in read_unused(tmp_path / "inbox.db")] == [1]

    with_intake(tmp_path / "inbox.db", work)


def test_the_same_values_at_the_time_of_receipt_are_measurements_of_their_own(tmp_path: Path) -> None:
    async def work(send: Send, kept: list[Reading], metrics: Metrics) -> None:
        for _ in range(3):
            await send(records((10, 70)))
        assert rates(kept) == [70, 70, 70]

    with_intake(tmp_path / "inbox.db", work, clock="receipt")


def test_values_of_an_unknown_account_are_published_once_when_a_place_names_it(tmp_path: Path) -> None:
    garmin = {"name": "watches", "kind": "terra", "secret_file": "none", "proof": "bearer"}
    sample = {"bpm": 55, "timestamp": (NOW - timedelta(minutes=9)).isoformat()}
    data = {"heart_rate_data": {"detailed": {"hr_samples": [sample]}}}
    event = {"type": "body", "user": {"user_id": "u"}, "data": [data]}

    async def unknown(send: Send, kept: list[Reading], metrics: Metrics) -> None:
        for number in range(3):
            assert (await send(json.dumps({**event, "number": number}).encode())).status == 200
        assert kept == []
        assert count(metrics, "unknown_place") == 3

    async def known(send: Send, kept: list[Reading], metrics: Metrics) -> None:
        assert (await send(json.dumps({**event, "number": 9}).encode())).status == 200
        assert kept == []

    site = {"zone": "UTC", "webhook": [garmin]}
    with_intake(tmp_path / "inbox.db", unknown, Site.model_validate(site))
    place = {"source": "watches", "equipment": "u", "ward": "home", "device": "watch"}
    with_intake(tmp_path / "inbox.db", known, Site.model_validate({**site, "place": [place]}))
    database = sqlite3.connect(tmp_path / "inbox.db")
    try:
        assert database.execute("SELECT count(*) FROM reading").fetchone() == (1,)
    finally:
        database.close()


def test_a_sensor_that_is_off_is_kept_once_for_its_time(tmp_path: Path) -> None:
    value = {"sign": "spo2", "pointer": "/spo2", "unit": "%", "sensor_off": ["off"]}
    webhook = PHONE | {"kind": "mapping", "mapping": "m"}
    site = {"zone": "UTC", "webhook": [webhook], "mapping": [{"name": "m", "time": "/at", "value": [value]}]}

    async def work(send: Send, kept: list[Reading], metrics: Metrics) -> None:
        for number in range(3):
            await send(json.dumps({"spo2": "off", "at": NOW.isoformat(), "n": number}).encode())
        await send(json.dumps({"spo2": 97, "at": NOW.isoformat(), "n": 4}).encode())
        assert [(reading.sensor_off, reading.value("spo2")) for reading in kept] == [(("spo2",), None), ((), 97)]

    with_intake(tmp_path / "inbox.db", work, Site.model_validate(site))


def test_an_unproven_request_keeps_nothing(tmp_path: Path) -> None:
    site = Site.model_validate({"zone": "UTC", "webhook": [PHONE]})

    async def work(send: Send, kept: list[Reading], metrics: Metrics) -> None:
        inbox = Inbox(tmp_path / "other.db", 1, lambda text: None)
        request = HttpRequest(records((1, 60)), {"authorization": "Bearer other"})
        with pytest.raises(Unproven):
            await Intake(site, inbox, metrics).handle(site.webhook[0], SECRETS, request, NOW)
        await inbox.close()

    with_intake(tmp_path / "inbox.db", work)


def test_an_inbox_of_the_first_version_is_used(tmp_path: Path) -> None:
    async def work(send: Send, kept: list[Reading], metrics: Metrics) -> None:
        await send(records((10, 70)))
        assert rates(kept) == [70]

    async def nothing(send: Send, kept: list[Reading], metrics: Metrics) -> None:
        return

    with_intake(tmp_path / "inbox.db", nothing)
    database = sqlite3.connect(tmp_path / "inbox.db")
    database.executescript("DROP TABLE stored; DROP TABLE episode; DROP TABLE measured; PRAGMA user_version = 1;")
    database.close()
    with_intake(tmp_path / "inbox.db", work)
