"""What a reading costs on disk, by the measurement that docs/benchmarks.md shows."""

from bench.storage import storage
from tests.support.servers import Db


def test_the_columnstore_is_at_least_fifteen_times_smaller(community_url: str) -> None:
    found = storage(community_url, 100_000, lambda _: None)
    assert found["readings"] == 100_000
    assert "Community edition" in found["server"]
    assert found["times_smaller"] >= 15


def test_without_a_columnstore_the_report_says_why(empty: Db) -> None:
    found = storage(empty.owner_url, 10_000, lambda _: None)
    assert found["readings"] == 10_000
    assert found["row_bytes"] > 100
    assert "times_smaller" not in found
    assert found["columnstore"] == "none: it needs the Community edition"
