"""docker-compose.yml and the Dockerfile as they are written: what holds with no engine to run them.

On a real engine: tests/acceptance/test_compose.py.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from identity.broker_bootstrap import BUILTIN_USERS, EDGE_USERS, HEALTH_USER, password_file
from stack.binaries import CHECKOUT
from stack.envfile import CA, MADE, NAMES, VARIABLES, urls
from vitals.settings import EXAMPLE
from vitals.version import VERSION

TEXT = (CHECKOUT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = [name for name, service in SERVICES.items() if service["restart"] != "no"]
ENROLS = ["identity", "enroll-simulated"]
KINDS = ("hl7", "fhir", "webhook", "mqtt", "serial", "hl7-alerts", "webhook-alerts", "home-assistant")
EDGES = [f"edges-{kind}" for kind in KINDS]
OURS = [*ENROLS, "renewal", "accounts", "migrate", "ingest", "alerts", "station", "devices", *EDGES]
PACKAGES = re.findall(r"^COPY (\w+) \w+$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
"""What the image has of the project."""  # what the image holds

# What the shell would fill in: ${NAME}, ${NAME:?sentence}; $$ is a dollar sign for the container.
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(:?\?[^}]*)?\}")
CODE = "\n".join(line for line in TEXT.splitlines() if not line.lstrip().startswith("#"))


def bytes_of(size: str) -> int:
    return int(size[:-1]) * {"m": 2**20, "g": 2**30}[size[-1]]


def test_make_env_writes_every_variable_and_a_missing_one_is_explained() -> None:
    websockets = (CHECKOUT / "docker-compose.websockets.yml").read_text()
    used = VARIABLE.findall(CODE)
    assert {name for name, _ in (*used, *VARIABLE.findall(websockets))} == set(VARIABLES)
    assert all("make env" in sentence for _, sentence in used)
    assert CODE.count("$") == len(used) + 2 * CODE.count("$$"), "a variable in another way of writing"


def test_settings_that_make_env_writes_have_the_defaults_of_the_example() -> None:
    settings = dict(re.findall(r"^(VITALFLOW_\w+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))
    shared = {name: value for name, (value, _) in VARIABLES.items() if name in settings}
    assert shared == {name: settings[name] for name in shared}
    assert len(shared) == 7


def test_every_secret_is_a_file_that_make_env_makes_and_none_is_written_down() -> None:
    assert set(COMPOSE["secrets"]) == set(NAMES)
    for name, secret in COMPOSE["secrets"].items():
        assert re.fullmatch(rf"\$\{{VITALFLOW_SECRETS:\?[^}}]+\}}/{name}", secret["file"]), name
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if key in ("VITALFLOW_MQTT_URL", "VITALFLOW_DEVICES_URL"):
                assert re.match(r"mqtts://([\w-]+@)?[^@]+$", value), f"{name}: {key}"
            elif re.search("PASSWORD|SECRET|KEY|_URL", key):
                assert key.endswith("_FILE"), f"{name}: {key}"
                assert value.removeprefix("/run/secrets/") in service["secrets"], f"{name}: {key}"


def test_each_service_gets_only_its_own_secrets() -> None:
    given = {name: set(service.get("secrets", [])) for name, service in SERVICES.items()}
    assert given.pop("preflight") == set(NAMES)
    users = {name for name in NAMES if name.startswith("mqtt_")}
    assert given == {
        "identity": {*users, "admin_url"},
        "enroll-simulated": {"admin_url"},
        "renewal": set(),
        "accounts": {"admin_url"},
        "broker": set(),
        "db": {"owner_password"},
        "migrate": {"database_url", "ingest_url", "reader_url", "names_url", "research_url"},
        "ingest": {"mqtt_ingest_password", "ingest_url"},
        "alerts": {"mqtt_alerts_password"},
        "station": {"mqtt_station_password", "reader_url", "names_url"},
        "devices": set(),
        "grafana": {"reader_password", "grafana_admin_password", "grafana_secret_key"},
        **{name: {password_file(name)} for name in EDGES},
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_kept_small(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in ("0", "root", "")
    assert not {"privileged", "cap_add", "pid", "ipc", "devices", "env_file"} & set(service)
    assert service["pids_limit"] > 0
    assert bytes_of(service["mem_limit"]) <= 2 * 2**30
    assert re.search(rf"mem_limit: {service['mem_limit']}( #|$)", TEXT, re.MULTILINE)
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_service_comes_back_and_proves_that_it_works(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    check = service["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


def test_the_broker_has_the_configuration_of_the_stack_and_the_memory_that_it_counts_on() -> None:
    conf = CHECKOUT / "mosquitto/mosquitto.conf"
    mounted = f"./{conf.relative_to(CHECKOUT)}:/mosquitto/config/mosquitto.conf:ro"
    assert mounted in SERVICES["broker"]["volumes"]
    assert "compose gives the broker 1 GB" in conf.read_text().replace("\n# ", " ")
    assert SERVICES["broker"]["mem_limit"] == "1g"
    queued = re.search(r"^max_queued_bytes (\d+)$", conf.read_text(), re.MULTILINE)
    assert queued is not None
    assert int(queued[1]) < bytes_of("1g")


def test_websockets_are_a_file_of_their_own_that_adds_a_published_listener() -> None:
    added = yaml.safe_load((CHECKOUT / "docker-compose.websockets.yml").read_text())["services"]
    assert list(added) == ["broker"]
    assert [port.rpartition(":")[2] for port in added["broker"]["ports"]] == ["8885"]
    assert "VITALFLOW_PUBLISH_ON" in added["broker"]["ports"][0]
    source, where = "mosquitto/websockets.conf", "/mosquitto/config/websockets.conf"
    assert added["broker"]["volumes"] == [f"./{source}:{where}:ro"]
    assert re.findall(r"^listener (\d+)", (CHECKOUT / source).read_text(), re.MULTILINE) == ["8885"]
    assert "cat /mosquitto/config/*.conf >/tmp/mosquitto.conf" in SERVICES["broker"]["command"][2]


def test_serial_ports_alone_are_devices_of_the_machine() -> None:
    rules = {name for name, service in SERVICES.items() if "device_cgroup_rules" in service}
    assert rules == {name for name, service in SERVICES.items() if "/dev:/dev:ro" in service.get("volumes", [])}
    assert rules == {"edges-serial"}


def test_images_are_exact_and_ours_has_the_version_of_the_project() -> None:
    images = {name: service["image"] for name, service in SERVICES.items()}
    assert {images[name] for name in OURS} == {f"vitalflow:{VERSION}"}
    assert images["preflight"] == images["db"], "it must know the database's own major version"
    for image in images.values():
        assert re.fullmatch(r"[\w/-]+:\d+\.\d+\.\d+(-pg\d+@sha256:[0-9a-f]{64})?", image), image
    assert {name for name, service in SERVICES.items() if "build" in service} == set(OURS)


def test_what_is_published_is_on_this_machine_only_and_pages_apart_from_the_broker() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    where = {name: {port[2:].partition(":")[0] for port in ports} for name, ports in published.items()}
    assert published.pop("edges-hl7")[0].startswith("127.0.0.1:"), "it is not encrypted"
    del where["edges-hl7"]
    pages, encrypted = {"VITALFLOW_PUBLISH_PAGES_ON"}, {"VITALFLOW_PUBLISH_ON"}
    listeners = dict.fromkeys(("broker", "edges-fhir", "edges-webhook"), encrypted)
    assert where == {**listeners, "station": pages, "grafana": pages}
    assert [port.rpartition(":")[2] for port in published["broker"]] == ["8883", "8884"]
    assert {VARIABLES[name][0] for names in where.values() for name in names} == {"127.0.0.1"}
    modes = {name: service["network_mode"] for name, service in SERVICES.items() if "network_mode" in service}
    assert modes == {"preflight": "none", "renewal": "none"}


def test_everybody_checks_broker_and_database_against_our_ca() -> None:
    ca = "ca:/etc/vitalflow/ca:ro"
    for name, service in SERVICES.items():
        environment = service.get("environment", {})
        if "VITALFLOW_MQTT_URL" in environment or name in ("enroll-simulated", "accounts"):
            assert environment["VITALFLOW_MQTT_CA"] == CA, name
        if name not in ("preflight", "broker", "identity", "renewal"):
            assert ca in service["volumes"], name
    for name, url in urls(dict.fromkeys(MADE, "x")).items():
        checked = f"?sslmode=verify-full&sslrootcert={CA}"
        assert url.startswith("mqtts://") if name == "admin_url" else url.endswith(checked), name
    grafana = SERVICES["grafana"]["environment"]
    assert (grafana["VITALFLOW_GRAFANA_DB_SSLMODE"], grafana["VITALFLOW_GRAFANA_DB_CA"]) == ("verify-full", CA)


def test_each_service_is_a_user_of_its_own_at_the_broker() -> None:
    users = {
        name: re.match(r"mqtts://([\w-]*)@?", service["environment"]["VITALFLOW_MQTT_URL"])
        for name, service in SERVICES.items()
        if "VITALFLOW_MQTT_URL" in service.get("environment", {})
    }
    assert {name: user and user[1] for name, user in users.items()} == {
        "identity": "operator",
        "ingest": "ingest",
        "alerts": "alerts",
        "station": "station",
        "devices": "broker",  # its host: each device has a user of its own
        **{name: name for name in EDGES},
    }
    assert set(EDGES) == set(EDGE_USERS)
    passwords = {name for name in NAMES if name.startswith("mqtt_")}
    assert passwords == {password_file(name) for name in (*BUILTIN_USERS, HEALTH_USER, *EDGES)}
    assert {name for name, service in SERVICES.items() if "identity:/var" in str(service["volumes"])} == {
        "identity",
        "renewal",
    }, "no other service mounts the CA's key"


def test_a_plaintext_connection_is_rejected_before_the_password() -> None:
    lines = (CHECKOUT / "sql/pg_hba.conf").read_text().splitlines()
    rules = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert rules == ["local", "hostssl"]
    assert "-cssl=on" in SERVICES["db"]["command"]
    assert "-chba_file=/etc/vitalflow/pg_hba.conf" in SERVICES["db"]["command"]
    listeners = re.findall(r"^listener (\d+)", (CHECKOUT / "mosquitto/mosquitto.conf").read_text(), re.MULTILINE)
    assert listeners == ["8883", "8884"]


def test_only_its_clients_reach_the_database() -> None:
    assert COMPOSE["networks"]["data"]["internal"] is True
    on = {name for name, service in SERVICES.items() if "data" in service.get("networks", [])}
    assert on == {"db", "migrate", "ingest", "station", "grafana"}
    assert SERVICES["db"]["networks"] == ["data"]


def test_alerts_need_no_database() -> None:
    waited_for, todo = set(), ["alerts"]
    while todo:
        needs = SERVICES[todo.pop()].get("depends_on", {})
        waited_for |= set(needs)
        todo += needs
    assert waited_for == {"broker", "identity"}
    assert SERVICES["alerts"]["networks"] == ["mqtt"]


def test_every_service_waits_for_its_dependencies() -> None:
    for name, service in SERVICES.items():
        for needed, condition in service.get("depends_on", {}).items():
            expected = "service_healthy" if needed in LASTING else "service_completed_successfully"
            assert condition["condition"] == expected, f"{name} on {needed}"
    # What a new version of it writes is read at the start.
    assert SERVICES["broker"]["depends_on"]["identity"]["restart"] is True


def test_what_is_mounted_is_there_and_every_volume_is_named() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _, _ = volume.partition(":")
            if source.startswith("./"):
                assert volume.endswith(":ro")
                assert (CHECKOUT / source).exists(), source
            elif source.startswith("${VITALFLOW_SITE"):
                assert volume.endswith(":/etc/vitalflow/site.toml:ro"), "`make env` writes it"
            elif source == "/dev":
                assert service["device_cgroup_rules"] == ["c 188:* rw", "c 166:* rw"], "USB serial ports only"
            else:
                assert source in COMPOSE["volumes"]


def test_no_password_is_on_a_command_line() -> None:
    for name, service in SERVICES.items():
        words = " ".join(word for key in ("entrypoint", "command") for word in service.get(key, []))
        words += " ".join(service.get("healthcheck", {}).get("test", []))
        assert not re.search(r"postgresql://|mqtts?://\w+:|-P |--pw|--password\b", words), name
    assert not re.search(r"-P |password=", (CHECKOUT / "mosquitto/healthy.sh").read_text())


def test_the_variables_that_grafanas_provisioning_reads_are_set() -> None:
    files = sorted((CHECKOUT / "grafana/provisioning").rglob("*.y*ml"))
    text = "\n".join(file.read_text() for file in files)
    given = SERVICES["grafana"]["environment"]
    assert set(re.findall(r"\$\{?(VITALFLOW_\w+)", text)) == {name for name in given if name.startswith("VITALFLOW_")}
    secrets = {f"/run/secrets/{name}" for name in SERVICES["grafana"]["secrets"]}
    assert set(re.findall(r"\$__file\{([^}]+)\}", text)) <= secrets
    home = Path(given["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert f"./grafana/dashboards:{home.parent}:ro" in SERVICES["grafana"]["volumes"]
    assert (CHECKOUT / "grafana/dashboards" / home.name).exists()


def test_grafana_requires_a_password_and_makes_no_outgoing_requests() -> None:
    given = SERVICES["grafana"]["environment"]
    off = "AUTH_ANONYMOUS_ENABLED USERS_ALLOW_SIGN_UP USERS_ALLOW_ORG_CREATE PUBLIC_DASHBOARDS_ENABLED"
    quiet = "ANALYTICS_REPORTING_ENABLED ANALYTICS_CHECK_FOR_UPDATES ANALYTICS_CHECK_FOR_PLUGIN_UPDATES"
    apart = (
        "NEWS_NEWS_FEED_ENABLED SNAPSHOTS_EXTERNAL_ENABLED PLUGINS_PREINSTALL_AUTO_UPDATE PLUGINS_PLUGIN_ADMIN_ENABLED"
    )
    assert {
        name: given[f"GF_{name}"] for name in f"{off} {quiet} {apart}".split() if given[f"GF_{name}"] != "false"
    } == {}
    assert given["GF_PLUGINS_PREINSTALL_DISABLED"] == given["GF_SECURITY_DISABLE_GRAVATAR"] == "true"
    assert given["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_admin_password"
    assert given["GF_SECURITY_SECRET_KEY__FILE"] == "/run/secrets/grafana_secret_key"
    assert not {"GF_SECURITY_ADMIN_PASSWORD", "GF_SECURITY_SECRET_KEY"} & set(given)
    home = given["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == "/var/lib/grafana/dashboards/ward.json"
    assert (CHECKOUT / "grafana/dashboards/ward.json").is_file()
    assert given["GF_DASHBOARDS_MIN_REFRESH_INTERVAL"] == "1s"


# --- preflight: its script with folders of ours instead of the container's ---


def preflight(folder: Path) -> subprocess.CompletedProcess[str]:
    service = SERVICES["preflight"]
    script = service["command"][0].replace("$$", "$")
    script = script.replace("/run/secrets", str(folder / "secrets"))
    script = script.replace("/var/lib/postgresql/data", str(folder / "data"))
    postgres = 'postgres() { echo "postgres (PostgreSQL) 17.6 (Debian 17.6-1)"; }\n'
    return subprocess.run([*service["entrypoint"], postgres + script], capture_output=True, text=True, check=False)


@pytest.fixture
def container(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/owner_password").write_text("s3cret")
    return tmp_path


@pytest.mark.parametrize("version", [None, "17\n"])
def test_a_new_volume_and_one_of_the_same_major_pass(container: Path, version: str | None) -> None:
    if version is not None:
        (container / "data/PG_VERSION").write_text(version)
    ended = preflight(container)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_volume_of_another_major_is_named_and_not_touched(container: Path) -> None:
    (container / "data/PG_VERSION").write_text("16\n")
    before = sorted(container.rglob("*"))
    ended = preflight(container)
    assert ended.returncode == 1
    assert "the volume vitalflow_db holds data of PostgreSQL 16, and this is PostgreSQL 17" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert sorted(container.rglob("*")) == before


def test_an_empty_secret_is_named(container: Path) -> None:
    (container / "secrets/grafana_secret_key").write_text("")
    ended = preflight(container)
    assert ended.returncode == 1
    assert ended.stderr == "preflight: the secret grafana_secret_key is empty; delete its file and run: make env\n"


# --- the broker's health check, which tells it of new certificates; also in a shell like that of the vendor's image ---

SHELLS = [["sh"], *([["busybox", "sh"]] if shutil.which("busybox") else [])]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_broker_reloads_once_and_restarts_if_a_session_is_offline(tmp_path: Path, shell: list[str]) -> None:
    given, own, path, config = (tmp_path / name for name in ("identity", "tmp", "path", "config"))
    for folder in (given, own, path, config):
        folder.mkdir()
    (config / "mosquitto.conf").touch()
    for name in ("mosquitto", "mosquitto_rr", "mosquitto_sub"):
        (path / name).write_text("#!/bin/sh\n")
        (path / name).chmod(0o755)
    away = path / "mosquitto_sub"
    (given / "broker.crt").write_text("the first certificate")
    (given / "revoked.crl").write_text("none")

    def said(script: str) -> str:
        script = script.replace("/tmp/", f"{own}/").replace("/mosquitto/identity", str(given)).replace("$$", "$")
        script = script.replace("/mosquitto/config", str(config))
        script = 'kill() { echo "kill $*"; }\n' + script
        environment = {"PATH": f"{path}:{os.environ['PATH']}"}
        line = [*shell, "-euc", script]
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout

    look = (CHECKOUT / "mosquitto/healthy.sh").read_text()
    assert said(SERVICES["broker"]["command"][-1]) == ""
    assert said(look) == ""
    for number, signal in (("0", "HUP"), ("1", "TERM")):
        away.write_text(f"#!/bin/sh\necho {number}\n")
        for name in ("broker.crt", "revoked.crl"):
            (given / name).write_text(f"one more, with {number} away")
            assert [said(look), said(look)] == [f"kill -{signal} 1\n", ""], name
    away.write_text("#!/bin/sh\necho 0\n")
    (config / "websockets.conf").touch()  # its listener keeps the old certificate after SIGHUP
    (given / "broker.crt").write_text("the next certificate")
    assert said(look) == "kill -TERM 1\n"


# --- the image ---


def test_the_image_has_the_rooms_it_runs_and_no_compiler_and_no_root() -> None:
    lines = (CHECKOUT / "Dockerfile").read_text().splitlines()
    last = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    runs = [line for line in last if line.startswith(("RUN ", " && "))]
    assert all(line[4:].startswith("install -d -o 10001 -g 10001 ") for line in runs)
    assert any("--require-hashes -r requirements.txt" in line for line in lines)
    assert "USER 10001:10001" in last
    assert {SERVICES[name]["user"] for name in [*OURS, "broker"]} == {"10001:10001"}
    made = {folder for line in runs for folder in line.split() if folder.startswith("/")}
    for name in OURS:
        for volume in SERVICES[name].get("volumes", []):
            source, _, rest = volume.partition(":")
            assert source.startswith("./") or rest.endswith(":ro") or rest in made, f"{name} cannot write to {rest}"
    assert "broker:/mosquitto/data:nocopy" in SERVICES["broker"]["volumes"]
    ignored = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert [line for line in ignored if not line.startswith(("#", "**"))] == [
        "*",
        "!requirements.txt",
        *(f"!{package}" for package in PACKAGES),
    ]


def test_the_packages_in_the_image_need_no_other() -> None:
    assert "vitalflow" in PACKAGES
    all_packages = "|".join(path.name for path in CHECKOUT.iterdir() if (path / "__init__.py").exists())
    for package in PACKAGES:
        for file in (CHECKOUT / package).rglob("*.py"):
            for needed in re.findall(rf"^\s*(?:from|import) ({all_packages})\b", file.read_text(), re.MULTILINE):
                assert needed in PACKAGES, f"{file} imports {needed}"


@pytest.mark.parametrize("name", [".env", ".secrets/x", "my-monitor/device.json", "my-monitor/device.key"])
def test_nothing_secret_goes_into_the_repository(name: str) -> None:
    ignored = subprocess.run(["git", "check-ignore", "-q", name], cwd=CHECKOUT, check=False)
    assert ignored.returncode == 0
