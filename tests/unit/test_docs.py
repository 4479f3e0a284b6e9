"""The documentation names only files, settings, functions and commands that exist. `make docs` checks its links."""

import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from grafana.files import DASHBOARDS, read_dashboards
from grafana.lint import PROMETHEUS_ALERTS
from stack.binaries import CHECKOUT
from vitalflow.cli import GROUPS

PAGES = [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md"), CHECKOUT / "sql/README.md"]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
HISTORY = CHECKOUT / "CHANGELOG.md"  # names what does not exist any more
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
FOLDERS = (
    "vitals|mqtt|sql|identity|devices|edges|ingest|alerts|station|stack"
    "|grafana|monitoring|bench|tests|mosquitto|docs|vitalflow"
)


@EACH_PAGE
def test_every_named_file_exists(page: Path) -> None:
    if page != HISTORY:
        names = re.findall(rf"`((?:{FOLDERS})/[\w./-]+)`", TEXTS[page])
        assert [name for name in names if not (CHECKOUT / name).exists() and not re.search("NAME|NNNN", name)] == []


@EACH_PAGE
def test_every_named_setting_exists(page: Path) -> None:
    if page != HISTORY:
        known = re.findall(r"VITALFLOW_\w+", "".join(map(Path.read_text, SETTINGS)))
        names = {name.removesuffix("_FILE") for name in re.findall(r"VITALFLOW_[A-Z0-9_]+[A-Z0-9]", TEXTS[page])}
        assert names - set(known) == set()


SETTINGS = [CHECKOUT / ".env.example", CHECKOUT / "stack/envfile.py"]


def test_every_page_is_on_the_documentation_site() -> None:
    site = (CHECKOUT / "zensical.toml").read_text()
    assert [str(page) for page in PAGES if f'"{page.relative_to(CHECKOUT)}"' not in site] == []


def test_the_installation_page_replaces_every_path_of_the_container_in_the_brokers_configuration() -> None:
    commands = re.search(
        r"^    sed -e (.+?) \\\n +-e (.+?) \\\n +mosquitto/", TEXTS[CHECKOUT / "docs/installation.md"], re.M
    )
    assert commands is not None
    words = shlex.split(commands[1].replace("$(dpkg -L mosquitto | grep dynamic_security.so)", "/usr/lib/PLUGIN.so"))
    line = ["sed", "-e", *words, "-e", *shlex.split(commands[2]), str(CHECKOUT / "mosquitto/mosquitto.conf")]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    paths = {word for row in text.splitlines() if row[:1] != "#" for word in row.split() if word.startswith("/")}
    names = ("broker.crt", "broker.key", "ca.crt", "revoked.crl")
    assert paths == {
        *("/usr/lib/PLUGIN.so", "/var/lib/mosquitto/", "/var/lib/mosquitto/dynamic-security.json"),
        *(f"/etc/mosquitto/vitalflow/{name}" for name in names),
    }


def test_every_function_of_the_architecture_page_exists() -> None:
    rows = re.findall(r"\| `([\w/]+\.(?:py|js))`((?:, `[\w.]+`)+)", TEXTS[CHECKOUT / "docs/architecture.md"])
    hops = [(path, name) for path, names in rows for name in re.findall(r"`(?:\w+\.)?(\w+)`", names)]
    assert len(hops) > 20
    assert [hop for hop in hops if not is_defined(*hop)] == []


def is_defined(path: str, name: str) -> bool:
    return re.search(rf"\b(def|class|function) {name}\b", (CHECKOUT / path).read_text()) is not None


@EACH_PAGE
def test_every_command_exists_with_its_options(page: Path) -> None:
    if page != HISTORY:
        lines = re.findall(r"(?:^    |`)(?:\.venv/bin/)?vitalflow ([a-z][^`\n#|]*)", TEXTS[page], re.MULTILINE)
        assert [line for line in lines if not is_command(line.replace("[", "").split())] == []


def is_command(words: list[str]) -> bool:
    """Whether these words after `vitalflow` are a group, or a group, a command and options that it knows."""
    if words[0] not in GROUPS:
        return False
    group = GROUPS[words[0]]
    command: Any = get_command(getattr(import_module(f"{group.package}.__main__"), group.app))
    for word in words[1:]:
        if not hasattr(command, "commands") or word.startswith("-"):
            break
        if word not in command.commands:
            return False
        command = command.commands[word]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options = {word.rstrip("]") for word in words if word.startswith("-")}
    return options <= known | {"--help"}


def test_every_make_target_exists() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    targets = {target for text in TEXTS.values() for target in re.findall(r"`make ([a-z-]+)", text)}
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


def test_every_alerting_rule_of_prometheus_is_described_with_its_severity() -> None:
    described = re.findall(r"^\| `(VitalFlow\w+)` \| (\w+) \|", TEXTS[CHECKOUT / "docs/operations.md"], re.MULTILINE)
    (group,) = yaml.safe_load((CHECKOUT / "monitoring/alerting-rules.yml").read_text())["groups"]
    assert sorted(described) == sorted((rule["alert"], rule["labels"]["severity"]) for rule in group["rules"])


def test_the_pipeline_dashboard_links_to_prometheus_at_the_described_address() -> None:
    assert f"`{PROMETHEUS_ALERTS}`" in TEXTS[CHECKOUT / "docs/dashboards.md"]
    links = read_dashboards(DASHBOARDS)[DASHBOARDS / "pipeline.json"]["links"]
    assert PROMETHEUS_ALERTS in [link["url"] for link in links]
