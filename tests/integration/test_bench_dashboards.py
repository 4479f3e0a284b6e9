"""What `vitalflow bench queries` says of the dashboards, on a small ward of the Apache edition."""

from datetime import timedelta

import pytest

from bench.dashboards import LIMIT_MS, DashboardCosts, QueryCost, dashboards
from bench.week import Week
from grafana.files import read_dashboards
from grafana.queries import queries
from tests.support.servers import Db


def test_every_query_has_its_cost(empty: Db) -> None:
    week = Week(beds=2, days=2, dense=timedelta(minutes=2), sparse=timedelta(minutes=10), alerts_a_day=3)
    found = dashboards(empty.owner_url, lambda _: None, week)
    asked = [str(query) for dashboard in read_dashboards().values() for query in queries(dashboard)]
    assert sorted(cost.query for cost in found.costs) == sorted(asked)
    assert found.readings == pytest.approx(2 * (2 * 24 * 6 + 120), abs=10)
    assert [cost.milliseconds for cost in found.costs] == sorted((c.milliseconds for c in found.costs), reverse=True)
    assert found.costs[0].milliseconds > 0
    assert "Apache edition" in found.text()


def test_what_is_too_slow_is_told() -> None:
    costs = [QueryCost("a", LIMIT_MS + 1, 3), QueryCost("b", LIMIT_MS, 3)]
    found = DashboardCosts("server", 25, 7, "7 days", costs)
    assert [cost.query for cost in found.too_slow] == ["a"]
    assert found.text().endswith("above 200 ms: 1")
