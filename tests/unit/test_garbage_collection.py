"""Full garbage collections stop a service, and every alarm with it: they are rare."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from vitals.garbage_collection import RARELY, make_full_collections_rare


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


@pytest.mark.parametrize(
    ("module", "loop", "command"), [("alerts", "Worker", ["run"]), ("ingest", "Pipeline", [])], ids=["alerts", "ingest"]
)
def test_a_service_makes_full_collections_rare_before_it_works(module: str, loop: str, command: list[str]) -> None:
    program = f"import gc, {module}.__main__ as main; main.{loop}.run = lambda _: print(gc.get_threshold()[2]); "
    settings = {f"VITALFLOW_{module.upper()}_METRICS_PORT": "0", "VITALFLOW_INGEST_URL": "postgresql://127.0.0.1/none"}
    done = subprocess.run(
        [sys.executable, "-c", f"{program}main.app({command})"],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(RARELY)], done.stderr
