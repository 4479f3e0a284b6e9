"""The units of systemd: accepted by systemd, sandboxed, without secrets, with settings that the services accept."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from alerts.settings import AlertsSettings
from edges.config.settings import EdgesOutSettings, EdgesSettings, HomeAssistantSettings
from identity.settings import IdentitySettings
from ingest.settings import IngestSettings
from mqtt.settings import BrokerSettings
from stack.binaries import CHECKOUT
from stack.systemd import UNITS, UnitSpec, units, write_units
from station.settings import StationSettings
from vitals.errors import PermanentError

PROGRAM = Path("/opt/vitalflow/.venv/bin/vitalflow")
NAMES = [unit.name for unit in UNITS]
SETTINGS: dict[str, type[BrokerSettings]] = {
    "ingest": IngestSettings,
    "alerts": AlertsSettings,
    "station": StationSettings,
    "accounts": IdentitySettings,
    **{f"edges-{kind}": EdgesSettings for kind in ("hl7", "fhir", "webhook", "mqtt", "serial")},
    **{f"edges-{kind}-alerts": EdgesOutSettings for kind in ("hl7", "webhook")},
    "edges-home-assistant": HomeAssistantSettings,
}
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_systemd_accepts_the_unit(tmp_path: Path, name: str) -> None:
    # The command must exist for systemd to accept it.
    write_units(tmp_path, Path("/bin/true"))
    unit = str(tmp_path / f"vitalflow-{name}.service")
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False
    )
    lines = [line for line in ended.stderr.splitlines() if "vitalflow" in line]
    assert (ended.returncode, lines) == (0, [])


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_systemd_rates_the_sandbox_below_2_of_10(tmp_path: Path, name: str) -> None:
    write_units(tmp_path, PROGRAM)
    line = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager"]
    unit = str(tmp_path / f"vitalflow-{name}.service")
    ended = subprocess.run([*line, unit], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout.splitlines()[-1:]


@pytest.mark.parametrize("name", NAMES)
def test_the_service_reads_its_settings_and_credentials_from_its_unit(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = units(PROGRAM)[f"vitalflow-{name}.service"]
    for file, source in re.findall(r"^LoadCredential=(\w+):(.+)$", text, re.MULTILINE):
        assert source == f"/etc/vitalflow/secrets/{file}"
        content = (
            "mqtts://admin:word@localhost:8883"
            if file == "admin_url"
            else "word"
            if "password" in file
            else "postgresql://vitalflow_ingest:word@127.0.0.1/vitalflow"
        )
        (tmp_path / file).write_text(content)
        (tmp_path / file).chmod(0o400)
    environ = dict(re.findall(r"^Environment=(\w+)=(.+)$", text.replace("%d", str(tmp_path)), re.MULTILINE))
    settings = SETTINGS[name].read(environ)
    assert caplog.messages == []
    broker = settings.admin if isinstance(settings, IdentitySettings) else settings.broker
    assert broker.password == "word"


@pytest.mark.parametrize("unit", UNITS, ids=NAMES)
def test_a_unit_has_the_command_and_the_memory_limit_of_the_container(unit: UnitSpec) -> None:
    text = units(PROGRAM)[f"vitalflow-{unit.name}.service"]
    container = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"][unit.name]
    own = ("--listen=", "--peers=", "--certificate=", "--key=", "--to=")
    words = [word for word in container["command"] if not (unit.client_id and word.startswith(own))]
    command = " ".join([*words, *(["$OPTIONS"] if unit.client_id else [])])
    assert f"\nExecStart={PROGRAM} {command}\n" in text
    assert f"\nMemoryMax={container['mem_limit'].upper()}\n" in text
    assert "\nRestart=always\n" in text


@pytest.mark.parametrize(
    "folder", ["/home/ada/vitalflow", "/root/vitalflow", "/tmp/vitalflow", "/opt/vital flow", "/a%b"]
)
def test_a_program_that_the_services_could_not_start_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(PermanentError, match="install VitalFlow elsewhere"):
        write_units(tmp_path, Path(folder) / "bin/vitalflow")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"vitalflow-ingest\.service cannot be written: No such file or directory"):
        write_units(tmp_path / "missing", PROGRAM)
