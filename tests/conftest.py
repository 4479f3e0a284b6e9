"""What every test may use, and the header that says aloud what this run is made of."""

import hypothesis
import pytest

from stack.programs import find
from vitals.errors import PermanentError

pytest_plugins = [
    "tests.fix_counts",
    "tests.fix_authority",
    "tests.fix_servers",
    "tests.fix_secured",
    "tests.fix_world",
    "tests.fix_ingest",
    "tests.fix_community",
    "tests.fix_migrate",
    "tests.fix_alerts",
    "tests.fix_trends",
    "tests.fix_week",
    "tests.fix_docker",
    "tests.fix_station",
]


# How long an example takes says nothing about the code while real servers share two cores with it.
hypothesis.settings.register_profile(
    "vitalflow", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("vitalflow")


def pytest_report_header(config: pytest.Config) -> list[str]:
    try:
        programs = find()
    except PermanentError as missing:
        return [f"servers: NONE, so everything but tests/unit will fail: {missing}"]
    return [f"servers: Mosquitto and PostgreSQL with TimescaleDB from {programs.root or 'this machine'}"]
