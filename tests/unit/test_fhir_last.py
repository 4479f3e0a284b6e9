"""$lastn ends: with what is there, or with an error where the last Observation is too far back."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from station.fhir.pages import MAX_LAST_PAGES, Place
from station.fhir.search import Search
from station.fhir.store import FhirStore, Page
from vitals.errors import PermanentError
from vitals.fhir import KINDS, Kind, Measured
from vitals.signs import SIGN_KEYS

AT = datetime(2026, 11, 29, 9, tzinfo=UTC)
READING = Measured("bed-1", AT, 1, 1, "icu-1", "77", dict.fromkeys(SIGN_KEYS, 70.0), (), AT)


class Pages(FhirStore):
    """A store whose pages are empty but for each `every`th, which has one Observation."""

    def __init__(self, every: int) -> None:
        self.read: list[Kind] = []
        self._every = every

    async def page(self, search: Search, wards: list[str] | None, place: Place | None = None) -> Page:
        """Return the next page, which is never the last one."""
        [kind] = search.kinds
        self.read.append(kind)
        found = [(READING, kind)] if len(self.read) % self._every == 0 else []
        return Page(found, Place(AT))


def test_the_last_of_each_code_is_found_behind_empty_pages() -> None:
    store = Pages(every=3)
    found = asyncio.run(store.last(replace(Search(), last=1), None))
    assert [kind for _, kind in found] == list(KINDS)
    assert len(store.read) == 3 * len(KINDS) <= MAX_LAST_PAGES


def test_a_last_one_that_is_too_far_back_is_an_error() -> None:
    store = Pages(every=MAX_LAST_PAGES + 1)
    with pytest.raises(PermanentError, match="add a date"):
        asyncio.run(store.last(replace(Search(), last=1), None))
    assert len(store.read) == MAX_LAST_PAGES
