"""Debian's Prometheus for the tests of monitoring/: the machine's own, or its package unpacked below .stack.

`python -m tests.support.prometheus`, which `make test` runs, downloads and unpacks the package where Prometheus is
missing. It is not installed, because an installed one starts by itself.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stack.binaries import CHECKOUT, STACK, need_root
from stack.servers import Server, free_port
from vitals.errors import PermanentError

RULES = CHECKOUT / "monitoring/alerting-rules.yml"
UNPACKED = STACK / "prometheus"
PROGRAMS = ("prometheus", "promtool")


def find() -> Path:
    """The folder of `prometheus` and `promtool`; raises PermanentError if there is none."""
    for folder in (*map(Path, os.get_exec_path()), UNPACKED / "usr/bin"):
        if all((folder / program).is_file() for program in PROGRAMS):
            return folder
    raise PermanentError("there is no Prometheus here: run `python -m tests.support.prometheus`")


def version(folder: Path) -> str:
    """The version of the programs in a folder."""
    line = [str(folder / "promtool"), "--version"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    return " ".join((done.stdout or done.stderr).split()[:3]).replace(",", "")


def install() -> None:
    """Unpack Debian's package where there is no Prometheus; raises PermanentError where it cannot be downloaded."""
    try:
        find()
    except PermanentError:
        sys.stdout.write("prometheus: unpacking Debian's package below .stack, for the tests\n")
    else:
        return
    STACK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STACK) as folder:
        try:
            _download(folder)
        except PermanentError:  # there are no package lists yet
            need_root()
            _run([*([] if os.geteuid() == 0 else ["sudo", "-n", "--"]), "apt-get", "-qq", "update"], folder)
            _download(folder)
        for package in Path(folder).glob("*.deb"):
            _run(["dpkg-deb", "--extract", str(package), f"{folder}/unpacked"], folder)
        shutil.rmtree(UNPACKED, ignore_errors=True)
        Path(folder, "unpacked").rename(UNPACKED)
    find()


def _download(folder: str) -> None:
    apt = ["apt-get", "-qq", "download"]
    try:
        _run([*apt, *PROGRAMS], folder)
    except PermanentError:  # up to Debian 12 one package has both
        _run([*apt, "prometheus"], folder)


def _run(line: list[str], folder: str) -> None:
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PermanentError(f"{' '.join(line)} ended with {done.returncode}:\n{done.stderr.strip()[-600:]}")


def shortened(rules: str) -> str:
    """The rules with windows of a fifth of their length and delays of 5 s."""
    windows = re.sub(r"\[(\d+)m\]", lambda found: f"[{int(found[1]) * 12}s]", rules)
    return re.sub(r"\bfor: \S+", "for: 5s", windows)


class PrometheusServer(Server):
    """A Prometheus with the configuration of monitoring/, other ports, an interval of 2 s and shortened rules."""

    def __init__(self, folder: Path, ports: Mapping[str, int | Sequence[int]]) -> None:
        """`ports`: of the target or targets, by the name of the job; a job without one is left out."""
        text = (RULES.parent / "prometheus.yml").read_text()
        configuration = yaml.safe_load(re.sub(r"^#(?=  )", "", text, flags=re.MULTILINE))  # with the optional jobs
        configuration["global"] = {"scrape_interval": "2s", "evaluation_interval": "1s"}
        configuration["scrape_configs"] = [job for job in configuration["scrape_configs"] if job["job_name"] in ports]
        for job in configuration["scrape_configs"]:
            served = ports[job["job_name"]]
            targets = [f"127.0.0.1:{port}" for port in ([served] if isinstance(served, int) else served)]
            job["static_configs"] = [{"targets": targets}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        (folder / RULES.name).write_text(shortened(RULES.read_text()))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        line = [
            str(find() / "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus-data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        super().__init__("Prometheus", line, folder / "prometheus.log", self._ready)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):
                return True
        except OSError:  # it answers 503 until it has read its storage
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """The data that the HTTP API returns."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def fired(self) -> set[str]:
        """The names of the rules that have fired since it started."""
        query = 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1h]))'
        return {sample["metric"]["alertname"] for sample in self.get("query", query=query)["result"]}

    def up(self) -> dict[str, bool]:
        """Whether the last request to each target of a job succeeded, by the name of the job."""
        found: dict[str, bool] = {}
        for target in self.get("targets")["activeTargets"]:
            job = target["labels"]["job"]
            found[job] = found.get(job, True) and target["health"] == "up"
        return found

    def problems(self) -> list[str]:
        """Rules that cannot be evaluated, and texts of active alerts that cannot be expanded."""
        rules = [rule for group in self.get("rules")["groups"] for rule in group["rules"]]
        texts = [text for alert in self.get("alerts")["alerts"] for text in alert["annotations"].values()]
        return [rule["name"] for rule in rules if rule["health"] != "ok"] + [text for text in texts if "<error" in text]


if __name__ == "__main__":
    try:
        install()
    except PermanentError as error:
        sys.stdout.write(f"prometheus: NOT installed, so tests/integration/test_monitoring.py is not run: {error}\n")
