"""Read the /metrics page of a service."""

import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 2


def counters(port: int) -> Mapping[str, float]:
    """Return the values on 127.0.0.1, each summed over its labels; raises OSError if there is no answer."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as page:
        text = page.read().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def counter(port: int, name: str) -> float:
    """Return one of these values; 0 if there is none, or no answer."""
    try:
        return counters(port).get(name, 0.0)
    except OSError:
        return 0.0
