"""Where the server programs come from: the machine itself, or a private Debian 13 below .stack/debian.

The private Debian is a plain folder that programs are started in with chroot. Nothing is mounted, so nothing can be
left mounted: data folders lie inside it, below /srv, and deleting the folder deletes everything.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitals.errors import PermanentError

CHECKOUT = Path(__file__).resolve().parent.parent
STACK = CHECKOUT / ".stack"
DEBIAN = STACK / "debian"
SUITE = "trixie"
PACKAGES = ("mosquitto", "mosquitto-clients", "postgresql-17", "postgresql-17-timescaledb")

# Below these the measured facts do not hold: Mosquitto before 2.0.20 does not keep its window, TimescaleDB up
# to 2.17.2 can lose rows beside a conflict in a compressed chunk (timescaledb#7672).
LEAST_MOSQUITTO = (2, 0, 20)
LEAST_POSTGRESQL = 16
LEAST_TIMESCALEDB = (2, 18)

Emit = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ServerBinaries:
    """A set of server programs. `root` is the folder they see as `/`, or None for the machine's own."""

    root: Path | None
    mosquitto: str
    mosquitto_sub: str
    dynamic_security: str  # Mosquitto's plugin
    postgresql: str  # the folder of initdb and postgres

    def command(self, user: str | None, program: str, *arguments: str) -> list[str]:
        """The command line that runs `program` as `user` (None: as root in a private Debian, else as we are)."""
        line = [program, *arguments]
        if self.root is not None:
            who = [] if user is None else [f"--userspec={user}:{user}"]
            return [*_as_root(), "chroot", *who, str(self.root), *line]
        if user is not None and os.geteuid() == 0:
            return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *line]
        return line

    def path_inside(self, path: Path) -> str:
        """The name that the programs know `path` by."""
        return str(path if self.root is None else Path("/") / path.relative_to(self.root))

    def folder(self, name: str) -> Path:
        """Where the data called `name` lies, or would lie."""
        return (STACK if self.root is None else self.root) / "srv" / name

    def new_folder(self, name: str, user: str) -> Path:
        """A folder that `user` owns, for a server's data; made if it is not there."""
        folder = self.folder(name)
        if not folder.is_dir():
            made = ["install", "-d", "-m", "0750"]
            owner = [] if self.root is None and os.geteuid() != 0 else ["-o", user, "-g", user]
            inside = self.path_inside(folder)
            subprocess.run([*self.command(None, "mkdir", "-p", str(Path(inside).parent))], check=True)
            subprocess.run([*self.command(None, *made, *owner, inside)], check=True)
        return folder

    def write(self, path: Path, text: str, user: str) -> None:
        """Write a file that `user` can read and others cannot."""
        inside = self.path_inside(path)
        line = self.command(user, "sh", "-c", 'umask 077; cat > "$0"', inside)
        subprocess.run(line, input=text.encode(), check=True)

    def remove(self, folder: Path) -> None:
        """Delete a data folder; only one that `new_folder` could have made."""
        if self.folder("") not in folder.parents:
            raise ValueError(f"{folder} is not below {self.folder('')}")
        subprocess.run(self.command(None, "rm", "-rf", self.path_inside(folder)), check=True)


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n", "--"]


def find() -> ServerBinaries:
    """The programs to use; raises PermanentError that says how to get them where there are none."""
    own = _system_binaries()
    if own is not None:
        return own
    if (DEBIAN / "etc/vitalflow-ready").exists():
        bin_folder = "/usr/lib/postgresql/17/bin"
        plugin = _plugin(DEBIAN)
        if plugin is not None:
            return ServerBinaries(DEBIAN, "/usr/sbin/mosquitto", "/usr/bin/mosquitto_sub", plugin, bin_folder)
    raise PermanentError(
        "no recent Mosquitto and PostgreSQL with TimescaleDB here yet: run `vitalflow dev setup` first"
    )


