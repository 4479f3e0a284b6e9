"""A CA for tests: the project's own, in a folder of the test session."""

import pytest

from identity.authority import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One CA for all tests that need a good one."""
    return Authority(tmp_path_factory.mktemp("identity") / "ca")
