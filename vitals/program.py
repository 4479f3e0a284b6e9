"""How the user of this process calls the command `vitalflow`, for messages that print a command to run."""

import shlex
import shutil
import sys
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
