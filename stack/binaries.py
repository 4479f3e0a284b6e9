"""Find or install the server programs: the machine's own, or a private Debian 13 below .stack/debian.

The private Debian is a plain folder in which programs are started with chroot. Nothing is mounted, so nothing can stay
mounted: data folders lie inside it, below /srv, and deleting the folder deletes everything.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitals.errors import PermanentError

CHECKOUT = Path(__file__).resolve().parent.parent
# An installation from a wheel has no checkout; it keeps the stack in the current folder.
STACK = (CHECKOUT if (CHECKOUT / "pyproject.toml").exists() else Path.cwd()) / ".stack"
DEBIAN = STACK / "debian"
SUITE = "trixie"
PACKAGES = ("mosquitto", "mosquitto-clients", "postgresql-17", "postgresql-17-timescaledb")
CLUSTER_PACKAGES = ("patroni", "python3-etcd", "etcd-server", "haproxy")
"""What a cluster needs beside PACKAGES; installed on demand."""

# Mosquitto before 2.0.20 exceeds its in-flight window; TimescaleDB up to 2.17.2 can lose rows next to a conflict in a
# compressed chunk (timescaledb#7672).
MIN_MOSQUITTO = (2, 0, 20)
MIN_POSTGRESQL = 16
MIN_TIMESCALEDB = (2, 18)

Emit = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ServerBinaries:
    """A set of server programs. `root` is the folder that is `/` for them; None for the machine's own."""

    root: Path | None
    mosquitto: str
    mosquitto_sub: str
    dynamic_security: str  # Mosquitto's plugin
    postgresql: str  # the folder of initdb and postgres

    def command(self, user: str | None, program: str, *arguments: str) -> list[str]:
        """Return the command line of `program` as `user`; None: as root in a private Debian, else as this user."""
        line = [program, *arguments]
        if self.root is not None:
            userspec = [] if user is None else [f"--userspec={user}:{user}"]
            return [*as_root(), "chroot", *userspec, str(self.root), *line]
        if user is not None and os.geteuid() == 0:
            return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *line]
        return line

    def path_inside(self, path: Path) -> str:
        """Return `path` as the programs see it."""
        return str(path if self.root is None else Path("/") / path.relative_to(self.root))

    def folder(self, name: str) -> Path:
        """Return the data folder called `name`, which need not exist."""
        return (STACK if self.root is None else self.root) / "srv" / name

    def new_folder(self, name: str, user: str) -> Path:
        """Return a data folder that `user` owns; create it if it is missing."""
        folder = self.folder(name)
        if not folder.is_dir():
            install = ["install", "-d", "-m", "0750"]
            owner = [] if self.root is None and os.geteuid() != 0 else ["-o", user, "-g", user]
            inside = self.path_inside(folder)
            subprocess.run([*self.command(None, "mkdir", "-p", str(Path(inside).parent))], check=True)
            subprocess.run([*self.command(None, *install, *owner, inside)], check=True)
        return folder

    def write(self, path: Path, text: str, user: str) -> None:
        """Write a file that only `user` can read."""
        inside = self.path_inside(path)
        line = self.command(user, "sh", "-c", 'umask 077; cat > "$0"', inside)
        subprocess.run(line, input=text.encode(), check=True)

    def read(self, path: Path, user: str) -> bytes:
        """Return the content of a file, as the user who owns it; empty if it is missing."""
        return subprocess.run(self.reading(path, user), capture_output=True, check=True).stdout

    def reading(self, path: Path, user: str) -> list[str]:
        """Return the command line that prints a file, or nothing if it is missing."""
        return self.command(user, "sh", "-c", '[ ! -e "$0" ] || cat "$0"', self.path_inside(path))

    def has_content(self, path: Path, user: str) -> bool:
        """Return whether a file exists and is not empty; an ordinary user may not read its folder."""
        return subprocess.run(self.command(user, "test", "-s", self.path_inside(path)), check=False).returncode == 0

    def remove(self, folder: Path) -> None:
        """Delete a data folder; raises ValueError for any other path."""
        if self.folder("") not in folder.parents:
            raise ValueError(f"{folder} is not below {self.folder('')}")
        subprocess.run(self.command(None, "rm", "-rf", self.path_inside(folder)), check=True)


def as_root() -> list[str]:
    """Return what a command line needs before it to run as root."""
    return [] if os.geteuid() == 0 else ["sudo", "-n", "--"]


def find() -> ServerBinaries:
    """Return the programs to use; raises PermanentError if there are none."""
    own = _system_binaries()
    if own is not None:
        return own
    private = _private_binaries()
    if private is not None:
        return private
    raise PermanentError("Mosquitto and PostgreSQL with TimescaleDB are missing or too old: run `vitalflow dev setup`")


def _private_binaries() -> ServerBinaries | None:
    """Return the programs of the private Debian, if it is complete."""
    plugin = _plugin(DEBIAN)
    if plugin is None or not _has(READY):
        return None
    bin_folder = "/usr/lib/postgresql/17/bin"
    return ServerBinaries(DEBIAN, "/usr/sbin/mosquitto", "/usr/bin/mosquitto_sub", plugin, bin_folder)


