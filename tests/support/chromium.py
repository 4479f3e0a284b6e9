"""A Chromium for the tests of the station: Debian's headless one, which `make test` installs, or the machine's own.

The headless one has the same engine without the windows, which cost twice as much processor time as the pages.
`python -m tests.support.chromium` installs it.
"""

import os
import shutil
import subprocess
import sys

from stack.binaries import need_root
from vitals.errors import PermanentError, exit_on_error

HEADLESS = "chromium-headless-shell"
NAMES = (HEADLESS, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = (HEADLESS, "fonts-dejavu-core")
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
    raise PermanentError(f"there is no Chromium here; `apt-get install {HEADLESS}`, or say in {SETTING} where one is")


def version(path: str) -> str:
    """What it calls itself."""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip()


def _answers(path: str) -> bool:
    # Ubuntu's package is a stub that only says that it wants snap.
    return "Chrom" in version(path)


def install() -> str:
    """Return the path of the headless one, installed from Debian where it is missing.

    Where it cannot be had, the machine's own will do; raises PermanentError where there is none.
    """
    if not os.environ.get(SETTING) and shutil.which(HEADLESS) is None and shutil.which("apt-get"):
        sys.stdout.write(f"browser: installing Debian's {HEADLESS}, for the tests\n")
        try:
            _install()
        except PermanentError as error:
            sys.stdout.write(f"browser: {error}\n")
    return find()


def _install() -> None:
    need_root()
    root = [] if os.geteuid() == 0 else ["sudo", "-n", "--"]
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    for line in ([*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PermanentError(f"{' '.join(line)} ended with {done.returncode}:\n{done.stderr.strip()[-600:]}")


if __name__ == "__main__":
    with exit_on_error("vitalflow tests"):
        install()
