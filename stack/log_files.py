"""Keep the log files of a stack bounded while their writers continue.

The servers and services write to an inherited file descriptor, which would follow a renamed file. So a log that is too
large is copied and then truncated. All writers append, so they continue at the beginning of the same file.
"""

import os
import shutil
from pathlib import Path

MAX_BYTES = 10 * 2**20
OLD_FILES = 4  # NAME.log.1, the newest, to NAME.log.4: with NAME.log at most 50 MiB for each process


def start_new(log: Path) -> None:
    """Rename a log, to which nothing may be writing, to NAME.log.1 and shift the older ones."""
    _keep(log, log)


def limit(folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move the content of each log of more than `max_bytes` to NAME.log.1, and shift the older ones.

    A line that is written between the end of the copy and the truncation, which take microseconds, is lost. On a full
    disk the log stays as it is until there is space for the copy.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size > max_bytes:
            _empty(log)


def _empty(log: Path) -> None:
    copied = log.with_name(f"{log.name}.copy")
    try:
        with log.open("rb") as source, copied.open("wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            while more := source.read():  # what came meanwhile
                target.write(more)
                target.flush()
            os.truncate(log, 0)
    except OSError:
        copied.unlink(missing_ok=True)
        return
    _keep(copied, log)


def _keep(content: Path, log: Path) -> None:
    """Make `content` the newest old file of `log`; the oldest one is replaced."""
    names = [log.with_name(f"{log.name}.{number}") for number in range(1, OLD_FILES + 1)]
    for newer, older in zip(reversed(names[:-1]), reversed(names[1:]), strict=True):
        if newer.exists():
            newer.replace(older)
    content.replace(names[0])
