"""Reading the /metrics page of a service."""

import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 2  # seconds to wait for an answer


def counters(port: int) -> Mapping[str, float]:
    """The values on 127.0.0.1, each summed over its labels; raises OSError where nobody answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as page:
        text = page.read().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found
