"""Sources that replay recordings, one device per file. docs/replay.md explains the times of the readings."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from devices.source import Source
from vitals.device_names import device_name, unique_names
from vitals.recording import Recording, Summary
from vitals.sample import Sample

MIN_INTERVAL_S = 0.001  # the shortest interval that a status message can report


@dataclass(frozen=True, slots=True)
class DeviceRecording:
    """A recording with its summary, and the name of the device that replays it."""

    recording: Recording
    summary: Summary
    device: str


def prepare(recordings: Sequence[Recording]) -> list[DeviceRecording]:
    """Read every file completely and name its device; raises PermanentError before anything is published."""
    names = unique_names([device_name(recording.path) for recording in recordings])
    return [DeviceRecording(r, r.summary(), name) for r, name in zip(recordings, names, strict=True)]


def replay_sources(
    recordings: Sequence[DeviceRecording],
    *,
    ward: str,
    now: datetime,
    speed: float = 1.0,
    loop: bool = False,
    as_live: bool = False,
) -> list[Source]:
    """Return a source for each recording, starting at `now`, whose whole seconds are the boot.

    as_live   each reading has the time of its sending, as it has with `loop`
    """
    return [
        Source(
            device=recorded.device,
            ward=ward,
            patient_id=f"p-{recorded.device}",
            model=f"VitalFlow replay ({recorded.recording.layout.format})",
            interval_s=max(MIN_INTERVAL_S, round(recorded.summary.step_s / speed, 3)),
            boot=int(now.timestamp()),
            samples=play_in_loop(recorded, speed) if loop else play_once(recorded, speed, None if as_live else now),
            is_recording=True,
            can_wait=not loop,
        )
        for recorded in recordings
    ]


def play_once(recording: DeviceRecording, speed: float, now: datetime | None) -> Iterator[tuple[float, Sample | None]]:
    """Yield each row once, `speed` times as fast as recorded, with times spaced as recorded, or no times without `now`.

    The last reading's time is the time of its sending, so that no reading is from the future, which ingest would
    reject. If replayed slower than recorded, the first reading's time is the time of its sending.
    """
    duration = recording.summary.duration_s
    start = now and now - timedelta(seconds=max(0.0, duration - duration / speed))
    for row in recording.recording.rows():
        if row.sample is not None:
            time = start and start + timedelta(seconds=row.elapsed_s)
            yield row.elapsed_s / speed, replace(row.sample, time=time)


def play_in_loop(recording: DeviceRecording, speed: float) -> Iterator[tuple[float, Sample | None]]:
    """Yield the rows repeatedly; each reading carries the time of its sending."""
    cycle_s = recording.summary.duration_s + recording.summary.step_s
    cycle_start = 0.0
    while True:
        for row in recording.recording.rows():
            if row.sample is not None:
                yield (cycle_start + row.elapsed_s) / speed, row.sample
        cycle_start += cycle_s


def describe_times(speed: float) -> str | None:
    """Return a sentence on the effect of the readings' times on alarms, where `play_once` gives them past times."""
    if speed == 1:
        return None
    change = "faster" if speed > 1 else "slower"
    return (
        f"{change} than recorded, the readings have past times, like a backlog, and raise hardly any alarm; "
        "with --as-live each has the time of its sending"
    )


def describe_formats(recordings: Sequence[DeviceRecording]) -> Iterator[str]:
    """Yield a sentence for each format: which files have it, and why."""
    files: dict[tuple[str, str], list[str]] = {}
    for recorded in recordings:
        recording = recorded.recording
        files.setdefault((recording.layout.format.value, recording.reason), []).append(recording.path.name)
    for (format, reason), names in files.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield f"{', '.join(names[:3])}{more}: read as {format}, because the file {reason}"


def describe_omissions(recordings: Sequence[DeviceRecording]) -> Iterator[str]:
    """Yield sentences about columns and rows that are not replayed."""
    unused = dict.fromkeys(name for recorded in recordings for name in recorded.recording.unused_columns)
    if unused:
        yield f"ignored columns that are no supported vital sign: {', '.join(unused)}"
    empty = sum(recorded.summary.empty_rows for recorded in recordings)
    if empty:
        yield f"skipped {empty} {'row' if empty == 1 else 'rows'} without a value"
    omitted: Counter[str] = Counter()
    for recorded in recordings:
        omitted.update(recorded.summary.omitted)
    for reason, number in omitted.items():
        yield f"skipped {number} {reason}"
