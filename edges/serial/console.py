"""Recognise a port that is a login console or a shell, which is left alone."""

import os
import re
import stat
from pathlib import Path

_SHOWN = re.compile(
    rb"(?im)^(?:[\w.-]+ )?login: *$|^password: *$|^last login: |^login incorrect"
    rb"|^\[?[a-z_][\w.-]*@[\w.-]+[: ][^\r\n]{0,80}[#$] "
    rb"|hit any key to stop autoboot"
)
_ACTIVE = Path("/sys/class/tty/console/active")


def find_console(seen: bytes) -> str:
    """Return what shows that bytes are those of a login console; empty if nothing does."""
    found = _SHOWN.search(seen.replace(b"\r", b"\n"))
    return found[0].decode("ascii", "replace").strip()[:40] if found else ""


def find_terminal_owner(port: Path) -> str:
    """Return the name of a process whose terminal a port is, such as agetty; empty without one."""
    try:
        found = port.stat()
    except OSError:
        return ""
    if not stat.S_ISCHR(found.st_mode):
        return ""
    major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    terminal = str((minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12)  # as proc(5) states it
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            begin, _, rest = file.read_text(errors="replace").rpartition(")")
        except OSError:  # it has ended
            continue
        if rest.split()[4:5] == [terminal]:
            return begin.partition("(")[2]
    return ""


def is_console_of_system(port: Path) -> bool:
    """Whether a port is a console of this machine."""
    try:
        names = _ACTIVE.read_text().split()
    except OSError:
        return False
    return port.resolve() in {Path("/dev") / name for name in names}
