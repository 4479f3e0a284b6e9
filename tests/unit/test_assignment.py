"""The assignment of a patient to a bed: decoded, encoded, and rejected with one sentence."""

from datetime import UTC, datetime
from typing import get_args

import pytest
from msgspec.structs import replace

from vitals.assignment import MAX_ASSIGNMENT, Assignment, Profile, decode_assignment, encode_assignment, without_use
from vitals.limits import RequestRejected

NOW = datetime(2026, 11, 29, 2, 0, tzinfo=UTC)


def test_an_assignment_survives_its_own_wire_format() -> None:
    for profile in get_args(Profile):
        assignment = Assignment(patient_id="p-1", profile=profile, by="ada", time=NOW)
        assert decode_assignment(encode_assignment(assignment)) == assignment
        assert assignment.has_news2 == (profile == "adult")


def test_the_default_is_an_adult_on_the_scale_of_the_rules() -> None:
    assert decode_assignment(b'{"patient_id":"p-1","by":"ada"}') == Assignment(patient_id="p-1", by="ada")
    assert Assignment(patient_id="p-1", by="ada").profile == "adult"
    assert Assignment(patient_id="p-1", by="ada").spo2_scale is None


def test_an_empty_message_is_a_discharge() -> None:
    assert decode_assignment(b"") is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "not an assignment"),
        (b"\xff", "not an assignment"),
        (b"[" * 4000, "not an assignment"),
        (b'{"by":"ada"}', "patient_id"),
        (b'{"patient_id":"p-1"}', "missing required field by"),
        (b'{"patient_id":"","by":"ada"}', "patient_id is ''; expected 1 to 200 printable characters"),
        (b'{"patient_id":"p\\u0000","by":"ada"}', "1 to 200 printable"),
        (b'{"patient_id":"' + b"x" * 201 + b'","by":"ada"}', "1 to 200 printable"),
        (b'{"patient_id":" p-1","by":"ada"}', "begins or ends with a space"),
        (b'{"patient_id":"p-1","by":" "}', "by is ' '; expected 1 to 200 printable characters"),
        (b'{"patient_id":"p-1","by":"ada","name":"Ada Lovelace"}', "unknown field name"),
        (b'{"patient_id":"p-1","by":"ada","profile":"child"}', "child"),
        (b'{"patient_id":"p-1","by":"ada","spo2_scale":3}', "3"),
        (b'{"patient_id":"p-1","by":"ada","profile":"infant","spo2_scale":2}', "applies from 16 years"),
        (b'{"patient_id":"p-1","by":"ada","time":"2026-11-29T02:00:00"}', "timezone"),
        (b" " * (MAX_ASSIGNMENT + 1), "at most 4096"),
    ],
)
def test_an_assignment_that_cannot_be_read_is_rejected_with_one_sentence(payload: bytes, reason: str) -> None:
    with pytest.raises(RequestRejected, match=reason):
        decode_assignment(payload)


def test_what_would_be_rejected_is_not_encoded() -> None:
    for wrong in (
        Assignment(patient_id="", by="ada"),
        Assignment(patient_id="p-1", by="a\n"),
        Assignment(patient_id="p-1", by="ada", profile="neonate", spo2_scale=1),
    ):
        with pytest.raises(RequestRejected):
            encode_assignment(wrong)


def test_a_statement_of_use_is_the_same_discharge_as_before() -> None:
    discharge = Assignment(patient_id=None, by="ada", time=NOW)
    stated = encode_assignment(replace(discharge, in_use_since=NOW))
    assert without_use(stated) == without_use(encode_assignment(discharge)) == encode_assignment(discharge)
    for payload in (b"", b'{"by": "ada", "patient_id": null}'):
        assert without_use(payload) == payload
