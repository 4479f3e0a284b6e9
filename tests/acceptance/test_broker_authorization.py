"""Each attempt of broker_authorization_cases.py to exceed a client's rights is rejected on a running stack."""

import pytest

from tests.acceptance.broker_authorization_cases import CASES, YES, Case
from tests.fixtures.running_stack import RunningStack

BY_NAME = {case.name.replace(" ", "_"): case for case in CASES}


@pytest.mark.parametrize("case", BY_NAME.values(), ids=BY_NAME)
def test_attempt_is_denied_and_its_permitted_counterpart_works(case: Case, running_stack: RunningStack) -> None:
    assert case.why in case.denied(running_stack)
    assert case.allowed(running_stack) in YES


def test_the_list_has_all_cases_once() -> None:
    assert len(BY_NAME) == len(CASES) >= 130
