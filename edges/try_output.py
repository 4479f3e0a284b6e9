"""Show what would become of messages: the parts of the output of `try` that all kinds of messages share."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from edges.config.places import PlacedReading
from edges.observations.found import Received
from edges.observations.observed import Reason, Verdict
from vitals.codec import encode
from vitals.errors import PermanentError


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


def show_unused(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Return the observations that are no value of a reading."""
    return [show_verdict(verdict) for verdict in verdicts if verdict.reason is not Reason.USED]


def show_found(found: Received, **what: Any) -> dict[str, Any]:
    """Return what became of a document; `what` states what it is, and its answer."""
    stored = any(item.device is not None for item in found.readings)
    return {
        "readable": True,
        "outcome": "stored" if stored else "nothing",
        **what,
        **show_placed(found.readings),
        "not_used": show_unused(found.verdicts),
        "counts": found.counts,
    }


def show_refused(problem: str, **answer: Any) -> dict[str, Any]:
    """Return a document that is not read, with the answer that its sender would get."""
    nothing: dict[str, Any] = {"readings": [], "without_device": [], "not_used": [], "counts": {}}
    return {"readable": False, "outcome": "refused", "error": printable(problem), **answer, **nothing}


def print_document(
    file: Path, shown: dict[str, Any], lines_of: Callable[[dict[str, Any]], list[str]], *, as_json: bool
) -> None:
    """Print what would become of the one document of a file; raise PermanentError if it is not read."""
    if as_json:
        typer.echo(json.dumps({"file": str(file), "messages": [shown]}, indent=2))
    else:
        typer.echo("\n".join(lines_of(shown)))
    if not shown["readable"]:
        raise PermanentError(f"{file}: {shown['error']}")


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
