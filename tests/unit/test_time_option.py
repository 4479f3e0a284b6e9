"""Times of the command line: two forms, the same for every command."""

from datetime import UTC, datetime

import pytest

from vitals.errors import PermanentError
from vitals.time_option import parse_time_option


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T10:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T11:00:00+01:00", datetime(2026, 11, 22, 10, tzinfo=UTC)),
    ],
)
def test_a_day_and_a_time_with_an_offset_are_accepted(text: str, time: datetime) -> None:
    assert parse_time_option("--from", text) == time


@pytest.mark.parametrize("text", ["", "soon", "2026-11-22T10:00", "2026-11-22 10:00", "22.11.2026"])
def test_another_form_is_rejected_with_both_forms(text: str) -> None:
    with pytest.raises(PermanentError, match=r"--from has the value .*2026-11-22, .*2026-11-22T10:00Z"):
        parse_time_option("--from", text)
