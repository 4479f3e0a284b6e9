"""Put a restored stack in the place of the old one, so that a crash at any moment leaves one of both.

A restore fills a second data folder and the folder `restored`, and then writes the file `restored/complete`. Before
that an interrupted restore is deleted; after it, its steps are repeated until all are done.
"""

import os
import shutil
import subprocess
from pathlib import Path

from stack.binaries import ServerBinaries
from stack.stack_dir import INBOX_FILE, SITE_FILE, StackDir

FILES = ("secrets.json", "settings.env", SITE_FILE, INBOX_FILE)
"""What a restore writes into `files` besides the folder `identity`."""


class Replacement:
    """The restored stack beside the one in `home`.

    data    the name of its data folder
    files   its CA, passwords and settings
    """

    def __init__(self, home: StackDir, binaries: ServerBinaries) -> None:
        self.data = f"{home.data}-restored"
        self.files = home.folder / "restored"
        self._complete = self.files / "complete"
        self._home = home
        self._binaries = binaries

    @property
    def identity(self) -> Path:
        """Its CA, certificates, and passwords of simulated devices."""
        return self.files / "identity"

    def discard(self) -> None:
        """Delete it."""
        self._complete.unlink(missing_ok=True)
        if self._binaries.folder(self.data).exists():
            self._binaries.remove(self._binaries.folder(self.data))
        shutil.rmtree(self.files, ignore_errors=True)

    def commit(self) -> None:
        """Declare it complete and put it in the place of the old stack."""
        os.sync()
        self._complete.touch()
        os.sync()
        self.finish()

    def finish(self) -> bool:
        """Repeat what `commit` has not finished and return True; delete an incomplete one and return False."""
        if not self._complete.exists():
            self.discard()
            return False
        new, old = (self._binaries.folder(name) for name in (self.data, self._home.data))
        if new.exists():
            self._binaries.remove(old)
            inside = [self._binaries.path_inside(folder) for folder in (new, old)]
            subprocess.run(self._binaries.command(None, "mv", "-T", *inside), check=True)
        if self.identity.exists():
            shutil.rmtree(self._home.identity, ignore_errors=True)
            self.identity.rename(self._home.identity)
        for name in FILES:
            if (self.files / name).exists():
                for log in ("-wal", "-shm"):  # of the inbox that is replaced; SQLite would apply it to the new one
                    (self._home.folder / f"{name}{log}").unlink(missing_ok=True)
                (self.files / name).replace(self._home.folder / name)
        self.discard()
        return True
