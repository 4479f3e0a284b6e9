"""Measure the processor time and memory of running programs from outside."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

EVERY_S = 2.0
MINUTE_2_S = 120.0


@dataclass(frozen=True)
class Used:
    """Of one program, between two moments. Memory of a family (a database) counts shared pages once (PSS).

    minute_2_mib    after two minutes; None in a shorter measurement
    """

    cpu_s: float
    cores: float
    peak_mib: float
    end_mib: float
    minute_2_mib: float | None


class Usage:
    """Watches programs, each by the process id of its family's oldest, from `start` to `stop`."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._begun: dict[str, float] = {}
        self._peak = dict.fromkeys(self._pids, 0.0)
        self._minute_2: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="usage", daemon=True)

    def start(self) -> None:
        """Count from now on."""
        self._begun = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        self._thread.start()

    def stop(self, seconds: float) -> dict[str, Used]:
        """Return what each used in the `seconds` since the start."""
        spent = {name: cpu_seconds(pid) - self._begun[name] for name, pid in self._pids.items()}
        self._stop.set()
        self._thread.join()
        found = {}
        for name, cpu in spent.items():
            end = memory_mib(self._pids[name])
            peak = max(end, self._peak[name])
            found[name] = Used(
                round(cpu, 2), round(cpu / seconds, 3), round(peak, 1), round(end, 1), self._minute_2.get(name)
            )
        return found

    def _watch(self) -> None:
        begun = time.monotonic()
        while not self._stop.wait(EVERY_S):
            is_due = time.monotonic() - begun >= MINUTE_2_S
            for name, pid in self._pids.items():
                used = memory_mib(pid)
                self._peak[name] = max(self._peak[name], used)
                if is_due:
                    self._minute_2.setdefault(name, round(used, 1))


def cpu_seconds(pid: int) -> float:
    """What a process and its children, also those that have ended, have used of processors so far."""
    # user, system, and the same of children that were waited for
    return sum(sum(member.cpu_times()[:4]) for member in _family(pid))


def memory_mib(pid: int) -> float:
    """Resident memory of a process; of a family, each page once."""
    family = _family(pid)
    if len(family) == 1:
        return float(family[0].memory_info().rss) / 2**20
    total = 0
    for member in family:
        try:
            total += member.memory_full_info().pss
        except psutil.Error:
            continue  # it has just ended
    return total / 2**20


def _family(pid: int) -> list[psutil.Process]:
    oldest = psutil.Process(pid)
    return [oldest, *oldest.children(recursive=True)]