def _system_binaries() -> ServerBinaries | None:
    """Return the machine's own programs, if they are complete and recent enough."""
    mosquitto, sub = shutil.which("mosquitto", path=_wide_path()), shutil.which("mosquitto_sub")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    plugin = _plugin(Path("/"))
    if mosquitto is None or sub is None or plugin is None or not folders or _version(mosquitto, "-h") < MIN_MOSQUITTO:
        return None
    for folder in folders:
        control = Path(f"/usr/share/postgresql/{folder.parent.name}/extension/timescaledb.control")
        if int(folder.parent.name) < MIN_POSTGRESQL or not control.exists():
            continue
        found = re.search(r"default_version\s*=\s*'(\d+)\.(\d+)", control.read_text())
        if found and tuple(map(int, found.groups())) >= MIN_TIMESCALEDB:
            return ServerBinaries(None, mosquitto, sub, plugin, str(folder))
    return None


def _plugin(root: Path) -> str | None:
    """Return the path of Mosquitto's security plugin inside `root`; Debian's folder depends on the architecture."""
    found = sorted(root.glob("usr/lib/**/mosquitto_dynamic_security.so"))
    return f"/{found[0].relative_to(root)}" if found else None


def _wide_path() -> str:
    # Debian keeps mosquitto in /usr/sbin, which is not on an ordinary user's PATH.
    return os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def _version(program: str, flag: str) -> tuple[int, ...]:
    output = subprocess.run([program, flag], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", output)
    return tuple(map(int, found.groups())) if found else (0,)


def set_up(emit: Emit) -> ServerBinaries:
    """Return the server programs; install them if necessary.

    1. Use the machine's own if they are recent enough.
    2. Else install debootstrap if it is missing.
    3. Create a Debian 13 below .stack/debian, in which no service starts by itself.
    4. Install the servers in it. A marker file is written last; without it the next call starts over.
    """
    try:
        binaries = find()
    except PermanentError:
        pass
    else:
        emit(f"servers: {binaries.root or 'the machine’s own'} (already installed)")
        return binaries
    _create_private_debian(emit)
    return find()


def set_up_cluster(emit: Emit) -> ServerBinaries:
    """Return the private Debian's programs, with those of a cluster; install what is missing.

    A cluster never uses the machine's own servers: Patroni needs its PostgreSQL, and data folders of two hosts.
    """
    need_root()
    private = _private_binaries()
    if private is None:
        _create_private_debian(emit)
        private = _private_binaries()
        assert private is not None
    if not _has(CLUSTER_READY):
        with (STACK / "cluster-setup.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run at once; apt waits for no other one
            if not _has(CLUSTER_READY):
                emit("servers: installing Patroni, etcd and HAProxy in .stack/debian (about half a minute, once)")
                _install(_INSTALL, CLUSTER_READY, CLUSTER_PACKAGES)
    return private


def _create_private_debian(emit: Emit) -> None:
    need_root()
    if shutil.which("debootstrap", path=_wide_path()) is None:
        emit("servers: installing debootstrap")
        _run([*as_root(), "apt-get", "update", "-qq"], "apt-get update")
        wanted = ["debootstrap", "debian-archive-keyring"]
        line = [*as_root(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq"]
        _run([*line, "--no-install-recommends", *wanted], "apt-get install debootstrap")
    emit("servers: creating a private Debian 13 below .stack/debian (about half a minute)")
    STACK.mkdir(exist_ok=True)
    subprocess.run([*as_root(), "rm", "-rf", str(DEBIAN)], check=True)
    _run([*as_root(), "debootstrap", "--variant=minbase", SUITE, str(DEBIAN)], "debootstrap")
    emit("servers: installing Mosquitto, PostgreSQL 17 and TimescaleDB in it")
    _install(_PREPARE + _INSTALL, READY, PACKAGES)


def _install(script: str, mark: str, packages: Sequence[str]) -> None:
    _run([*as_root(), "chroot", str(DEBIAN), "sh", "-euc", script, mark, *packages], "installing the servers")


def _has(mark: str) -> bool:
    return (DEBIAN / mark.removeprefix("/")).exists()


# policy-rc.d: no service starts by itself. createcluster.conf: no unused database cluster is created.
_PREPARE = """
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
mkdir -p /etc/postgresql-common; echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
"""
_INSTALL = """
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@"
apt-get clean
touch "$0"
"""
READY, CLUSTER_READY = "/etc/vitalflow-ready", "/etc/vitalflow-cluster-ready"
"""Written last, inside the private Debian: PACKAGES are installed, and CLUSTER_PACKAGES."""


def need_root() -> None:
    """Raise PermanentError unless this process is root or sudo needs no password.

    Servers are started and stopped in the background, where no password can be typed.
    """
    if os.geteuid() == 0:
        return
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return
    raise PermanentError(
        "the private servers need root, or a sudo that needs no password; put `sudo` before the command"
    )


def _run(line: Sequence[str], what: str) -> None:
    """Run a step; show the end of its output only if it fails."""
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise PermanentError(f"{what} ended with exit code {done.returncode}; its last lines were:\n{tail}")
