"""Services with known passwords fail in every known way: no output contains a password.

Searched are what they say, what they serve on /metrics, the command lines of all processes while they run, and the logs
of broker and database. A process's environment holds its own passwords; only the same user can read that.
"""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest

from identity.authority import CertificateAuthority
from sql.migrate import INGEST_ROLE, READER_ROLE
from stack.binaries import CHECKOUT, ServerBinaries
from stack.servers import OWNER, BrokerServer, DatabaseServer, ensure_database, free_port
from tests.integration.test_bad_input import publish
from tests.support.process import Forked, ServiceProcess, run_module
from tests.support.servers import eventually

AT_BROKER, AT_DATABASE, WRONG = "Hush8roker", "HushDatab4se", "HushWr0ng"
SECRETS = (AT_BROKER, AT_DATABASE, WRONG)
NO_SERVER = "127.0.0.1:1"  # refuses at once


@dataclass(frozen=True)
class Ground:
    """A broker, a database as in production, and the settings that fit them."""

    broker: BrokerServer
    database: DatabaseServer
    settings: dict[str, str]

    def environ(self, **other: str | None) -> dict[str, str]:
        """The settings with others over them; None for one that is left out."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("VITALFLOW_")}
        changed = {**self.settings, **{f"VITALFLOW_{name}": value for name, value in other.items()}}
        return ours | {name: value for name, value in changed.items() if value is not None}


def secrets_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


def command_lines() -> str:
    """Of every process of this machine."""
    lines = []
    for process in psutil.process_iter():
        try:
            lines.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return "\n".join(lines)


@pytest.fixture(scope="module")
def ground(
    binaries: ServerBinaries, run_name: str, logs: Path, authority: CertificateAuthority, shared_broker: BrokerServer
) -> Iterator[Ground]:
    log = logs / "hushed.log"
    server = DatabaseServer(binaries, f"{run_name}-hushed", free_port(), log, AT_DATABASE, authority)
    server.line += ["-c", "log_statement=all", "-c", "log_connections=on", "-c", "log_parameter_max_length=-1"]
    server.start()
    ensure_database(server.url("postgres"), OWNER)
    settings = {
        "VITALFLOW_MQTT_URL": f"mqtt://hushed:{AT_BROKER}@127.0.0.1:{shared_broker.port}",
        "VITALFLOW_DATABASE_URL": server.url(),
        "VITALFLOW_INGEST_URL": server.url(OWNER, INGEST_ROLE, AT_DATABASE),
        "VITALFLOW_READER_URL": server.url(OWNER, READER_ROLE, AT_DATABASE),
        "VITALFLOW_INGEST_CLIENT_ID": "hushed-ingest",
        "VITALFLOW_ALERTS_CLIENT_ID": "hushed-alerts",
    }
    yield Ground(shared_broker, server, settings)
    server.stop()
    binaries.remove(server.folder.parent)


def run(ground: Ground, *line: str, **other: str | None) -> tuple[int, str]:
    """A command to its end: exit code, and all that it said."""
    done = run_module(*line, environ=ground.environ(**other))
    return done.returncode, done.stdout + done.stderr


def test_successful_commands_print_no_secret(ground: Ground, tmp_path: Path) -> None:
    code, said = run(ground, "sql", "migrate")
    assert (code, secrets_in(said)) == (0, []), said
    password = tmp_path / "password"
    password.write_text(WRONG + "-and-longer")
    code, said = run(ground, "sql", "grant-ward", "hushed_desk", "--ward", "icu-1", "--password-file", str(password))
    assert (code, secrets_in(said)) == (0, []), said
    assert "postgresql://hushed_desk:PASSWORD@127.0.0.1" in said
    port = free_port()
    ingest = ServiceProcess(["ingest", "-v"], ground.environ(INGEST_METRICS_PORT=str(port)), tmp_path / "ingest.log")
    alerts = ServiceProcess(["alerts", "run", "-v"], ground.environ(ALERTS_METRICS_PORT="0"), tmp_path / "alerts.log")
    for service in (ingest, alerts):
        service.is_fork = False
        service.start()
    try:
        lines = command_lines()
        assert "-m ingest" in lines, "it does look at the right place"
        assert secrets_in(lines) == []
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert secrets_in(answer.read().decode()) == []
    finally:
        ingest.stop()
        alerts.stop()
    assert secrets_in(ingest.said() + alerts.said()) == []
    logged = ground.database.log.read_text()
    assert 'ALTER ROLE "hushed_desk" LOGIN PASSWORD' in logged, "the server logs its statements"
    assert secrets_in(logged + ground.broker.log.read_text()) == []


def of(ground: Ground, role: str, password: str = WRONG, **parts: str) -> str:
    """The address of a login, wrong in some way."""
    url = ground.database.url(OWNER, role, password)
    for old, new in parts.items():
        url = url.replace({"place": f"127.0.0.1:{ground.database.port}", "name": "verify-full"}.get(old, old), new)
    return url


TROUBLES: dict[str, Callable[[Ground, str], str]] = {
    "a wrong password": lambda ground, role: of(ground, role),
    "a host that is away": lambda ground, role: of(ground, role, AT_DATABASE, place=NO_SERVER),
    "a host without a name": lambda ground, role: of(ground, role, AT_DATABASE, place="no-such-host.invalid:5432"),
    "a database that is not there": lambda ground, role: of(ground, role, AT_DATABASE, vitalflow="postgres_not"),
    "no encryption": lambda ground, role: of(ground, role, AT_DATABASE).partition("?")[0] + "?sslmode=disable",
    "no authority": lambda ground, role: of(ground, role, AT_DATABASE).replace("ca.crt", "no.crt"),
    "no such option": lambda ground, role: of(ground, role, AT_DATABASE) + "&nonsense=1",
    "a port that is none": lambda ground, role: of(ground, role, AT_DATABASE, place="127.0.0.1:port"),
    "another scheme": lambda ground, role: of(ground, role, AT_DATABASE).replace("postgresql", "mysql"),
    "a torn password": lambda ground, role: of(ground, role, f"{AT_DATABASE}/{WRONG}@x"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_database_that_cannot_be_reached(ground: Ground, trouble: str, tmp_path: Path) -> None:
    """Commands end with one sentence; ingest, which waits, says it in its log."""
    make = TROUBLES[trouble]
    for line, name, role in (
        (("sql", "migrate"), "DATABASE_URL", OWNER),
        (("sql", "status"), "DATABASE_URL", OWNER),
        (("alerts", "backtest", "--from", "2026-11-22T00:00Z", "--to", "2026-11-23T00:00Z"), "READER_URL", READER_ROLE),
    ):
        code, said = run(ground, *line, **{name: make(ground, role)})
        assert code == 2, f"{line}: {said}"
        assert said.count("\n") == 1, said
        assert secrets_in(said) == []
    ingest = ServiceProcess(
        ["ingest", "-v"], ground.environ(INGEST_URL=make(ground, INGEST_ROLE), INGEST_METRICS_PORT="0"),
        tmp_path / "ingest.log",
    )  # fmt: skip
    try:
        ingest.start(wait=False)
        assert ingest.process is not None
        process = ingest.process
        eventually(lambda: "connected to the" in ingest.said() or process.poll() is not None, 20, "it has begun")
        if process.poll() is None:
            publish(ground.broker, [("vitalflow/vitals/icu-1/hushed", b"something to store")])
            eventually(lambda: "waiting for the database" in ingest.said(), 20, "it complains")
        assert secrets_in(command_lines()) == []
    finally:
        ingest.kill()
    assert secrets_in(ingest.said()) == []


@pytest.mark.parametrize(
    "url",
    [
        f"mqtt://hushed:{AT_BROKER}@{NO_SERVER}",
        f"mqtt://hushed:{AT_BROKER}@no-such-host.invalid:1883",
        f"mqtt://hushed:{AT_BROKER}@127.0.0.1:port",
        f"mqtt://hushed:{AT_BROKER}/{WRONG}@127.0.0.1:1",
        f"http://hushed:{AT_BROKER}@127.0.0.1:1",
        f"hushed:{AT_BROKER}",
    ],
)
def test_a_broker_that_cannot_be_reached(ground: Ground, url: str) -> None:
    def any_output(process: Forked) -> bool:
        return any(process.printed())

    environ = ground.environ(MQTT_URL=url, INGEST_METRICS_PORT="0", ALERTS_METRICS_PORT="0")
    for line in (("ingest", "-v"), ("alerts", "run", "-v"), ("devices", "simulate", "--count", "1")):
        process = Forked(line, environ)
        try:
            eventually(partial(any_output, process), 20, f"{line} says something")
            assert secrets_in(command_lines()) == []
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        finally:
            process.kill()
        assert secrets_in("".join(process.communicate())) == []


def test_a_traceback_contains_no_secret(ground: Ground) -> None:
    """An unexpected error keeps its traceback, which shows lines of code and no values."""
    code = (
        "import sys, ingest.__main__ as it\n"
        "def boom(settings, metrics):\n"
        "    url = settings.ingest_url\n"
        "    raise RuntimeError(f'boom {settings} {settings.broker}')\n"
        "it.Pipeline = boom\n"
        "sys.argv = ['ingest']\n"
        "it.app()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=ground.environ(INGEST_METRICS_PORT="0"), cwd=CHECKOUT, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "boom" in done.stderr
    assert secrets_in(done.stdout + done.stderr) == []
