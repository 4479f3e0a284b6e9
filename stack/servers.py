"""A broker and a database as child processes: start, wait until ready, stop, kill.

The stack runs one of each on fixed ports; tests run theirs on free ports and kill them on purpose.
"""

import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import psutil
import psycopg

from identity.authority import CertificateAuthority
from identity.ca import KeyPair
from stack.binaries import CHECKOUT, ServerBinaries
from stack.broker_access import MOSQUITTO, BrokerAccess, Listeners, configuration
from stack.lan import LOOPBACK
from stack.metrics import counter
from vitals.errors import PermanentError, TransientError

START_TIMEOUT_S = 30.0  # crash recovery of a busy database takes a few seconds
STOP_TIMEOUT_S = 20.0  # Mosquitto writes its whole store, PostgreSQL a checkpoint
RENEWAL_CHECK_S = 300.0  # between two checks whether a certificate is due
SETTLED_S = 1.0  # a program that rejects its settings has ended by then
POSTGRES = "postgres"  # the system user
OWNER = "vitalflow"  # the database's owner, and its name
DATABASE_NAMES = ("localhost", "127.0.0.1", "::1")  # host names of its certificate
# A client without encryption matches no line, so it is rejected before it can send a password.
ENCRYPTED_ONLY = """\
hostssl all all 127.0.0.1/32 scram-sha-256
hostssl all all ::1/128 scram-sha-256
"""

SETTINGS = {
    "unix_socket_directories": "",
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    "dynamic_shared_memory_type": "mmap",  # a private Debian has no /dev/shm of its own
    "password_encryption": "scram-sha-256",
    "max_connections": "50",
    # The values of docker-compose.yml, with their reasons.
    "timescaledb.max_background_workers": "8",
    "max_worker_processes": "19",
    "max_locks_per_transaction": "512",
}
"""Settings of postgresql.conf that every local database has."""


FREE_PORTS = range(10_000, 32_000)
"""Below 32768: Linux assigns the ports above to outgoing connections, which could take one before a server starts."""
_returned_ports: set[int] = set()


def free_port() -> int:
    """Return a port on 127.0.0.1 that is free at the moment; no port twice, since its server starts later."""
    if 2 * len(_returned_ports) > len(FREE_PORTS):
        _returned_ports.clear()
    for _ in range(1000):
        port = secrets.choice(FREE_PORTS)
        if port in _returned_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _returned_ports.add(port)
        return port
    raise TransientError(f"no free port between {FREE_PORTS[0]} and {FREE_PORTS[-1]}")


def port_in_use(port: int, address: str = LOOPBACK) -> bool:
    """Return whether a server cannot bind the port at this address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port in TIME_WAIT is free
        try:
            probe.bind((address, port))
        except OSError:
            return True
        return False


class Server:
    """A child process with a log file."""

    def __init__(
        self,
        name: str,
        line: list[str],
        log: Path,
        ready: Callable[[], bool],
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.line = line
        self.log = log
        self.ready = ready
        self.environ = environ
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it without waiting."""
        with self.log.open("ab") as log:
            # A session of its own, so that Ctrl-C in the terminal reaches only this process, which stops all in order.
            self.process = subprocess.Popen(
                self.line,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environ,
                cwd=CHECKOUT,
                start_new_session=True,
            )

    def is_alive(self) -> bool:
        """Return whether its process is running."""
        return self.process is not None and self.process.poll() is None

    def is_ready(self) -> bool:
        """Return whether it is ready; raises PermanentError with the end of its log if it has ended."""
        if self.process is None:
            raise PermanentError(f"{self.name} is not running")
        if self.process.poll() is not None:
            raise PermanentError(f"{self.name} ended with {describe_exit(self.process.returncode)}:\n{self.tail()}")
        return self.ready()

    def start(self) -> None:
        """Start it and wait until it is ready; raises PermanentError with the end of its log if it ends."""
        self.launch()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until it is ready; raises PermanentError with the end of its log if it ends."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise TransientError(f"{self.name} is not ready after {START_TIMEOUT_S:.0f} s:\n{self.tail()}")
            time.sleep(0.05)

    def tail(self) -> str:
        """Return the end of the log."""
        return tail(self.log)

    @property
    def pid(self) -> int:
        """The process id of the server, not of the sudo that started it."""
        if self.process is None:
            raise PermanentError(f"{self.name} is not running")
        # With use_pty in sudoers there are two sudo processes before the server.
        process = psutil.Process(self.process.pid)
        while self.line[0] == "sudo" and process.name() == "sudo" and process.children():
            process = process.children()[0]
        return process.pid

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.process is None or not self.is_alive():
            return
        if self.line[0] == "sudo":
            subprocess.run(["sudo", "-n", "--", "kill", f"-{number}", str(self.pid)], check=False)
        else:
            self.process.send_signal(number)

    def end(self, number: int) -> None:
        """Send a signal and wait until the process has ended, with SIGKILL after STOP_TIMEOUT_S."""
        if self.process is None:
            return
        self.signal(number)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()
        self.process = None

    def stop(self) -> None:
        """Stop it with SIGTERM."""
        self.end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.end(signal.SIGKILL)


