"""Load the fixtures of each folder when pytest first collects it, and report what this machine cannot run.

tests/unit must stay fast, so nothing here imports a package that starts a server or a browser.
"""

from pathlib import Path

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.support import available

pytest_plugins = ["tests.fixtures.counts"]

FIXTURES = {
    "unit": ["authority"],
    "integration": ["authority", "servers", "secured", "broker_pair", "ingest", "alerts", "station", "community"],
    "community": ["servers", "community", "trends", "week", "display"],
    "browser": ["authority", "servers", "secured", "ingest", "alerts", "station", "browser"],
    "acceptance": ["authority", "servers", "secured", "ingest", "alerts", "running_stack", "docker"],
}
HEADERS = {
    "unit": [available.compiler, available.kubectl],
    "integration": [available.servers, available.monitoring],
    "community": [available.servers, available.community],
    "browser": [available.servers, available.browser],
    "acceptance": [available.servers, available.docker],
}

# Modules that share a costly fixture of session scope: one worker takes all of them, and makes it once. All others that
# need the WebAssembly build of TimescaleDB: compiling it and migrating its template take 10 s of processor.
TOGETHER = {
    f"{module}.py": name
    for name, modules in {
        "running stack": ("acceptance/test_broker_authorization", "acceptance/test_backup"),
        "filled databases": (
            "community/test_chart_queries", "community/test_dashboards", "community/test_fhir_store",
            "community/test_news2", "community/test_pipeline_display", "community/test_readme_queries",
            "community/test_trends", "community/test_ward_charts", "community/test_wards",
        ),
        "webassembly": (
            "community/test_alert_snapshots", "community/test_chunks", "community/test_days", "community/test_dump",
            "community/test_editions", "community/test_import", "community/test_migrate",
            "community/test_migrate_from_every_version", "community/test_rollup_completeness", "community/test_rollups",
            "community/test_status", "community/test_storage", "community/test_upgrades",
        ),
    }.items()
    for module in modules
}  # fmt: skip
# The modules that take longest, longest first: begun first, so that all workers end at about the same time.
LONGEST = [
    "webassembly", "acceptance/test_stack.py", "filled databases",
    "acceptance/test_broker_authorization.py", "acceptance/test_backup.py",
    "acceptance/test_chaos.py", "acceptance/test_no_alarm_lost.py", "acceptance/test_no_reading_lost.py",
    "acceptance/test_no_reading_lost_on_broker_crash.py", "acceptance/test_noisy_device.py", "browser/test_login.py",
    "integration/test_monitoring.py", "integration/test_nothing_stored.py", "integration/test_standby.py",
    "integration/test_devices_receipts.py", "integration/test_alerts_worker.py", "integration/test_station_login.py",
    "integration/test_ingest_operation.py", "integration/test_enrolment.py", "unit/test_alert_properties.py",
]  # fmt: skip
# No test of these shares a server with another one of its module: each goes to whichever worker is free.
SPREAD = [
    "acceptance/test_no_reading_lost.py",
    "integration/test_devices_receipts.py", "integration/test_alerts_worker.py", "integration/test_ingest_operation.py",
    "integration/test_monitoring.py", "integration/test_nothing_stored.py", "integration/test_standby.py",
]  # fmt: skip

# Servers share the machine's cores with the tests, so the time that one example takes says nothing about the code.
hypothesis.settings.register_profile(
    "vitalflow", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("vitalflow")


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> None:
    """Register the fixtures of a folder below tests/. All folders share a fixture of session scope."""
    if path.parent == Path(__file__).parent:
        for name in FIXTURES.get(path.name, []):
            parent.config.pluginmanager.import_plugin(f"tests.fixtures.{name}")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """One line about each server, browser or engine that the selected folders need."""
    selected = " ".join(config.args)
    everything = not any(folder in selected for folder in FIXTURES)
    lines = [line for folder, lines in HEADERS.items() if everything or folder in selected for line in lines]
    return [line() for line in dict.fromkeys(lines)]


def scope_of(nodeid: str) -> str:
    """The tests of one scope run in one worker, one after the other."""
    module = nodeid.partition("::")[0].removeprefix("tests/")
    return nodeid if module in SPREAD else TOGETHER.get(module, module)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest modules."""
    rank = {name: place for place, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> int:
        module = item.nodeid.partition("::")[0].removeprefix("tests/")
        return rank.get(module, rank.get(scope_of(item.nodeid), len(rank)))

    items.sort(key=place)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Give each worker one scope after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Replace the scheduler of --dist loadscope."""
    return Scheduling(config, log)
