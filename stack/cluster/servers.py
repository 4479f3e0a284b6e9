"""etcd, Patroni with its PostgreSQL, and HAProxy as child processes."""

import base64
import json
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from identity.authority import CertificateAuthority
from identity.failback import Proxy
from identity.policy import OPERATOR
from stack.binaries import ServerBinaries, as_root
from stack.cluster.configuration import ADMIN_SOCKET, PATRONI_USER, DatabaseHost, Passwords, etcd, haproxy, patroni
from stack.cluster.plan import FULL_HOSTS, HOSTS, ClusterPorts, HostPorts, process_name
from stack.processes import family, send
from stack.servers import POSTGRES, DatabaseCertificate, Server, listens
from stack.stack_dir import Secrets, StackDir
from vitals.errors import TransientError

ETCD, HAPROXY = "etcd", "haproxy"  # the system users, and the names of the processes
PATRONI = "patroni"
REST_TIMEOUT_S = 2.0
ORDER_TIMEOUT_S = 60.0

# Patroni needs /proc, and semaphores in /dev/shm: without them a standby is never promoted. Both are mounted in a mount
# namespace, so that nothing stays mounted. It is the first process of a PID namespace: when it ends, the kernel kills
# PostgreSQL too, as when a host dies.
_ENTER = """
mount -t proc proc "$0/proc"
mount -t tmpfs -o mode=1777 tmpfs "$0/dev/shm"
export HOME="${2%/*}"
exec chroot --userspec="$1:$1" "$0" /usr/bin/patroni "$2"
"""


class EtcdServer(Server):
    """An etcd of a host."""

    def __init__(self, home: StackDir, binaries: ServerBinaries, ports: ClusterPorts, host: str) -> None:
        own = ports.of(host)
        folder = binaries.new_folder(f"{home.data}/{host}/etcd", ETCD)
        peers = {name: ports.of(name).etcd_peer for name in HOSTS}
        arguments = etcd(host, binaries.path_inside(folder), own.etcd, own.etcd_peer, peers)
        line = binaries.command(ETCD, "/usr/bin/etcd", *arguments)
        name = process_name(ETCD, host)
        # Ready once it listens; it serves once two of the three are started.
        super().__init__(name, line, home.log(name), lambda: listens(own.etcd_peer))


class HAProxyServer(Server):
    """The HAProxy of the common address."""

    def __init__(self, home: StackDir, binaries: ServerBinaries, ports: ClusterPorts, secrets: Secrets) -> None:
        folder = binaries.new_folder(f"{home.data}/{HAPROXY}", HAPROXY)
        hosts = [database_host(home, binaries, host, ports.of(host)) for host in FULL_HOSTS]
        login = (OPERATOR, secrets.broker[OPERATOR])
        text = haproxy(ports, hosts, binaries.path_inside(folder), login)
        certificate = CertificateAuthority(home.identity).ca_certificate.read_text()
        binaries.write(folder / "ca.crt", certificate, HAPROXY)
        binaries.write(folder / "haproxy.cfg", text, HAPROXY)
        file = binaries.path_inside(folder / "haproxy.cfg")
        line = binaries.command(HAPROXY, "/usr/sbin/haproxy", "-db", "-f", file)
        super().__init__(HAPROXY, line, home.log(HAPROXY), lambda: listens(ports.broker))


