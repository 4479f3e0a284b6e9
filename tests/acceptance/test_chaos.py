"""Promises 1 and 3 in one go: a short `bench chaos`, everything harmed in turn under load, then counted."""

import sys

import pytest

from bench.chaos import chaos
from bench.environment import environment
from tests.fixtures.counts import ReportCount

pytestmark = pytest.mark.slow

SECONDS = 40  # about one fault of each kind
# `disk` takes root and a mount: `vitalflow bench chaos` does it where it may.
VICTIMS = ("ingest", "alerts", "broker", "database", "devices", "links")


def test_kills_cuts_and_stalls_lose_nothing(report_count: ReportCount) -> None:
    with environment() as servers:
        report = chaos(servers, SECONDS, VICTIMS, 250, 2026, lambda line: print(line, file=sys.stderr))  # noqa: T201
    report_count(f"{sum(report.faults.values())} faults, {report.kills} of them kills; {report.alerts_due} alerts due")
    report_count(
        f"{report.generated} readings, {report.stored} stored, {report.lost} lost, {report.duplicates} doubled"
    )
    assert report.kills > 3, "hardly anything was harmed: the test shows nothing"
    assert report.generated > 10_000
    assert report.nothing_lost_or_doubled
    assert report.stored == report.generated - report.lost_with_broker
    assert report.gaps == 0
