"""Parameters of FHIR searches, the times that they mean, and the pages of a result."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.fhir.pages import MAX_RUN, CursorKey, DeviceDay, Place, Window, end_of, from_place, windows
from station.fhir.search import (
    DEVICE_PARAMETERS,
    OBSERVATION_PARAMETERS,
    Search,
    SearchRejected,
    is_identified,
    read_search,
)
from station.fhir.times import EVER, FIRST, LAST, common, includes, join, read_date
from vitals.fhir import PATIENT_SYSTEM

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("eq2026-11-22", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("2026-11-22T12:30Z", "2026-11-22T12:30:00Z", "2026-11-22T12:31:00Z"),
        ("2026-11-22T12:30:05+01:00", "2026-11-22T11:30:05Z", "2026-11-22T11:30:06Z"),
        ("2026-11-22T12:30:05 01:00", "2026-11-22T11:30:05Z", "2026-11-22T11:30:06Z"),
        ("2026-11-22T12:30:05.25-05:30", "2026-11-22T18:00:05.25Z", "2026-11-22T18:00:05.26Z"),
        ("2026-11-22T12:30:05.123456Z", "2026-11-22T12:30:05.123456Z", "2026-11-22T12:30:05.123457Z"),
    ],
)
def test_a_partial_date_is_the_period_of_its_precision(text: str, start: str, end: str) -> None:
    assert read_date(text) == ((datetime.fromisoformat(start), datetime.fromisoformat(end)),)


@pytest.mark.parametrize(
    ("prefix", "before", "inside", "last", "after"),
    [
        ("", False, True, True, False), ("eq", False, True, True, False), ("ne", True, False, False, True),
        ("gt", False, False, False, True), ("sa", False, False, False, True), ("lt", True, False, False, False),
        ("eb", True, False, False, False), ("ge", False, True, True, True), ("le", True, True, True, False),
    ],
)  # fmt: skip
def test_a_prefix_compares_an_instant_with_the_period(
    prefix: str, before: bool, inside: bool, last: bool, after: bool
) -> None:
    ranges = read_date(f"{prefix}2026-11-22")
    day, tick = datetime(2026, 11, 22, tzinfo=UTC), timedelta(microseconds=1)
    moments = (day - tick, day, day + timedelta(days=1) - tick, day + timedelta(days=1))
    assert [includes(ranges, moment) for moment in moments] == [before, inside, last, after]


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "26", "2026-13", "2026-02-30", "2026-11-22T12", "2026-11-22T12:30", "2026-11-22T25:00Z",
        "2026-11-22T12:30:61Z", "2026-11-22T12:30:05.1234567Z", "2026-11-22T12:30Z ", "ap2026", "GE2026", "0000",
        "9999", "2026-11-22T12:30+15:00", "2026-11-22T12:30+01:60", "２０２６", "2026-11-22\n",
    ],
)  # fmt: skip
def test_any_other_date_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="expected a prefix"):
        read_date(text)


@given(st.text(max_size=30) | st.from_regex(r"(eq|ge|ne)?\d{4}(-\d\d(-\d\d(T\d\d:\d\d(Z|[+-]\d\d:\d\d))?)?)?"))
def test_no_date_raises_another_error(text: str) -> None:
    try:
        ranges = read_date(text)
    except ValueError:
        return
    assert ranges == join(ranges) == common(ranges, EVER)
    assert all(FIRST <= start < end <= LAST for start, end in ranges)


def search(*pairs: tuple[str, str], strict: bool = False) -> Search:
    return read_search(pairs, OBSERVATION_PARAMETERS, is_strict=strict)


def letters(*pairs: tuple[str, str]) -> list[str]:
    return [kind.letters for kind in search(*pairs).kinds]


def test_commas_are_alternatives_and_repetitions_restrict() -> None:
    assert letters(("code", "8867-4,http://loinc.org|9279-1")) == ["hr", "rr"]
    assert letters(("code", "8867-4,9279-1"), ("code", "9279-1")) == ["rr"]
    assert letters(("code", "urn:iso:std:iso:11073:10101|150456")) == ["sp"]
    assert letters(("code", "http://loinc.org|")) == letters()
    assert letters(("code", "|8867-4")) == letters(("code", "http://example.org|8867-4")) == []
    assert letters(("combo-code", "8462-4")) == letters(("code", "85354-9")) == ["bp"]
    assert search(("patient", "a,Patient/b")).patients == frozenset({"a", "b"})
    assert search(("patient", "a,b"), ("subject", "http://h/fhir/R4/Patient/b")).patients == frozenset({"b"})
    assert search(("subject", "Device/a")).patients == frozenset()
    assert search(("date", "2025,2026")).dates == join(read_date("2025") + read_date("2026"))
    assert search(("date", "ge2026"), ("date", "lt2026")).dates == ()


def test_an_escaped_comma_or_bar_belongs_to_the_value() -> None:
    found = read_search([("identifier", r"a\,b,c\|d")], DEVICE_PARAMETERS, is_strict=True)
    assert is_identified(found.identifiers, PATIENT_SYSTEM, "a,b")
    assert is_identified(found.identifiers, PATIENT_SYSTEM, "c|d")
    assert not is_identified(found.identifiers, PATIENT_SYSTEM, "a")


def test_an_unknown_parameter_is_ignored_and_left_out_unless_handling_is_strict() -> None:
    assert search(("colour", "red"), ("status", "final"), ("_pretty", "true")).query() == "status=final"
    with pytest.raises(SearchRejected, match="colour"):
        search(("colour", "red"), strict=True)


@pytest.mark.parametrize(
    "pair",
    [
        ("code:text", "heart"), ("patient:Device", "a"), ("patient.identifier", "a"), ("date", "x"), ("_count", "-1"),
        ("_count", "1.5"), ("_count", "٣"), ("_sort", "code"), ("_total", "all"), ("_summary", "true"),
        ("_include", "*"), ("patient", "a b"), ("code", "a|b|c"), ("patient", "a\0"), ("device", "Device/"),
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_used_is_rejected(pair: tuple[str, str]) -> None:
    with pytest.raises(SearchRejected):
        search(pair)


# --- pages ---


def test_a_place_is_read_only_with_its_search_and_unchanged() -> None:
    key = CursorKey(b"secret")
    place = Place(NOON, "bed-1", 1, -(2**63), "hr")
    text = key.write(place, "patient=a")
    assert key.read(text, "patient=a", Place) == place
    assert key.read(key.write(Place(NOON), "x"), "x", Place) == Place(NOON)
    changed = [text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :] for at in range(len(text))]
    for forged in (*(one for one in changed if one != text), text[:-4], text + "AAAA", "", "é"):
        with pytest.raises(ValueError, match="next link"):
            key.read(forged, "patient=a", Place)
    with pytest.raises(ValueError, match="next link"):
        key.read(text, "patient=b", Place)
    with pytest.raises(ValueError, match="next link"):
        CursorKey(b"another").read(text, "patient=a", Place)


def day(number: int, device: str, readings: int) -> DeviceDay:
    return DeviceDay(datetime(2026, 11, number, tzinfo=UTC), device, None, None, readings)


DAYS = st.lists(
    st.builds(day, st.integers(1, 9), st.sampled_from(["a", "b"]), st.sampled_from([0, 10, MAX_RUN, 20 * MAX_RUN]))
)
MOMENTS = st.datetimes(datetime(2026, 10, 30), datetime(2026, 11, 12), timezones=st.just(UTC))  # noqa: DTZ001


@given(days=DAYS, dates=st.lists(st.tuples(MOMENTS, MOMENTS), max_size=3).map(join), newest_first=st.booleans())
def test_windows_cover_every_wanted_time_of_every_device_once_in_order(
    days: list[DeviceDay], dates: Any, newest_first: bool
) -> None:
    found = list(windows(days, dates, newest_first=newest_first))
    in_order = sorted(found, key=lambda window: window.start, reverse=newest_first)
    assert found == in_order
    chronological = sorted(found, key=lambda window: window.start)
    assert all(a.end <= b.start for a, b in pairwise(chronological))
    for device in ("a", "b"):
        covered = join((window.start, window.end) for window in found if device in window.devices)
        stored = join((one.start, one.start + timedelta(days=1)) for one in days if one.device == device)
        assert covered == common(stored, dates)


@given(newest_first=st.booleans())
def test_a_search_goes_on_behind_a_window(newest_first: bool) -> None:
    window = Window(("a",), NOON, NOON + 5 * SECOND, 1)
    rest = from_place(EVER, end_of(window, newest_first=newest_first), newest_first=newest_first)
    assert not includes(rest, NOON)
    assert not includes(rest, NOON + 4 * SECOND)
    assert includes(rest, NOON - SECOND) == newest_first
    assert includes(rest, NOON + 5 * SECOND) == (not newest_first)
