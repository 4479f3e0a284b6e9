"""As each kind of client, everything that it should not be able to do, on a running stack: tests/acceptance/broker_authorization_cases.py has it."""

import pytest

from tests.acceptance.broker_authorization_cases import CASES, YES, Case
from tests.fixtures.running_stack import RunningStack

BY_NAME = {case.name.replace(" ", "_"): case for case in CASES}


@pytest.mark.parametrize("case", BY_NAME.values(), ids=BY_NAME)
def test_nobody_may(case: Case, running_stack: RunningStack) -> None:
    assert case.why in case.denied(running_stack)
    assert case.allowed(running_stack) in YES


def test_no_case_is_listed_twice() -> None:
    assert len(BY_NAME) == len(CASES) >= 40
