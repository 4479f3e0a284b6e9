"""A simulated phone: sends what a simulated patient has, as Health Auto Export does, each document until 2xx.

As the app it sends the values of the last documents again each time: they are stored once.
"""

import json
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from devices.scenario import Scenario
from devices.simulated_ward import simulated_ward
from vitals.backoff import Backoff

AGAIN = 3  # documents whose values are sent once more
TIMEOUT_S = 30.0
RETRY_S = (0.2, 5.0)
_METRICS = {  # sign -> name, unit
    "heart_rate": ("heart_rate", "count/min"),
    "spo2": ("blood_oxygen_saturation", "%"),
    "resp_rate": ("respiratory_rate", "count/min"),
    "temperature": ("body_temperature", "degC"),
}
_PRESSURES = {"systolic_bp": "systolic", "diastolic_bp": "diastolic"}


def export(moments: Mapping[datetime, Mapping[str, float]]) -> dict[str, Any]:
    """Return a document with the values of these times."""
    metrics: dict[str, dict[str, Any]] = {}

    def add(name: str, units: str, point: dict[str, Any]) -> None:
        metrics.setdefault(name, {"name": name, "units": units, "data": []})["data"].append(point)

    for at, values in moments.items():
        date = at.strftime("%Y-%m-%d %H:%M:%S %z")
        for sign, (name, units) in _METRICS.items():
            if sign in values:
                add(name, units, {"date": date, "qty": values[sign], "source": "Simulated"})
        pressures = {key: values[sign] for sign, key in _PRESSURES.items() if sign in values}
        if pressures:
            add("blood_pressure", "mmHg", {"date": date, **pressures, "source": "Simulated"})
    return {"data": {"metrics": list(metrics.values()), "workouts": []}}


def simulate(
    url: str,
    secret: str,
    scenario: Scenario,
    interval_s: float,
    seconds: float | None,
    emit: Callable[[str], None],
) -> Counter[int]:
    """Send a document at each interval until `seconds` have passed, or for ever; return the answers by status."""
    [source] = simulated_ward(1, ward="simulated", boot=0, scenario=scenario, interval_s=interval_s)
    answers: Counter[int] = Counter()
    recent: deque[tuple[datetime, Mapping[str, float]]] = deque(maxlen=AGAIN)
    begin = time.monotonic()
    for due, sample in source.samples:
        if seconds is not None and time.monotonic() - begin > seconds:
            break
        time.sleep(max(0.0, begin + due - time.monotonic()))
        if sample is None:
            continue
        recent.append((datetime.now(UTC).replace(microsecond=0), sample.values))
        body = json.dumps(export(dict(recent))).encode()
        backoff = Backoff(*RETRY_S)
        while True:
            status = _post(url, secret, body, emit)
            answers[status] += 1
            if 200 <= status < 300 or 400 <= status < 500:
                break  # what is refused is refused again
            time.sleep(backoff.next(0.0))
    return answers


def _post(url: str, secret: str, body: bytes, emit: Callable[[str], None]) -> int:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        emit(f"{url} answers {error.code}: {error.read(500).decode('utf-8', 'replace')}")
        return error.code
    except OSError as error:
        emit(f"{url}: {getattr(error, 'reason', None) or error}")
        return 503
