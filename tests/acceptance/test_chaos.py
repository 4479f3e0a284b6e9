"""Promises 1 and 3 in one go: a short `bench chaos`, everything harmed in turn under load, then counted."""

import sys

import pytest

from bench.chaos import chaos
from bench.ground import ground
from bench.survived import told
from tests.fixtures.counts import ReportCount

pytestmark = pytest.mark.slow

SECONDS = 60
# `disk` takes root and a mount: `vitalflow bench chaos` does it where it may.
VICTIMS = ("ingest", "alerts", "broker", "database", "devices", "links")


def test_a_minute_of_kills_cuts_and_stalls_loses_nothing(report_count: ReportCount) -> None:
    with ground() as servers:
        survived = chaos(servers, SECONDS, VICTIMS, 250, 2026, lambda line: print(line, file=sys.stderr))  # noqa: T201
    for line in told(survived).splitlines()[:4]:
        report_count(line)
    assert survived.kills > 3, "hardly anything was harmed: the test shows nothing"
    assert survived.generated > 10_000
    assert survived.unharmed
    assert survived.stored == survived.generated
    assert survived.gaps == 0
