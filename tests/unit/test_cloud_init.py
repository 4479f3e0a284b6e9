"""deploy/cloud-init as it is written: what a new machine runs is what the installation page describes."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from stack.binaries import CHECKOUT
from stack.systemd import UNITS
from vitals.version import VERSION

FOLDER = CHECKOUT / "deploy/cloud-init"
TEXT = (FOLDER / "user-data.yaml").read_text()
DATA: dict[str, Any] = yaml.safe_load(TEXT)
SCRIPT = (FOLDER / "install.sh").read_text()
INSTALLATION = (CHECKOUT / "docs/installation.md").read_text()


def words(line: str) -> str:
    """A command without what differs between a page and a script: sudo, quotes, the way of writing a file."""
    line = re.sub(r"\bsudo( -u postgres)?\b|\| *tee (\S+) >/dev/null|[\"'\\]|runuser -u postgres --", " ", line)
    return " ".join(line.split())


def test_the_file_is_for_cloud_init_and_names_this_release() -> None:
    assert TEXT.startswith("#cloud-config\n"), "cloud-init ignores it otherwise"
    assert set(DATA) == {"package_update", "packages", "write_files", "runcmd"}
    settings = dict(re.findall(r"^(\w+)=(.*)$", DATA["write_files"][0]["content"], re.MULTILINE))
    assert settings == {
        "REPOSITORY": "URL-OF-THIS-REPOSITORY",
        "RELEASE": f"v{VERSION}",
        "NAME": "vitals.example.org",
    }
    command = DATA["runcmd"][0][2]
    assert all(f'"${name}"' in command for name in settings)
    assert "/opt/vitalflow/deploy/cloud-init/install.sh" in command


def test_the_script_has_every_command_of_the_installation_page() -> None:
    steps = INSTALLATION.partition("\n## Programs\n")[2].partition("\n## Other systems\n")[0]
    blocks = "\n".join(line[4:] for line in steps.splitlines() if line.startswith("    "))
    script = words(SCRIPT.replace("\\\n", " "))
    commands = [
        line
        for line in blocks.replace("\\\n", " ").splitlines()
        if re.match(
            r"(sudo )?(vitalflow-admin|systemctl|ALTER|VITALFLOW_|chown|chmod|\.venv)", line.removeprefix("sudo ")
        )
    ]
    assert len(commands) > 20
    for line in commands:
        if not line.startswith(("VITALFLOW_BROKER_HOSTNAMES", "VITALFLOW_DEVICES_URL")):  # the name of this machine
            assert words(line).removeprefix("/opt/vitalflow/") in script, line


def test_the_services_that_are_started_have_units() -> None:
    started = re.search(r"systemctl enable --now (.+)", SCRIPT)
    assert started is not None
    assert set(started[1].split()) <= {f"vitalflow-{unit.name}" for unit in UNITS}


def test_the_firewall_admits_ssh_and_encrypted_devices_only() -> None:
    assert re.findall(r"tcp dport \{(.+)\} accept", SCRIPT) == [" 22, 8883, 8884 "]
    assert SCRIPT.count("policy drop") == 2


def test_passwords_are_made_on_the_machine_and_kept() -> None:
    assert "openssl rand" in SCRIPT
    assert "password:" not in TEXT
    assert not re.search(r"(rand -hex \d+|owner_url)\)?\"? *>", SCRIPT), "an existing password would be replaced"


def test_a_wrong_machine_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "deploy/cloud-init")
    script = str(tmp_path / "deploy/cloud-init/install.sh")
    for line, sentence in ((["sh", script], "usage"), (["sh", script, "ward"], "install.sh: ")):
        ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 2
        assert sentence in ended.stderr
