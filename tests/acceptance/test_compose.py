"""docker-compose.yml on a real engine: up from nothing, everything killed in turn, down and up again.

Grafana is left out: no engine here has its image. What holds of the file alone is in tests/unit/test_compose.py.
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from stack.envfile import NAMES
from tests.fix_docker import Project
from tests.fix_servers import eventually

PATIENCE = 60  # seconds for anything to become true
# A device numbers its readings 1, 2, 3: where the last number is the number of rows, none is missing.
MISSING = """SELECT (SELECT count(*) FROM device_gap) + count(*)
             FROM (SELECT FROM patient_vitals GROUP BY device_id, boot HAVING max(seq) <> count(*)) AS incomplete"""


def test_from_empty_volumes_everything_is_healthy_and_rows_flow(project: Project) -> None:
    assert all(project.healthy(service) for service in ("broker", "db", "ingest", "alerts", "devices"))
    eventually(lambda: project.rows() >= 40, PATIENCE, "two readings of each of twenty devices")
    assert project.ask("SELECT count(DISTINCT device_id) FROM patient_vitals") == "20"


def test_the_file_is_clean_and_shows_no_secret(project: Project) -> None:
    shown = project.compose("config")
    assert shown.stderr == ""
    told = shown.stdout + project.logs()
    for service in ("broker", "db", "migrate", "ingest", "alerts", "devices"):
        told += project.inspect(service, "{{json .}}")
        told += project.compose("top", service, check=False).stdout
    for name in NAMES:
        assert (project.folder / ".secrets" / name).read_text() not in told, name


@pytest.mark.parametrize("service", ["ingest", "broker", "db"])
def test_a_killed_container_comes_back_and_no_reading_is_missing(project: Project, service: str) -> None:
    before = restarts(project, service)
    kill(project, service)
    eventually(lambda: restarts(project, service) > before, PATIENCE, f"{service} started again")
    eventually(lambda: project.healthy(service), PATIENCE, f"{service} healthy")
    rows = project.rows()
    eventually(lambda: project.rows() >= rows + 40, PATIENCE, f"rows after the death of {service}")
    eventually(lambda: project.ask(MISSING) == "0", PATIENCE, "no reading missing")


def restarts(project: Project, service: str) -> int:
    return int(project.inspect(service, "{{.RestartCount}}"))


def kill(project: Project, service: str) -> None:
    """kill -9 of its first process. Not `docker kill`: what that ends, Docker does not start again."""
    pid = int(project.inspect(service, "{{.State.Pid}}"))
    # Of an engine in another machine, virtual or not, the number would be somebody else's here; 0 would be all of us.
    assert project.inspect(service, "{{.Id}}") in Path(f"/proc/{pid}/cgroup").read_text(), "the engine is elsewhere"
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        subprocess.run(["sudo", "-n", "kill", "-9", str(pid)], check=True)


def test_down_and_up_keep_the_data(project: Project) -> None:
    rows = project.rows()
    project.compose("down", "--timeout", "20")
    project.up()
    assert project.rows() >= rows
    rows = project.rows()
    eventually(lambda: project.rows() >= rows + 20, PATIENCE, "rows after down and up")
    assert project.ask(MISSING) == "0"


def test_a_volume_of_another_major_and_an_empty_secret_end_up_with_a_sentence(project: Project) -> None:
    project.compose("stop", "--timeout", "20", "ingest")
    rows = project.rows()
    project.compose("stop", "--timeout", "20", "db")
    version = Path("/var/lib/postgresql/data/PG_VERSION")
    write = ["run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "db", "-c"]
    project.compose(*write, f"echo 16 > {version}")
    refused = project.compose("up", "--no-build", "--pull", "never", "--wait", "db", check=False)
    assert refused.returncode != 0
    assert "preflight" in refused.stderr
    said = project.compose("logs", "preflight").stdout
    assert "holds data of PostgreSQL 16, and this is PostgreSQL 17" in said
    assert project.inspect("db", "{{.State.Running}}") == "false"

    project.compose(*write, f"echo 17 > {version}")
    secret = project.folder / ".secrets/reader_password"
    kept = secret.read_text()
    secret.chmod(0o644)
    secret.write_text("")
    assert project.compose("up", "--no-build", "--pull", "never", "--wait", "db", check=False).returncode != 0
    assert "the secret reader_password is empty" in project.compose("logs", "preflight").stdout
    secret.write_text(kept)
    project.compose("up", "--no-build", "--pull", "never", "--wait", "db")
    assert project.rows() == rows
