"""Load the fixtures of each folder when pytest first collects it, and report what this machine cannot run.

tests/unit must stay fast, so nothing here imports a package that starts a server or a browser.
"""

from pathlib import Path

import hypothesis
import pytest

from tests.support import available

pytest_plugins = ["tests.fixtures.counts"]

FIXTURES = {
    "unit": ["authority"],
    "integration": ["authority", "servers", "secured", "ingest", "alerts", "station", "community"],
    "community": ["servers", "community", "trends", "week"],
    "browser": ["authority", "servers", "secured", "ingest", "alerts", "station", "browser"],
    "acceptance": ["authority", "servers", "secured", "ingest", "alerts", "running_stack", "docker"],
}
HEADERS = {
    "integration": [available.servers],
    "community": [available.servers, available.community],
    "browser": [available.servers, available.browser],
    "acceptance": [available.servers, available.docker],
}

# Servers share the machine's cores with the tests, so the time that one example takes says nothing about the code.
hypothesis.settings.register_profile(
    "vitalflow", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("vitalflow")


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> None:
    """Register the fixtures of a folder below tests/. A session fixture is still made once, however many folders use it."""
    if path.parent == Path(__file__).parent:
        for name in FIXTURES.get(path.name, []):
            parent.config.pluginmanager.import_plugin(f"tests.fixtures.{name}")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """One line about each server, browser or engine that the selected folders need."""
    selected = " ".join(config.args)
    everything = not any(folder in selected for folder in FIXTURES)
    lines = [line for folder, lines in HEADERS.items() if everything or folder in selected for line in lines]
    return [line() for line in dict.fromkeys(lines)]