class Service(Server):
    """A program of VitalFlow.

    It is ready once the counter `ready_metric` on its /metrics is above 0; without one, once its port accepts
    connections; without a port, after SETTLED_S.
    """

    def __init__(
        self,
        name: str,
        line: list[str],
        log: Path,
        environ: Mapping[str, str],
        port: int | None = None,
        ready_metric: str | None = None,
    ) -> None:
        super().__init__(name, line, log, self._serves, environ)
        self.port = port
        self.ready_metric = ready_metric
        self.launched = 0.0  # monotonic

    def launch(self) -> None:
        """Start it without waiting."""
        super().launch()
        self.launched = time.monotonic()

    def _serves(self) -> bool:
        if self.port is None:
            return time.monotonic() - self.launched >= SETTLED_S
        if self.ready_metric is None:
            return listens(self.port)
        return counter(self.port, self.ready_metric) > 0


def tail(log: Path, lines: int = 8) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def describe_exit(exit_code: int) -> str:
    """Return an exit code as text."""
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


STORE_FILE = "mosquitto.db"
"""Sessions and queues, in the broker's folder."""


class BrokerServer(Server):
    """A Mosquitto with the project's configuration, on 127.0.0.1 and where `access` says.

    With `access` as in production: TLS, and every client authenticates. Without it one anonymous plaintext listener,
    for tests and measurements.
    """

    def __init__(
        self,
        binaries: ServerBinaries,
        name: str,
        port: int,
        log: Path,
        access: BrokerAccess | None = None,
        *,
        bridge: str = "",
        **more: str,
    ) -> None:
        """`bridge`: a section of `identity.bridge`; `more`: settings of mosquitto.conf to change."""
        folder = binaries.new_folder(f"{name}/broker", MOSQUITTO)
        conf = folder / "mosquitto.conf"
        inside = binaries.path_inside(folder)
        listeners = Listeners.open_to_all(port) if access is None else access.listeners
        settings = configuration(listeners, inside, binaries.dynamic_security, **more)
        binaries.write(conf, settings + bridge.replace("/mosquitto/identity/", f"{inside}/"), MOSQUITTO)
        line = binaries.command(MOSQUITTO, binaries.mosquitto, "-c", binaries.path_inside(conf))
        # Mosquitto opens its listeners one after the other; this is the last one.
        last = listeners.plain or listeners.websockets or listeners.certificates or port
        super().__init__("Mosquitto", line, log, lambda: listens(last))
        self.port = port
        self.url = f"{'mqtt' if access is None else 'mqtts'}://127.0.0.1:{port}"
        self.folder = folder
        self.access = access
        self._binaries = binaries
        self._had_store = False
        self._revoked_at = 0.0
        self._next_check = 0.0  # monotonic

    def launch(self) -> None:
        """Install certificates and users, then start it without waiting."""
        if self.access is not None:
            self.access.install(self._binaries, self.folder, datetime.now(UTC))
            self._had_store = self._binaries.has_content(self.folder / STORE_FILE, MOSQUITTO)
        super().launch()

    def renewal_check_due(self, now: float) -> bool:
        """Return whether to call `rotate_certificates`: the revocation list changed, or RENEWAL_CHECK_S are over."""
        if self.access is None:
            return False
        revoked = self.access.authority.revocation_list_path
        changed = revoked.stat().st_mtime if revoked.exists() else 0.0
        if changed == self._revoked_at and now < self._next_check:
            return False
        self._revoked_at, self._next_check = changed, now + RENEWAL_CHECK_S
        return True

    def rotate_certificates(self) -> bool:
        """Rotate due certificates and reload the broker without dropping connections. Returns True if anything changed.

        If a session from the store is still offline, Mosquitto 2.0 disconnects another client every second after a
        SIGHUP (docs/identity.md), and the listener for WebSockets keeps its certificate. In both cases the broker is
        restarted, which loses no session.
        """
        if self.access is None or not self.access.install_certificates(self._binaries, self.folder, datetime.now(UTC)):
            return False
        if self.access.listeners.websockets is not None or (self._had_store and self.access.has_offline_sessions()):
            self.stop()
            self.start()
        else:
            self.signal(signal.SIGHUP)
        return True

    def delete_store(self) -> None:
        """Delete the sessions and queues of a stopped broker."""
        store = self._binaries.path_inside(self.folder / STORE_FILE)
        subprocess.run(self._binaries.command(MOSQUITTO, "rm", "-f", store), check=True)


