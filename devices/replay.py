"""Recordings as devices: gives each file a name and its rows their moments, as a `source`.

Stands between `recording`, which knows no clock, and `publisher`, which knows no files. docs/replay.md explains
the times to a user.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from devices.source import Source
from vitals.recording import Recording, Summary
from vitals.sample import Sample

SHORTEST_S = 0.001  # seconds: the least interval that a birth message tells


@dataclass(frozen=True, slots=True)
class Part:
    """A recording that has been read through once, and the device that plays it."""

    recording: Recording
    summary: Summary
    device: str


def prepare(recordings: Sequence[Recording]) -> list[Part]:
    """Read every file through and name its device; raises PermanentError before anything is published."""
    names = distinct([device_name(recording.path) for recording in recordings])
    return [Part(r, r.summary(), name) for r, name in zip(recordings, names, strict=True)]


def sources_of(
    parts: Sequence[Part], *, ward: str, now: datetime, speed: float = 1.0, loop: bool = False
) -> list[Source]:
    """A device for each part, starting at `now` (whole seconds of it are the boot)."""
    return [
        Source(
            device=part.device,
            ward=ward,
            patient_id=f"p-{part.device}",
            model=f"VitalFlow replay ({part.recording.layout.format})",
            interval_s=max(SHORTEST_S, round(part.summary.step_s / speed, 3)),
            boot=int(now.timestamp()),
            samples=endless(part, speed) if loop else once(part, speed, now),
            can_wait=not loop,
        )
        for part in parts
    ]


def once(part: Part, speed: float, now: datetime) -> Iterator[tuple[float, Sample | None]]:
    """Each row at its moment, `speed` times as fast as recorded, with times spaced as recorded.

    The last reading's time is about the moment it is sent, so that the recording ends now and no reading is
    from the future, which the store would refuse. Slower than recorded, the first one's is.
    """
    duration = part.summary.duration_s
    start = now - timedelta(seconds=max(0.0, duration - duration / speed))
    for row in part.recording.rows():
        if row.sample is not None:
            yield row.elapsed_s / speed, replace(row.sample, time=start + timedelta(seconds=row.elapsed_s))


def endless(part: Part, speed: float) -> Iterator[tuple[float, Sample | None]]:
    """The rows over and over; each reading carries the time of its sending."""
    round_s = part.summary.duration_s + part.summary.step_s
    begun = 0.0
    while True:
        for row in part.recording.rows():
            if row.sample is not None:
                yield (begun + row.elapsed_s) / speed, row.sample
        begun += round_s


def device_name(path: Path) -> str:
    """A device name from a file name: `bidmc_01_Numerics.csv` is `bidmc-01`."""
    stem = re.sub(r"_numerics$", "", path.stem, flags=re.IGNORECASE)
    name = re.sub(r"[^\w.]+|_+", "-", stem).strip("-.").lower()
    return name or "recording"


def distinct(names: Sequence[str]) -> list[str]:
    """The same names, with -2, -3 ... behind the repeated ones."""
    taken: set[str] = set(names)
    seen: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 2
        while candidate in seen or (candidate != name and candidate in taken):
            candidate = f"{name}-{number}"
            number += 1
        seen.add(candidate)
        result.append(candidate)
    return result


def told(parts: Sequence[Part]) -> Iterator[str]:
    """What a user should know before it starts: columns left out, rows without a value."""
    left_out = dict.fromkeys(name for part in parts for name in part.recording.unused_columns)
    if left_out:
        yield f"columns that are no sign of ours left out: {', '.join(left_out)}"
    empty = sum(part.summary.empty_rows for part in parts)
    if empty:
        yield f"{empty} {'row' if empty == 1 else 'rows'} without a value of any sign left out"