class PatroniServer(Server):
    """Patroni of a host. It creates PostgreSQL's data, or copies the primary's, and runs PostgreSQL."""

    def __init__(
        self, home: StackDir, binaries: ServerBinaries, ports: ClusterPorts, host: str, secrets: Secrets
    ) -> None:
        own = ports.of(host)
        self.rest_port = own.patroni
        folder = binaries.new_folder(database_folder(home, host), POSTGRES)
        self._authority = CertificateAuthority(home.identity)
        self._certificate = DatabaseCertificate(binaries, folder, self._authority)
        self._binaries, self._folder = binaries, folder
        passwords = Passwords(secrets.owner, secrets.replication, secrets.patroni)
        etcd_ports = [ports.of(name).etcd for name in HOSTS]
        text = patroni(database_host(home, binaries, host, own), etcd_ports, binaries.postgresql, passwords)
        binaries.write(folder / "patroni.yml", text, POSTGRES)
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", _ENTER]
        root = str(binaries.root)
        line = [*as_root(), *unshare, root, POSTGRES, binaries.path_inside(folder / "patroni.yml")]
        name = process_name(PATRONI, host)
        super().__init__(name, line, home.log(name), self._serves)

    def launch(self) -> None:
        """Install its certificate, then start it without waiting."""
        self._certificate.install()
        self._binaries.write(self._folder / "ca.crt", self._authority.ca_certificate.read_text(), POSTGRES)
        super().launch()

    @property
    def pid(self) -> int:
        """The process id of Patroni, not of the `unshare` that started it."""
        process = psutil.Process(super().pid)
        if process.name() == "unshare" and (children := process.children()):
            process = children[0]
        return process.pid

    def signal(self, number: int) -> None:
        """Send a signal to Patroni, unless it has ended."""
        if self.process is not None and self.process.poll() is None:
            send(psutil.Process(self.pid), signal.Signals(number))

    def renewal_check_due(self, now: float) -> bool:
        """Return whether to call `rotate_certificates`; `now` is monotonic."""
        return self._certificate.check_due(now)

    def rotate_certificates(self) -> bool:
        """Rotate a due certificate and reload without dropping connections. Returns True if it changed."""
        if not self._certificate.install():
            return False
        for process in family(self.pid):
            if process.name() == "postgres" and process.ppid() == self.pid:
                send(process, signal.SIGHUP)
        return True

    def _serves(self) -> bool:
        status = rest(self.rest_port, "patroni")
        return status is not None and status.get("state") == "running"


def proxy(home: StackDir, binaries: ServerBinaries) -> Proxy:
    """Return the runtime socket of HAProxy, which root may use."""
    return Proxy(binaries.folder(f"{home.data}/{HAPROXY}") / ADMIN_SOCKET)


def database_folder(home: StackDir, host: str) -> str:
    """Return the name of the data folder of a host's database."""
    return f"{home.data}/{host}/database"


def database_host(home: StackDir, binaries: ServerBinaries, host: str, ports: HostPorts) -> DatabaseHost:
    """Return what the configuration of Patroni and HAProxy needs of a host."""
    folder: Path = binaries.folder(database_folder(home, host))
    return DatabaseHost(host, binaries.path_inside(folder), ports.own_database, ports.patroni)


def switch_over(ports: ClusterPorts, secrets: Secrets) -> None:
    """Have Patroni give the primary's role to the standby; raises TransientError if it refuses."""
    answers = {host: rest(ports.of(host).patroni, "patroni") or {} for host in FULL_HOSTS}
    leader = next((host for host, answer in answers.items() if answer.get("role") == "primary"), None)
    if leader is None:
        raise TransientError("no database is the primary")
    _order(ports.of(leader), secrets, "switchover", {"leader": leader})


def reinitialize(ports: ClusterPorts, secrets: Secrets, host: str) -> None:
    """Have Patroni delete a standby's data and copy the primary's; raises TransientError if it refuses."""
    _order(ports.of(host), secrets, "reinitialize", {"force": True})


def _order(ports: HostPorts, secrets: Secrets, path: str, body: dict[str, object]) -> None:
    login = base64.b64encode(f"{PATRONI_USER}:{secrets.patroni}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{ports.patroni}/{path}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=ORDER_TIMEOUT_S):
            pass
    except urllib.error.HTTPError as error:
        raise TransientError(f"Patroni refuses {path}: {error.read().decode(errors='replace')}") from None
    except OSError as error:
        raise TransientError(f"Patroni does not answer to {path}: {error}") from None


def rest(port: int, path: str) -> dict[str, Any] | None:
    """Return an answer of Patroni's REST API; None if there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=REST_TIMEOUT_S) as page:
            found = json.load(page)
    except urllib.error.HTTPError as error:  # 503: it runs no database at the moment, with the reason in the body
        try:
            found = json.load(error)
        except ValueError:
            return None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
