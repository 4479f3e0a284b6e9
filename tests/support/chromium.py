"""A Chromium for the tests of the station: the machine's own, or Debian's, which `make test` installs where it is
missing. `python -m tests.support.chromium` does that.
"""

import os
import shutil
import subprocess
import sys

from stack.binaries import need_root
from vitals.errors import PermanentError, exit_on_error

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ("chromium", "fonts-dejavu-core")
SETTING = "VITALFLOW_TEST_CHROMIUM"


def find() -> str:
    """Its path; raises PermanentError that says how to get one."""
    own = os.environ.get(SETTING)
    if own:
        return own
    for name in NAMES:
        path = shutil.which(name)
        if path is not None and _answers(path):
            return path
    raise PermanentError(f"there is no Chromium here; `apt-get install chromium`, or say in {SETTING} where one is")


def version(path: str) -> str:
    """What it calls itself."""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip()


def _answers(path: str) -> bool:
    # Ubuntu's package is a stub that only says that it wants snap.
    return "Chrom" in version(path)


def install() -> str:
    """Debian's, where there is none; raises PermanentError where it cannot be had."""
    try:
        return find()
    except PermanentError:
        pass
    sys.stdout.write("browser: installing Debian's chromium, for the tests\n")
    need_root()
    root = [] if os.geteuid() == 0 else ["sudo", "-n", "--"]
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    for line in ([*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PermanentError(f"{' '.join(line)} ended with {done.returncode}:\n{done.stderr.strip()[-600:]}")
    return find()


if __name__ == "__main__":
    with exit_on_error("vitalflow tests"):
        install()