def _system_binaries() -> ServerBinaries | None:
    """The machine's own programs, where they are recent enough and all there."""
    mosquitto, sub = shutil.which("mosquitto", path=_wide_path()), shutil.which("mosquitto_sub")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    plugin = _plugin(Path("/"))
    if mosquitto is None or sub is None or plugin is None or not folders or _version(mosquitto, "-h") < LEAST_MOSQUITTO:
        return None
    for folder in folders:
        control = Path(f"/usr/share/postgresql/{folder.parent.name}/extension/timescaledb.control")
        if int(folder.parent.name) < LEAST_POSTGRESQL or not control.exists():
            continue
        found = re.search(r"default_version\s*=\s*'(\d+)\.(\d+)", control.read_text())
        if found and tuple(map(int, found.groups())) >= LEAST_TIMESCALEDB:
            return ServerBinaries(None, mosquitto, sub, plugin, str(folder))
    return None


def _plugin(root: Path) -> str | None:
    """Mosquitto's plugin for users and rights, as seen from inside; Debian has it in a folder named by the machine."""
    found = sorted(root.glob("usr/lib/**/mosquitto_dynamic_security.so"))
    return f"/{found[0].relative_to(root)}" if found else None


def _wide_path() -> str:
    # Debian keeps mosquitto in /usr/sbin, which is not on an ordinary user's PATH.
    return os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def _version(program: str, flag: str) -> tuple[int, ...]:
    told = subprocess.run([program, flag], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", told)
    return tuple(map(int, found.groups())) if found else (0,)


def set_up(emit: Emit) -> ServerBinaries:
    """Make sure that there are programs to use.

    1. The machine's own are taken where they are recent enough.
    2. Else debootstrap is installed where it is missing.
    3. A Debian 13 is made below .stack/debian, without anything that starts by itself.
    4. The servers are installed in it, and a mark says that all of it went well; without the mark the next
       call starts again from nothing.
    """
    try:
        binaries = find()
    except PermanentError:
        pass
    else:
        emit(f"servers: {binaries.root or 'the machine’s own'} (already there)")
        return binaries
    need_root()
    if shutil.which("debootstrap", path=_wide_path()) is None:
        emit("servers: installing debootstrap")
        _run([*_as_root(), "apt-get", "update", "-qq"], "apt-get update")
        wanted = ["debootstrap", "debian-archive-keyring"]
        line = [*_as_root(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq"]
        _run([*line, "--no-install-recommends", *wanted], "apt-get install debootstrap")
    emit("servers: making a private Debian 13 below .stack/debian (about half a minute)")
    STACK.mkdir(exist_ok=True)
    subprocess.run([*_as_root(), "rm", "-rf", str(DEBIAN)], check=True)
    _run([*_as_root(), "debootstrap", "--variant=minbase", SUITE, str(DEBIAN)], "debootstrap")
    emit("servers: installing Mosquitto, PostgreSQL 17 and TimescaleDB in it")
    _run([*_as_root(), "chroot", str(DEBIAN), "sh", "-euc", _INSTALL, "install", *PACKAGES], "installing the servers")
    return find()


# policy-rc.d: no service starts by itself. createcluster.conf: no database cluster is made that nobody uses.
_INSTALL = """
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
mkdir -p /etc/postgresql-common; echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@"
apt-get clean
touch /etc/vitalflow-ready
"""


def need_root() -> None:
    """Raise PermanentError where we are neither root nor allowed to become it without being asked.

    Without being asked, because servers are started and stopped in the background, where nobody can type a password.
    """
    if os.geteuid() == 0:
        return
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return
    raise PermanentError(
        "the private servers need root, or a sudo that asks for no password; put `sudo` before the command"
    )


def _run(line: Sequence[str], what: str) -> None:
    """Run a step whose output only matters when it fails."""
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise PermanentError(f"{what} ended with exit code {done.returncode}; its last lines were:\n{tail}")
