"""Find and stop processes that are not children of this one, by process id and creation time.

`down` stops the supervisor with it, and the processes that a killed supervisor left running.
"""

import signal
import subprocess
import time

import psutil

from stack.stack_dir import Running

CLOCK_SLACK = 1.0  # seconds; psutil computes creation times from the boot time, which has whole seconds


def creation_time(pid: int) -> float:
    """Return when a process was created; 0 if it is gone, and for pid 0."""
    try:
        return float(psutil.Process(pid).create_time()) if pid else 0.0
    except psutil.NoSuchProcess:
        return 0.0


def find(running: Running) -> psutil.Process | None:
    """Return the process if it is alive and the same one; its pid may have been reused."""
    try:
        process = psutil.Process(running.pid)
        same = abs(process.create_time() - running.created) <= CLOCK_SLACK
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that it has started, parents first; raises psutil.NoSuchProcess."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Signal a process, which may belong to another user or be gone."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass
    except psutil.AccessDenied:
        subprocess.run(["sudo", "-n", "--", "kill", f"-{number}", str(process.pid)], check=False)


def end(running: Running, number: signal.Signals, timeout: float) -> bool:
    """Signal a process and wait until it is gone, with SIGKILL after `timeout`; False if it was gone already."""
    process = find(running)
    if process is None:
        return False
    send(process, number)
    if not _gone(running, timeout):
        send(process, signal.SIGKILL)
        _gone(running, timeout)
    return True


def _gone(running: Running, timeout: float) -> bool:
    # Not psutil's wait: an orphan that its new parent has not reaped yet would count as alive.
    deadline = time.monotonic() + timeout
    while find(running) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
