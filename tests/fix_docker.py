"""docker-compose.yml on a real engine, for tests: a project of its own, torn down whatever happens.

Only images that are on the machine are used; nothing is ever fetched but Python packages for our own image, and those
only where the machine's cache of build steps does not have them. Where it cannot run, the header says why.
"""

import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from stack.envfile import make
from stack.programs import CHECKOUT
from stack.servers import free_port

BASE = "python:3.13-slim"
# Removed in the end; the steps of their making stay in the engine's cache.
IMAGE = f"vitalflow:test-{os.getpid()}"
BROKER = f"vitalflow-broker:test-{os.getpid()}"
OURS = ("identity", "renewal", "enroll-simulated", "migrate", "ingest", "alerts", "station", "devices")
SERVICES = ("broker", "db", *OURS)  # all but Grafana
PLUGIN = "/usr/lib/mosquitto_dynamic_security.so"
TIMEOUT = 180  # seconds for any command


@functools.cache
def no_engine() -> str | None:
    """Why docker-compose.yml cannot be run here; None where it can."""
    if shutil.which("docker") is None:
        return "there is no docker"
    for line, what in [(["info"], "its engine does not answer"), (["compose", "version"], "it has no compose plugin")]:
        try:
            ended = subprocess.run(["docker", *line], capture_output=True, timeout=20, check=False)
        except subprocess.TimeoutExpired:
            return what
        if ended.returncode != 0:
            return what
    services = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
    images = [BASE, services["broker"]["image"], services["db"]["image"]]
    for image in images:
        if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode != 0:
            return f"the image {image} is not on this machine, and tests fetch none"
    return None


def pytest_report_header(config: pytest.Config) -> str:
    missing = no_engine()
    how = f"NOT run: {missing}" if missing else "run on a real engine, without Grafana"
    return f"docker: docker-compose.yml is {how}"


@dataclass(frozen=True)
class Project:
    """A compose project with a folder of its own for .env and secrets."""

    name: str
    folder: Path

    def compose(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker compose` with our image and our settings."""
        line = ["docker", "compose", "-p", self.name, "--project-directory", str(CHECKOUT), "--profile", "demo"]
        line += ["-f", str(CHECKOUT / "docker-compose.yml"), "-f", str(self.folder / "override.yml")]
        line += ["--env-file", str(self.folder / ".env"), *words]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VITALFLOW_", "COMPOSE_"))}
        ended = subprocess.run(line, env=kept, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert not check or ended.returncode == 0, f"{words}: {ended.stderr}\n{self.logs()}"
        return ended

    def port(self, name: str) -> int:
        """Where something is published on this machine: MQTT, CERTIFICATE, STATION, GRAFANA."""
        found = re.search(rf"PUBLISH_{name}_PORT=(\d+)", (self.folder / ".env").read_text())
        assert found is not None
        return int(found[1])

    def up(self) -> None:
        """Everything but Grafana; returns once all of it is healthy."""
        self.compose("up", "--no-build", "--pull", "never", "--wait", *SERVICES)

    def logs(self) -> str:
        """The end of every log."""
        return self.compose("logs", "--tail", "20", check=False).stdout

    def ask(self, query: str) -> str:
        """What the database answers, as text."""
        return self.compose("exec", "-T", "db", "psql", "-U", "vitalflow", "-XAtc", query).stdout.strip()

    def rows(self) -> int:
        """How many readings are stored."""
        return int(self.ask("SELECT count(*) FROM patient_vitals"))

    def inspect(self, service: str, template: str) -> str:
        """A fact about a service's container."""
        container = self.compose("ps", "-aq", service).stdout.strip()
        line = ["docker", "inspect", "--format", template, container]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()

    def healthy(self, service: str) -> bool:
        """Whether its health check passes."""
        return self.inspect(service, "{{.State.Health.Status}}") == "healthy"


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """The stack of docker-compose.yml from empty volumes, up and healthy."""
    missing = no_engine()
    if missing:
        pytest.skip(f"docker-compose.yml is not run: {missing}")
    build = ["docker", "build", "--quiet", "--network=host", "--tag", IMAGE, str(CHECKOUT)]
    built = subprocess.run(build, capture_output=True, text=True, timeout=600, check=False)
    assert built.returncode == 0, built.stderr
    services = {service: {"image": IMAGE} for service in OURS} | _stand_in_broker()
    # Not pytest's own folder: what is in that may be below a folder that the engine's user cannot enter.
    with tempfile.TemporaryDirectory(prefix="vitalflow-compose-") as name:
        folder = Path(name)
        make(folder, lambda _: None)
        env = folder / ".env"
        text = env.read_text().replace("./.secrets", str(folder / ".secrets"))
        for port in ("MQTT", "CERTIFICATE", "STATION", "GRAFANA"):
            text = re.sub(rf"(?<=PUBLISH_{port}_PORT=)\d+", str(free_port()), text)
        env.write_text(text)
        (folder / "override.yml").write_text(yaml.safe_dump({"services": services}))
        project = Project(f"vitalflow-test-{os.getpid()}", folder)
        try:
            project.up()
            yield project
        finally:
            project.compose("down", "--volumes", "--timeout", "5", check=False)
            subprocess.run(["docker", "image", "rm", IMAGE, BROKER], capture_output=True, check=False)


def _stand_in_broker() -> dict[str, dict[str, str]]:
    """What to change for a broker's image that is not the vendor's: Debian keeps the security plugin elsewhere."""
    image = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]["broker"]["image"]
    look = ["docker", "run", "--rm", "--network=none", "--entrypoint=test", image, "-e", PLUGIN]
    if subprocess.run(look, capture_output=True, check=False).returncode == 0:
        return {}
    recipe = f"FROM {image}\nRUN ln -s /usr/lib/*/{Path(PLUGIN).name} {PLUGIN}\n"
    build = ["docker", "build", "--quiet", "--network=none", "--tag", BROKER, "-"]
    subprocess.run(build, input=recipe, capture_output=True, text=True, timeout=60, check=True)
    return {"broker": {"image": BROKER}}
