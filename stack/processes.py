"""Processes that are not our children: found by pid and birth, asked to end, made to end.

What a killed supervisor left behind is stopped from here, and so is the supervisor itself by `down`.
"""

import signal
import subprocess
import time

import psutil

from stack.stack_dir import Running

CLOCK_SLACK = 1.0  # seconds; a birth is worked out from the boot time, which the kernel gives in whole seconds


def birth(pid: int) -> float:
    """When a process was made; 0 where it is gone already, and for pid 0."""
    try:
        return float(psutil.Process(pid).create_time()) if pid else 0.0
    except psutil.NoSuchProcess:
        return 0.0


def find(running: Running) -> psutil.Process | None:
    """The process, if it is alive and still the same one."""
    try:
        process = psutil.Process(running.pid)
        same = abs(process.create_time() - running.created) <= CLOCK_SLACK
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Signal a process that may belong to another user; one that is gone is no error."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass
    except psutil.AccessDenied:
        subprocess.run(["sudo", "-n", "--", "kill", f"-{number}", str(process.pid)], check=False)


def end(running: Running, number: signal.Signals, timeout: float) -> bool:
    """Signal it and wait until it is gone, with SIGKILL after `timeout`; False where it was gone before."""
    process = find(running)
    if process is None:
        return False
    send(process, number)
    if not _gone(running, timeout):
        send(process, signal.SIGKILL)
        _gone(running, timeout)
    return True


def _gone(running: Running, timeout: float) -> bool:
    # Not psutil's own waiting: an orphan that its new parent has not buried yet would count as alive.
    deadline = time.monotonic() + timeout
    while find(running) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
