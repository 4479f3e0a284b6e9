"""A hot standby of a PostgreSQL, and a PostgreSQL that stands still with all of its processes."""

import signal
import subprocess
from pathlib import Path

import psutil
import psycopg

from stack.binaries import ServerBinaries
from stack.servers import DatabaseServer
from tests.support.servers import copy_of_server, eventually


def start_standby(binaries: ServerBinaries, primary: DatabaseServer, name: str, log: Path) -> DatabaseServer:
    """Copy a primary and start the copy as its hot standby, which calls itself by `name`."""
    options = ("-R", "-d", f"{primary.url('postgres')}?application_name={name}")
    standby = copy_of_server(binaries, primary, f"{primary.folder.parent.name}-{name}", log, *options)
    standby.start()
    return standby


def promote(standby: DatabaseServer) -> None:
    """Make a standby the primary."""
    with psycopg.connect(standby.url("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")


def set_synchronous(primary: DatabaseServer, standbys: str) -> None:
    """Set whose confirmation a commit waits for; empty: it does not wait."""
    with psycopg.connect(primary.url("postgres"), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standbys}'".encode())
        connection.execute("SELECT pg_reload_conf()")


def wait_until_commits_wait(primary: DatabaseServer) -> None:
    """Wait until a commit waits for a standby that is not there: the checkpointer reads the changed setting later."""

    def has_waited() -> bool:
        notices: list[str | None] = []
        with psycopg.connect(primary.url("postgres"), autocommit=True) as connection:
            connection.add_notice_handler(lambda notice: notices.append(notice.source_function))
            connection.execute("SET statement_timeout = '100ms'")  # ends the wait of a commit inside a statement only
            connection.execute("DO $$ BEGIN PERFORM pg_logical_emit_message(true, 'test', ''); COMMIT; END $$")
            connection.execute("SET synchronous_commit = local")
        return "SyncRepWaitForLSN" in notices

    eventually(has_waited, 30, "a commit waits for a standby")


def signal_all(server: DatabaseServer, number: signal.Signals) -> None:
    """Send a signal to each process of a server: with SIGSTOP its connections stay open and nothing answers."""
    postmaster = psutil.Process(server.pid)
    pids = [str(process.pid) for process in (postmaster, *postmaster.children(recursive=True))]
    sudo = ["sudo", "-n", "--"] if server.line[0] == "sudo" else []
    subprocess.run([*sudo, "kill", f"-{number.value}", *pids], check=True)
