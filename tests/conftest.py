"""What every test may use, and the header that says aloud what this run is made of."""

import pytest

from stack.programs import find
from vitals.errors import Never

pytest_plugins = ["tests.fix_servers", "tests.fix_ingest", "tests.fix_community"]


def pytest_report_header(config: pytest.Config) -> list[str]:
    try:
        programs = find()
    except Never as missing:
        return [f"servers: NONE, so everything but tests/unit will fail: {missing}"]
    return [f"servers: Mosquitto and PostgreSQL with TimescaleDB from {programs.root or 'this machine'}"]
