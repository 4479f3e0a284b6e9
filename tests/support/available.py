"""Say what this machine can run of the tests: servers, browser, Prometheus, Community edition, Docker.

Imports nothing heavy.
"""

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

import yaml

from sql.address import without_password
from stack.binaries import CHECKOUT, find
from tests.support import chromium, prometheus
from vitals.errors import PermanentError

NATIVE = "VITALFLOW_TEST_COMMUNITY_URL"
BASE = "python:3.13-slim"


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
    for image in (BASE, compose_image("broker"), local_image("db")):
        if not _is_here(image):
            return f"the image {image} is not on this machine, and tests fetch none"
    return None


def compose_image(service: str) -> str:
    """The image of a service of docker-compose.yml."""
    return str(yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"][service]["image"])


def local_image(service: str) -> str:
    """The same without its digest if that is not on this machine: a stand-in, which only has the tag."""
    image = compose_image(service)
    return image if _is_here(image) else image.partition("@")[0]


def _is_here(image: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0


def servers() -> str:
    """The header line about Mosquitto and PostgreSQL."""
    try:
        binaries = find()
    except PermanentError as error:
        return f"servers: NONE, so everything but tests/unit will fail: {error}"
    return f"servers: Mosquitto and PostgreSQL with TimescaleDB from {binaries.root or 'this machine'}"


def community() -> str:
    """The header line about TimescaleDB's Community edition."""
    url = os.environ.get(NATIVE)
    if url:
        return f"community: the native server {without_password(url)} ({NATIVE})"
    package = Path(__file__).parent / "timescaledb_wasm/package.json"
    packages = json.loads(package.read_text())["dependencies"]
    return "community: the WebAssembly build, " + ", ".join(f"{name} {version}" for name, version in packages.items())


def browser() -> str:
    """The header line about Chromium."""
    try:
        path = chromium.find()
    except PermanentError as error:
        return f"browser: NONE, so tests/browser will fail: {error}"
    return f"browser: {chromium.version(path)} ({path})"


def monitoring() -> str:
    """The header line about Prometheus."""
    try:
        folder = prometheus.find()
    except PermanentError as error:
        return f"prometheus: NONE, so tests/integration/test_monitoring.py is NOT run: {error}"
    return f"prometheus: {prometheus.version(folder)} ({folder})"


def cpp_compiler() -> str | None:
    """A compiler for the ESP32 example; None without one."""
    return shutil.which("g++") or shutil.which("clang++")


def compiler() -> str:
    """The header line about the compiler."""
    return (
        f"C++: the outbox of the ESP32 example is {'compiled' if cpp_compiler() else 'NOT tested: no g++, no clang++'}"
    )


def docker() -> str:
    """The header line about Docker."""
    missing = no_engine()
    how = f"NOT run: {missing}" if missing else "run on a real engine, without Grafana"
    return f"docker: docker-compose.yml is {how}"


def kubectl() -> str:
    """The header line about Kubernetes."""
    if shutil.which("kubectl") is None:
        return "kubernetes: NOT rendered: no kubectl; each file of the base is validated"
    return "kubernetes: rendered by kubectl and validated by schemas; not run in a cluster"
