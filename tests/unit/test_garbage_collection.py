"""Full garbage collections stop a service, and every alarm with it: they are rare."""

import gc
from collections.abc import Iterator

import pytest

from vitals.garbage_collection import make_full_collections_rare


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """The generations that are collected from here on."""
    found: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            found.append(info["generation"])

    before = gc.get_threshold()
    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)
    gc.set_threshold(*before)
    gc.unfreeze()


def test_the_state_of_many_devices_causes_no_full_collection(collections: list[int]) -> None:
    make_full_collections_rare()
    gc.collect()
    collections.clear()
    state: list[list[int]] = [[] for _ in range(300_000)]
    assert len(state) == 300_000
    assert 1 in collections
    assert 2 not in collections
