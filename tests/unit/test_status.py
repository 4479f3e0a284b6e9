"""The status of a device: which fields of a birth or a will count, and what is stated of the others."""

from datetime import UTC, datetime, timedelta

import pytest

from alerts.engine.engine import Engine
from ingest.batch_builder import BatchBuilder
from tests.support.bed_driver import rules
from vitals.status import Status, decode_status
from vitals.topics import Topics

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
TOPICS = Topics()


@pytest.mark.parametrize(
    ("fields", "expected", "problem"),
    [
        ('"interval_s": "1", "vendor": "x"', {"interval_s": 1.0}, None),
        ('"interval_s": "soon"', {}, "interval_s"),
        ('"interval_s": 0', {}, "interval_s"),
        ('"interval_s": NaN', {}, "interval_s"),
        ('"interval_s": "NaN"', {}, "interval_s"),
        ('"interval_s": true', {}, "interval_s"),
        ('"interval_s": null, "boot": null', {}, None),
        ('"boot": 7.0, "dropped": "3"', {"boot": 7, "dropped": 3}, None),
        ('"boot": -1, "dropped": 1e99', {}, "boot"),
        ('"boot": "7a", "model": "M 3"', {"model": "M 3"}, "boot"),
        ('"clock": "wrong", "boot": 7', {"boot": 7}, "clock"),
        ('"clock": true', {}, "clock"),
        ('"model": 3', {}, "model"),
        ('"model": "a\\u0000b", "boot": 7', {"boot": 7}, "model"),
        (f'"model": "{"x" * 300}"', {}, "model"),
    ],
)
def test_a_field_without_a_usable_value_is_absent_and_the_status_counts(
    fields: str, expected: dict[str, object], problem: str | None
) -> None:
    status, stated = decode_status(f'{{"state": "online", {fields}}}'.encode())
    assert status == Status(state="online", **expected)  # type: ignore[arg-type]
    assert problem is None if stated is None else problem is not None and stated.startswith(f"{problem} is ")


@pytest.mark.parametrize(
    "payload", [b"online", b"[]", b"null", b"{}", b'{"state": "Online"}', b'{"state": 1}', b"\xff"]
)
def test_a_status_without_a_state_is_rejected(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a status|state is"):
        decode_status(payload)


def test_a_birth_with_one_bad_field_is_stored_and_ends_the_alert_that_its_device_is_offline() -> None:
    topic, payload = TOPICS.status("icu", "mon-1").encode(), b'\xef\xbb\xbf{"state": "online", "interval_s": "soon"}'
    builder = BatchBuilder(TOPICS, timedelta(days=30))
    builder.add(topic, payload, 1, False)
    assert [row.status for row in builder.batch.statuses] == [Status(state="online")]
    assert [(row.reason, row.detail[:20]) for row in builder.batch.rejected] == [("bad_status", "interval_s is 'soon'")]
    assert builder.batch.rejections == {"mon-1": 1}
    rule = '[[rule]]\nname = "offline"\nsign = "offline"\npriority = "low"\ntext = "Gone"\n'
    engine = Engine(TOPICS, rules(rule), NOW)
    engine.take(topic, b'{"state": "offline"}', False, NOW)
    (cleared,) = engine.take(topic, payload, False, NOW + timedelta(seconds=1))
    assert cleared.alert.change == "cleared"
