"""Records of sign-ins: one at once, a flood in one record a minute, no text that may be a password."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from station.auth.sign_in_audit import INTERVAL, MAX_REFUSED, SignInAudit
from vitals.audit import decode_audit
from vitals.topics import Topics

NOW = datetime(2026, 11, 29, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def due(audit: SignInAudit, now: datetime) -> list[dict[str, Any]]:
    found = [json.loads(payload) for payload in audit.take_due(now)]
    for payload in found:
        record = decode_audit("vitalflow", Topics().sign_ins, json.dumps(payload).encode())
        assert (record.action, record.actor) == (payload["action"], payload.get("by"))
    return [{key: value for key, value in payload.items() if key != "time"} for payload in found]


def test_a_sign_in_is_recorded_at_once_and_repeated_ones_once_a_minute_with_their_number() -> None:
    audit = SignInAudit()
    for number in range(5):
        audit.signed_in("ada", "10.0.0.1", NOW + number * SECOND)
    first = {"action": "signed_in", "by": "ada", "address": "10.0.0.1", "count": 1}
    assert due(audit, NOW + 5 * SECOND) == [first]
    assert (due(audit, NOW + 6 * SECOND), audit.waiting) == ([], 4)
    assert due(audit, NOW + INTERVAL) == [first | {"count": 4}]
    assert (due(audit, NOW + 3 * INTERVAL), audit.waiting) == ([], 0)
    audit.signed_in("ada", "10.0.0.1", NOW + 4 * INTERVAL)
    assert due(audit, NOW + 4 * INTERVAL) == [first]


def test_a_refused_name_is_recorded_only_if_that_user_has_signed_in_before() -> None:
    audit = SignInAudit()
    audit.refused("my secret passphrase", "10.0.0.1", NOW)
    audit.signed_in("ada", "10.0.0.2", NOW)
    audit.refused("ada", "10.0.0.1", NOW)
    refused = {"action": "sign_in_refused", "address": "10.0.0.1", "count": 1}
    assert [record for record in due(audit, NOW) if record["action"] == "sign_in_refused"] == [
        refused,
        refused | {"by": "ada"},
    ]


def test_a_flood_from_many_addresses_makes_a_bounded_number_of_records_and_no_attempt_is_lost() -> None:
    audit, attempts = SignInAudit(), 5 * MAX_REFUSED
    for number in range(attempts):
        audit.refused("ada", f"10.0.{number // 250}.{number % 250}", NOW)
    records = due(audit, NOW) + due(audit, NOW + INTERVAL)
    assert len(records) <= MAX_REFUSED + 2
    assert sum(record["count"] for record in records) == attempts
    assert {"action": "sign_in_refused", "count": attempts - MAX_REFUSED - 1} in records


@pytest.mark.parametrize("payload", [b"{}", b'{"time":"2026-11-29T10:00:00Z","action":"enrolled"}', b"x"])
def test_another_payload_is_no_record_of_a_sign_in(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not an audit message"):
        decode_audit("vitalflow", Topics().sign_ins, payload)
