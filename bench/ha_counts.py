"""What a fault of `ha` cost: counts from what the devices and the alert recorder wrote down. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from bench.accounting import Span
from bench.report import Figures
from stack.cluster.observation import ClusterSeen
from vitals.alert import Alert


def longest_gap(times: Sequence[float], span: Span) -> float:
    """Return the longest time within a span without any of `times`; all in unix seconds."""
    begin, end = span
    inside = sorted(one for one in times if begin <= one <= end)
    return max(later - earlier for earlier, later in pairwise([begin, *inside, end]))


def changes_at(alerts: Sequence[Alert], came_at: Sequence[float]) -> list[float]:
    """Return when each change of an alert came for the first time; a broker repeats them to a new subscriber."""
    first: dict[tuple[object, int], float] = {}
    for alert, came in zip(alerts, came_at, strict=True):
        first.setdefault((alert.alert_id, alert.revision), came)
    return list(first.values())


def older_revisions(alerts: Sequence[tuple[Alert, float]], span: Span) -> int:
    """Count the messages within a span with an older revision of an alert than one that had come before."""
    newest: dict[object, int] = defaultdict(int)
    older = 0
    for alert, came in alerts:
        older += alert.revision < newest[alert.alert_id] and span[0] <= came <= span[1]
        newest[alert.alert_id] = max(newest[alert.alert_id], alert.revision)
    return older


def places_with_two_open(latest: Iterable[tuple[str, str, str, str, str]]) -> list[str]:
    """Return each place with more than one open alert, and them.

    latest   of the last change of every alert: device, rule, state, when it was raised and changed
    """
    opened: dict[tuple[str, str], list[str]] = defaultdict(list)
    for device, rule, state, raised_at, changed_at in latest:
        if state != "cleared":
            opened[(device, rule)].append(f"raised at {raised_at}, {state} since {changed_at}")
    return [f"{device}/{rule}: {'; '.join(found)}" for (device, rule), found in opened.items() if len(found) > 1]


def two_act(seen: ClusterSeen) -> bool:
    """Return whether two databases accept writes or two alert workers act."""
    acting = [one for one in seen.services if (one.name, one.state) == ("alerts", "active")]
    return sum(bool(one.is_primary) for one in seen.databases) > 1 or len(acting) > 1


def per_fault(rows: Iterable[Figures]) -> list[Figures]:
    """Return a row for each kind of fault: the longest times (`_s`), the sums of the counts, and its runs."""
    found: dict[object, Figures] = {}
    for row in rows:
        one = found.setdefault(row["fault"], {"fault": row["fault"], "runs": 0})
        one["runs"] += 1
        for name, value in row.items():
            if not isinstance(value, str):
                one[name] = max(one.get(name, 0.0), value) if name.endswith("_s") else one.get(name, 0) + value
    return list(found.values())
