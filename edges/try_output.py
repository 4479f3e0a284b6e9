"""Show what would become of messages: the parts of the output of `try` that all kinds of messages share."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from edges.observed import Verdict
from edges.places import PlacedReading
from vitals.codec import encode


def show_placed(readings: Sequence[PlacedReading]) -> dict[str, Any]:
    """Return the readings with a device, and those without."""
    return {
        "readings": [_show_reading(item) for item in readings if item.device is not None],
        "without_device": [_show_reading(item) for item in readings if item.device is None],
    }


def show_verdict(verdict: Verdict) -> dict[str, Any]:
    """Return an observation in its sender's words, and what became of it."""
    observation = verdict.observation
    return {
        "segment": observation.segment,
        "code": printable("^".join(str(code) for code in observation.codes if str(code))),
        "value": printable("~".join(observation.values)),
        "unit": printable(str(observation.unit)),
        "reason": verdict.reason.value,
        "detail": printable(verdict.detail),
    }


def lines_of_readings(shown: Mapping[str, Any]) -> list[str]:
    """Return the lines of readings for a person."""
    lines = [f"  {item['ward']}/{item['device']}: {json.dumps(item['reading'])}" for item in shown["readings"]]
    lines += [f"  no device: {json.dumps(item['reading'])}; {item['problem']}" for item in shown["without_device"]]
    return lines


def line_of_verdict(where: str, item: Mapping[str, Any]) -> str:
    """Return the line of an observation that is not used."""
    detail = f": {item['detail']}" if item["detail"] else ""
    return f"  {where}{item['code']!a}, {item['reason']}{detail}"


def printable(text: str) -> str:
    """Return `text` without lone surrogates, which cannot be printed."""
    return text.encode("utf-8", "replace").decode()


def _show_reading(item: PlacedReading) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(encode(item.reading))
    address = {"ward": item.ward, "device": item.device}
    patient = {"patient": item.reading.patient_id}
    return {**address, **patient, "reading": content, **({"problem": item.problem} if item.problem else {})}
