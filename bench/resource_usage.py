"""Measure the processor time and memory of running programs from outside."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack.processes import family


@dataclass(frozen=True)
class Used:
    """Of one program, between two moments. Memory of a family (a database) counts shared pages once (PSS), and has no
    peak of its own: the end counts."""

    cpu_s: float
    cores: float
    begin_mib: float
    peak_mib: float
    end_mib: float


class Usage:
    """What programs use from now on, each by the process id of its family's oldest."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._begun = {name: (pid, cpu_seconds(pid), memory_mib(pid)) for name, pid in pids.items()}
        self._since = time.monotonic()

    def stop(self) -> dict[str, Used]:
        """Return what each used so far."""
        seconds = time.monotonic() - self._since
        found = {}
        for name, (pid, cpu_then, begin) in self._begun.items():
            cpu, end = cpu_seconds(pid) - cpu_then, memory_mib(pid)
            figures = (cpu, cpu / seconds, begin, peak_mib(pid) or end, end)
            found[name] = Used(*(round(figure, 3) for figure in figures))
        return found


def cpu_seconds(pid: int) -> float:
    """What a process and its children, also those that have ended, have used of processors so far."""
    # user, system, and the same of children that were waited for
    return sum(sum(member.cpu_times()[:4]) for member in family(pid))


def memory_mib(pid: int) -> float:
    """Resident memory of a process; of a family, each page once."""
    oldest, *others = family(pid)
    if not others:
        return float(oldest.memory_info().rss) / 2**20
    total = 0
    for member in (oldest, *others):
        try:
            total += member.memory_full_info().pss
        except psutil.Error:
            continue  # it has just ended
    return total / 2**20


def peak_mib(pid: int) -> float | None:
    """The most resident memory that a process has had since its start; None for a family."""
    if len(family(pid)) > 1:
        return None
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**10
    return None
