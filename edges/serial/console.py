"""Recognise a port that is a login console or a shell, which is left alone. Pure."""

import re
from pathlib import Path

_SHOWN = re.compile(
    rb"(?im)^(?:[\w.-]+ )?login: *(?:$|\S)|^password: *$|^last login: |^login incorrect"
    rb"|^\[?[a-z_][\w.-]*@[\w.-]+[: ][^\r\n]{0,80}[#$] "
    rb"|hit any key to stop autoboot"
)
_ACTIVE = Path("/sys/class/tty/console/active")


def find_console(seen: bytes) -> str:
    """Return what shows that bytes are those of a login console; empty if nothing does."""
    found = _SHOWN.search(seen.replace(b"\r", b"\n"))
    return found[0].decode("ascii", "replace").strip()[:40] if found else ""


def is_console_of_system(port: Path, active: Path = _ACTIVE) -> bool:
    """Whether a port is a console of this machine."""
    try:
        names = active.read_text().split()
    except OSError:
        return False
    return port.resolve() in {Path("/dev") / name for name in names}
