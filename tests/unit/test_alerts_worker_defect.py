"""A message that the engine fails to evaluate does not end the alarms of the other beds."""

import logging
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts.engine.engine import Engine
from alerts.metrics import Metrics
from alerts.settings import AlertsSettings
from alerts.worker import Worker
from vitals.codec import encode
from vitals.reading import reading


def test_a_defect_at_one_message_is_reported_and_the_next_one_raises_its_alert(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    take = Engine.take

    def failing(engine: Engine, topic: bytes, *arguments: Any, **flags: Any) -> Any:
        if b"bed-1" in topic:
            raise OverflowError("date value out of range")
        return take(engine, topic, *arguments, **flags)

    monkeypatch.setattr(Engine, "take", failing)
    worker = Worker(AlertsSettings.read({"VITALFLOW_MQTT_URL": "mqtt://127.0.0.1:1"}), Metrics())
    sent: list[tuple[str, bytes]] = []
    monkeypatch.setattr(worker._session, "publish", lambda topic, payload, **_: sent.append((topic, payload)))
    worker._held = None  # as on a connection that is confirmed
    low = encode(reading(datetime.now(UTC), {"spo2": 70.0}, boot=1, seq=1))
    with closing(worker._wake), caplog.at_level(logging.ERROR):
        for number, bed in enumerate(("bed-1", "bed-1", "bed-2"), 1):
            worker._on_message(f"vitalflow/vitals/icu-1/{bed}".encode(), low, number, False, False)
    (rejected, reason), _, (raised, _) = sent
    assert (rejected, raised) == ("vitalflow/services/alerts/rejections", "vitalflow/alerts/icu-1/bed-2/spo2-low")
    assert b"vitalflow/vitals/icu-1/bed-1" in reason
    assert b"OverflowError" in reason
    assert worker._unacknowledged == [1, 2, 3]  # else the broker delivers them again
    assert worker._engine.rejected == 2
    assert [record.message for record in caplog.records] == [
        "a message on vitalflow/vitals/icu-1/bed-1 is not evaluated, because of a defect; report it"
    ]
