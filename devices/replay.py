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

MIN_INTERVAL_S = 0.001  # seconds: the least interval that a birth message tells


@dataclass(frozen=True, slots=True)
class DeviceRecording:
    """A recording that has been read through once, and the device that plays it."""

    recording: Recording
    summary: Summary
    device: str


def prepare(recordings: Sequence[Recording]) -> list[DeviceRecording]:
    """Read every file through and name its device; raises PermanentError before anything is published."""
    names = unique_names([device_name(recording.path) for recording in recordings])
    return [DeviceRecording(r, r.summary(), name) for r, name in zip(recordings, names, strict=True)]


def replay_sources(
    parts: Sequence[DeviceRecording], *, ward: str, now: datetime, speed: float = 1.0, loop: bool = False
) -> list[Source]:
    """A device for each part, starting at `now` (whole seconds of it are the boot)."""
    return [
        Source(
            device=part.device,
            ward=ward,
            patient_id=f"p-{part.device}",
            model=f"VitalFlow replay ({part.recording.layout.format})",
            interval_s=max(MIN_INTERVAL_S, round(part.summary.step_s / speed, 3)),
            boot=int(now.timestamp()),
            samples=play_in_loop(part, speed) if loop else play_once(part, speed, now),
            can_wait=not loop,
        )
        for part in parts
    ]


def play_once(part: DeviceRecording, speed: float, now: datetime) -> Iterator[tuple[float, Sample | None]]:
    """Each row at its moment, `speed` times as fast as recorded, with times spaced as recorded.

    The last reading's time is about the moment it is sent, so that the recording ends now and no reading is
    from the future, which the store would refuse. Slower than recorded, the first one's is.
    """
    duration = part.summary.duration_s
    start = now - timedelta(seconds=max(0.0, duration - duration / speed))
    for row in part.recording.rows():
        if row.sample is not None:
            yield row.elapsed_s / speed, replace(row.sample, time=start + timedelta(seconds=row.elapsed_s))


def play_in_loop(part: DeviceRecording, speed: float) -> Iterator[tuple[float, Sample | None]]:
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


def unique_names(names: Sequence[str]) -> list[str]:
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


def describe_omissions(parts: Sequence[DeviceRecording]) -> Iterator[str]:
    """What a user should know before it starts: columns left out, rows without a value."""
    left_out = dict.fromkeys(name for part in parts for name in part.recording.unused_columns)
    if left_out:
        yield f"columns that are no sign of ours left out: {', '.join(left_out)}"
    empty = sum(part.summary.empty_rows for part in parts)
    if empty:
        yield f"{empty} {'row' if empty == 1 else 'rows'} without a value of any sign left out"
