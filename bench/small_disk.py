"""A small file system below a database's folder, so that `chaos` can fill it without affecting anything else.

It lives in memory (tmpfs). To mount one takes root and may be refused, in a container for instance; then there is
none, and the caller reports it.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench.report import Log
from stack.binaries import ServerBinaries
from stack.servers import POSTGRES

SIZE_MIB = 1200  # a cluster is 60 MiB, its log up to 1 GiB before a checkpoint
PIECE = b"\0" * 2**20


class SmallDisk:
    """`fill` leaves not a byte of it; `empty` gives back what `fill` took."""

    def __init__(self, binaries: ServerBinaries, name: str) -> None:
        self._ballast = binaries.folder(name) / "ballast"

    def fill(self) -> None:
        """Write until the disk is full."""
        with self._ballast.open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(PIECE)
            except OSError:
                return  # no space left: that was the aim

    def empty(self) -> None:
        """Delete what was written."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(binaries: ServerBinaries, name: str, log: Log) -> Iterator[SmallDisk | None]:
    """Mount one as the folder `name` of PostgreSQL; None, and a sentence, where that is refused."""
    if os.geteuid() != 0:
        log("the database's disk is not filled: to mount a small one takes root")
        yield None
        return
    folder = binaries.new_folder(name, POSTGRES)
    owner = folder.stat()
    options = f"size={SIZE_MIB}m,mode=0750,uid={owner.st_uid},gid={owner.st_gid}"
    line = ["mount", "-t", "tmpfs", "-o", options, "vitalflow-bench", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        log(f"the database's disk is not filled: {done.stderr.strip()}")
        yield None
        return
    try:
        yield SmallDisk(binaries, name)
    finally:
        # Lazily: whatever still has a file open there must not keep the mount alive.
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
