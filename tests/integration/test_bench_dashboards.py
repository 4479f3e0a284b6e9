"""What `vitalflow bench queries` says of the dashboards, on a small ward of the Apache edition."""

from datetime import timedelta

import pytest

from bench.dashboards import LIMIT_MS, dashboards, figures
from bench.week import Week
from grafana.files import read_dashboards
from grafana.queries import queries
from tests.support.servers import Db


def test_every_query_has_its_cost(empty: Db) -> None:
    week = Week(beds=2, days=2, dense=timedelta(minutes=2), sparse=timedelta(minutes=10), alerts_a_day=3)
    found = dashboards(empty.owner_url, lambda _: None, week)
    asked = [str(query) for dashboard in read_dashboards().values() for query in queries(dashboard)]
    assert sorted(cost["query"] for cost in found["queries"]) == sorted(asked)
    assert found["readings"] == pytest.approx(2 * (2 * 24 * 6 + 120), abs=10)
    took = [cost["milliseconds"] for cost in found["queries"]]
    assert took == sorted(took, reverse=True)
    assert took[0] > 0
    assert "Apache edition" in found["server"]


def test_queries_above_the_limit_are_named_slowest_first() -> None:
    found = figures({"b": (LIMIT_MS, 3), "a": (LIMIT_MS + 1, 3)})
    assert found["too_slow"] == ["a"]
    assert [cost["query"] for cost in found["queries"]] == ["a", "b"]
