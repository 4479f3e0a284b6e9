"""The age group that a date of birth gives; the cases are those of tests/js/patient.test.js."""

from datetime import date

import pytest

from vitals.age import age_group

TODAY = date(2026, 11, 29)


@pytest.mark.parametrize(
    ("birth", "group"),
    [
        ("2026-11-29", "neonate"),
        ("2026-11-02", "neonate"),
        ("2026-11-01", "infant"),
        ("2025-11-30", "infant"),
        ("2025-11-29", "child-1-4"),
        ("2021-11-30", "child-1-4"),
        ("2021-11-29", "child-5-11"),
        ("2014-11-30", "child-5-11"),
        ("2014-11-29", "child-12-15"),
        ("2010-11-30", "child-12-15"),
        ("2010-11-29", "adult"),
        ("1926-01-01", "adult"),
        ("2026-11-30", None),
        ("1826-01-01", None),
    ],
)
def test_the_age_group_changes_with_the_birthday_and_after_27_days(birth: str, group: str | None) -> None:
    assert age_group(date.fromisoformat(birth), TODAY) == group


def test_a_leap_day_counts_as_a_birthday_from_the_first_of_march_on() -> None:
    assert age_group(date(2024, 2, 29), date(2025, 2, 28)) == "infant"
    assert age_group(date(2024, 2, 29), date(2025, 3, 1)) == "child-1-4"
