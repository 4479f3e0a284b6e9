"""This process: how the user calls the command `vitalflow`, for messages that print one, and its open files."""

import resource
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path


def vitalflow_command() -> str:
    """Return `vitalflow`, or the path of it or of this Python if it is not on PATH; quoted for a shell."""
    python = Path(sys.executable)
    script = python.with_name("vitalflow")
    if script.exists() and shutil.which("vitalflow") == str(script):
        return "vitalflow"
    path = script if script.exists() else python
    here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.quote(str(here)) + ("" if script.exists() else " -m vitalflow")


def raise_open_files_limit() -> None:
    """Permit this process as many open files as the system does, for thousands of connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
