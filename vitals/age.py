"""The age group of a patient from the date of birth. Pure. `ageGroup` in station/static/patient.js is its equal."""

from datetime import date

from vitals.assignment import Profile

NEONATE_DAYS = 28
MAX_YEARS = 130
_BANDS: tuple[tuple[int, Profile], ...] = ((1, "infant"), (5, "child-1-4"), (12, "child-5-11"), (16, "child-12-15"))
"""Completed years from which the next group begins. `vitals.assignment.Profile` states where they come from."""


def age_group(birth: date, today: date) -> Profile | None:
    """Return the age group on `today`; None for a date in the future, or more than MAX_YEARS ago."""
    had_birthday = (today.month, today.day) >= (birth.month, birth.day)
    years = today.year - birth.year - (not had_birthday)
    if birth > today or years > MAX_YEARS:
        return None
    if (today - birth).days < NEONATE_DAYS:
        return "neonate"
    return next((profile for below, profile in _BANDS if years < below), "adult")
