"""As each kind of client, everything that it should not be able to do, on a running stack: tests/attacks.py has it."""

import pytest

from tests.attacks import CASES, YES, Case
from tests.fix_world import World

BY_NAME = {case.name.replace(" ", "_"): case for case in CASES}


@pytest.mark.parametrize("case", BY_NAME.values(), ids=BY_NAME)
def test_nobody_may(case: Case, world: World) -> None:
    assert case.why in case.denied(world)
    assert case.allowed(world) in YES


def test_no_case_is_listed_twice() -> None:
    assert len(BY_NAME) == len(CASES) >= 40