def listens(port: int) -> bool:
    """Return whether the port on 127.0.0.1 accepts connections."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class DatabaseCertificate:
    """The certificate of a PostgreSQL in its folder."""

    def __init__(self, binaries: ServerBinaries, folder: Path, authority: CertificateAuthority) -> None:
        self._binaries = binaries
        self._folder = folder
        self._authority = authority
        self._installed: KeyPair | None = None
        self._next_check = 0.0  # monotonic

    def check_due(self, now: float) -> bool:
        """Return whether to call `install`; `now` is monotonic."""
        if now < self._next_check:
            return False
        self._next_check = now + RENEWAL_CHECK_S
        return True

    def install(self) -> bool:
        """Install the certificate if it is missing or was due for renewal; return whether it was."""
        pair = self._authority.server_pair("database", DATABASE_NAMES, datetime.now(UTC))
        if pair == self._installed:
            return False
        # The key first: a server that reloads in between logs that they do not match and keeps the old pair.
        self._binaries.write(self._folder / "server.key", pair.key.decode(), POSTGRES)
        self._binaries.write(self._folder / "server.crt", pair.certificate.decode(), POSTGRES)
        self._installed = pair
        return True


class DatabaseServer(Server):
    """A PostgreSQL with TimescaleDB preloaded, on 127.0.0.1, with password authentication.

    With an `authority` as in production: TLS is required. Without one plaintext, for tests and measurements.
    """

    def __init__(
        self,
        binaries: ServerBinaries,
        name: str,
        port: int,
        log: Path,
        password: str | None = None,
        authority: CertificateAuthority | None = None,
        **other: str,
    ) -> None:
        """`other`: settings of postgresql.conf that a test wants different."""
        self.password = password or secrets.token_urlsafe(24)
        self.port = port
        self.authority = authority
        folder = binaries.new_folder(f"{name}/database", POSTGRES)
        self.folder = folder
        self._binaries = binaries
        self._certificate = None if authority is None else DatabaseCertificate(binaries, folder, authority)
        inside = binaries.path_inside(folder / "cluster")
        if not binaries.has_content(folder / "cluster/PG_VERSION", POSTGRES):
            self._create(binaries, folder, inside)
        settings = {"port": str(port), "listen_addresses": "127.0.0.1", **SETTINGS, **other}
        if authority is not None:
            settings |= {
                "ssl": "on",
                "ssl_cert_file": binaries.path_inside(folder / "server.crt"),
                "ssl_key_file": binaries.path_inside(folder / "server.key"),
                "hba_file": binaries.path_inside(folder / "pg_hba.conf"),
            }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        line = binaries.command(POSTGRES, f"{binaries.postgresql}/postgres", "-D", inside, *options)
        super().__init__("PostgreSQL", line, log, self._serves)

    def url(self, database: str = OWNER, user: str = OWNER, password: str | None = None) -> str:
        """Return the URL of a database for a user, by default the owner."""
        url = f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"
        return url if self.authority is None else f"{url}?{tls_query(self.authority.ca_certificate)}"

    def launch(self) -> None:
        """Install its certificate, then start it without waiting."""
        if self._certificate is not None:
            self._binaries.write(self.folder / "pg_hba.conf", ENCRYPTED_ONLY, POSTGRES)
            self._certificate.install()
        super().launch()

    def renewal_check_due(self, now: float) -> bool:
        """Return whether to call `rotate_certificates`; `now` is monotonic."""
        return self._certificate is not None and self._certificate.check_due(now)

    def rotate_certificates(self) -> bool:
        """Rotate a due certificate and reload without dropping connections. Returns True if it changed."""
        if self._certificate is None or not self._certificate.install():
            return False
        self.signal(signal.SIGHUP)
        return True

    def stop(self) -> None:
        """Stop it with a fast shutdown: open transactions are rolled back, a checkpoint is written."""
        self.end(signal.SIGINT)

    def stop_at_once(self) -> None:
        """Stop it with an immediate shutdown, as in a crash: the next start recovers from the WAL."""
        self.end(signal.SIGQUIT)

    def _create(self, binaries: ServerBinaries, folder: Path, inside: str) -> None:
        secret = folder / "owner-password"
        binaries.write(secret, self.password + "\n", POSTGRES)
        arguments = ["-D", inside, "-U", OWNER, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]
        arguments += ["--pwfile", binaries.path_inside(secret)]
        line = binaries.command(POSTGRES, f"{binaries.postgresql}/initdb", *arguments)
        made = subprocess.run(line, capture_output=True, text=True, check=False)
        binaries.remove(secret)
        if made.returncode != 0:
            raise PermanentError(f"initdb ended with exit code {made.returncode}: {made.stderr.strip()}")

    def _serves(self) -> bool:
        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise PermanentError(f"the data in {self.folder} was created with another owner password") from None
            return False


def tls_query(certificate: Path) -> str:
    """Return the query of a database URL that verifies the server's certificate against this CA."""
    return urlencode({"sslmode": "verify-full", "sslrootcert": certificate}, safe="/")


def ensure_database(url: str, database: str) -> None:
    """Create a database if it is missing; `url` names another database on the same server."""
    with psycopg.connect(url, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if known is None:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(database)))
