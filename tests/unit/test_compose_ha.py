"""deploy/compose-ha as it is written: two hosts and a witness from the services of docker-compose.yml.

`docker compose config` puts the files together where it is installed; no engine is needed.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from identity.haproxy import Listener, broker_sections, connect_packet
from stack.binaries import CHECKOUT
from stack.envfile import CA, VARIABLES, make
from vitals.version import VERSION

FOLDER = CHECKOUT / "deploy/compose-ha"
TEXT = (FOLDER / "compose.yml").read_text()
HAPROXY = (FOLDER / "haproxy.cfg").read_text()
BROKERS = CHECKOUT / "deploy/haproxy"
PAIR = (BROKERS / "brokers.cfg").read_text()
PATRONI: dict[str, Any] = yaml.safe_load((FOLDER / "patroni/patroni.yml").read_text())
SINGLE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
WITH_DEVICES = {"devices", "enroll-simulated"}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All services, as `docker compose config` puts them together."""
    compose = ["docker", "compose"]
    if (
        shutil.which("docker") is None
        or subprocess.run([*compose, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed")
    folder = tmp_path_factory.mktemp("compose-ha")
    make(folder, lambda _: None)
    line = [*compose, "--project-directory", str(CHECKOUT), "--env-file", str(folder / ".env")]
    line += ["--profile", "demo", "--profile", "failback"]
    line += ["-f", str(FOLDER / "compose.yml"), "config", "--format", "json"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("VITALFLOW_", "COMPOSE_"))}
    ended = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, dict[str, Any]] = json.loads(ended.stdout)["services"]
    return found


def host(service: dict[str, Any]) -> str:
    return str(service.get("labels", {}).get("vitalflow.host"))


def test_every_service_belongs_to_a_host_and_no_host_depends_on_the_witness_alone(
    services: dict[str, dict[str, Any]],
) -> None:
    hosts: dict[str, set[str]] = {}
    for name, service in services.items():
        hosts.setdefault(host(service), set()).add(name)
    assert hosts.pop("None") == WITH_DEVICES
    assert hosts["h3"] == {"etcd3"}
    for kind in ("etcd", "db", "haproxy", "broker", "ingest", "alerts", "station", "grafana"):
        assert f"{kind}1" in hosts["h1"]
        assert f"{kind}2" in hosts["h2"]


def test_every_container_is_hardened_as_on_a_single_host(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].split(":")[0] not in ("0", "root", ""), name
        assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & set(service), name
        assert int(service["mem_limit"]) <= 2 * 2**30, name
        assert service["pids_limit"] > 0, name
        assert service["logging"]["options"]["max-size"], name
        if service["restart"] != "no":
            assert service["healthcheck"]["test"], name


def test_only_haproxy_and_the_pages_are_published(services: dict[str, dict[str, Any]]) -> None:
    published = {name for name, service in services.items() if service.get("ports")}
    assert {re.sub(r"\d$", "", name) for name in published} == {"haproxy", "station", "grafana"}
    ports = [port["published"] for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == len(set(ports)), "two hosts on one machine"
    assert {port["host_ip"] for service in services.values() for port in service.get("ports", [])} == {"127.0.0.1"}


def test_clients_reach_broker_and_database_through_the_haproxy_of_their_host(
    services: dict[str, dict[str, Any]],
) -> None:
    networks = {name: set(service["networks"] or ()) for name, service in services.items() if "networks" in service}
    servers = {name for name in networks if re.match(r"(db|broker|etcd)\d", name)}
    assert {name for name in servers if networks[name] - {"between", "brokers", "consensus"}} == set()
    for number in "12":
        aliases = services[f"haproxy{number}"]["networks"]
        assert aliases[f"mqtt{number}"]["aliases"] == ["broker"]
        assert aliases[f"data{number}"]["aliases"] == ["db"]
    for name in networks:
        if name.startswith("alerts"):
            assert networks[name] == {f"mqtt{name[-1]}", "brokers"}, "alerts need no database"
        if name.startswith("ingest"):
            assert networks[name] == {f"mqtt{name[-1]}", f"data{name[-1]}", "brokers"}
    on = {name for name in networks if "consensus" in networks[name]}
    assert {re.sub(r"\d$", "", name) for name in on} == {"etcd", "db"}, "etcd asks for no password"


def test_images_are_exact_and_those_of_the_single_host() -> None:
    assert set(re.findall(r"vitalflow-\w+:(\S+)", TEXT)) == {VERSION}
    dockerfile = (FOLDER / "patroni/Dockerfile").read_text()
    assert f"ARG BASE={SINGLE['db']['image']}\n" in dockerfile
    assert "--require-hashes" in dockerfile
    foreign = re.findall(r"^FROM (\S+)", (FOLDER / "etcd.Dockerfile").read_text(), re.MULTILINE)
    foreign += re.findall(r"image: (haproxy\S+)", TEXT)
    for image in foreign:
        assert re.fullmatch(r"\S+:v?\d+\.\d+(\.\d+|-slim)", image), image


def test_secrets_are_those_of_the_single_host() -> None:
    single = (CHECKOUT / "docker-compose.yml").read_text()
    assert TEXT.rpartition("\nsecrets:\n")[2] == single.rpartition("\nsecrets:\n")[2], "copy the section of the latter"


def test_variables_are_those_of_make_env_or_have_a_default() -> None:
    found = set(re.findall(r"\$\{(\w+)(:-[\d./]+)?", TEXT))
    assert {name for name, default in found if not default} <= set(VARIABLES)
    second = {name for name, default in found if default and not name.startswith("VITALFLOW_HA_")}
    assert {name.removesuffix("_2") for name in second} <= set(VARIABLES)


def test_the_database_has_the_settings_of_the_single_host() -> None:
    given = dict(word.removeprefix("-c").split("=", 1) for word in SINGLE["db"]["command"] if word.startswith("-c"))
    ours = PATRONI["bootstrap"]["dcs"]["postgresql"]["parameters"] | PATRONI["postgresql"]["parameters"]
    paths = {"hba_file"}
    assert {name: str(ours.get(name)) for name in given if name not in paths} == {
        name: value for name, value in given.items() if name not in paths
    }


def test_a_plaintext_connection_to_the_database_is_rejected() -> None:
    kinds = [line.split()[0] for line in PATRONI["postgresql"]["pg_hba"]]
    assert set(kinds) == {"local", "hostssl"}
    replication = PATRONI["postgresql"]["authentication"]["replication"]
    assert replication["sslmode"] == "verify-ca"
    assert replication["sslrootcert"] == CA


def test_patroni_promotes_only_a_standby_that_has_every_commit() -> None:
    dcs = PATRONI["bootstrap"]["dcs"]
    assert dcs["synchronous_mode"] is True
    assert dcs["loop_wait"] + 2 * dcs["retry_timeout"] <= dcs["ttl"], "what Patroni requires"


STARTS = '    tcp-request connection reject if { date,sub("${STARTED}") lt 8 }\n'


def test_the_pair_of_brokers_is_led_as_identity_renders_it_and_an_haproxy_that_starts_learns_first() -> None:
    servers = {name: f"{name}:{{port}}" for name in ("broker1", "broker2")}
    listeners = [
        Listener(name, f":{port}", {broker: address.format(port=port) for broker, address in servers.items()})
        for name, port in (("password", 8883), ("certificates", 8884))
    ]
    mirrors = {"broker1": ":8891", "broker2": ":8892"}
    login = ("health", "word")
    sections = broker_sections(listeners, mirrors, ca_file=CA, host_name="broker", login=login, peers="hosts")
    sections = sections.replace(connect_packet(login).hex(), '"${CONNECT}"')
    assert PAIR.count(STARTS) == len(listeners)
    assert PAIR.replace(STARTS, "").endswith(sections.strip() + "\n")
    assert 'monitor fail if { date,sub("${STARTED}") lt 9 }' in PAIR, "healthy once it accepts clients"
    assert "STARTED=$(date +%s) haproxy" in (BROKERS / "haproxy.sh").read_text()


def test_haproxy_checks_a_broker_by_the_login_of_its_health_check(tmp_path: Path) -> None:
    (tmp_path / "mqtt_health_password").write_text("word-of-health\n")
    (tmp_path / "haproxy").write_text('#!/bin/sh\necho "$CONNECT"\n')
    (tmp_path / "haproxy").chmod(0o755)
    environ = os.environ | {"SECRETS": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    line = ["bash", str(BROKERS / "haproxy.sh"), "haproxy1"]
    ended = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout.strip() == connect_packet(("health", "word-of-health")).hex()


def test_failback_controls_both_haproxies_by_sockets_that_only_they_have(
    services: dict[str, dict[str, Any]],
) -> None:
    mounts = {
        (name, volume["source"], volume["target"])
        for name, service in services.items()
        for volume in service.get("volumes", ())
        if volume.get("source", "").startswith("control")
    }
    ours = {(f"haproxy{number}", f"control{number}", "/run/haproxy") for number in "12"}
    assert mounts == ours | {("failback", f"control{number}", f"/run/haproxy{number}") for number in "12"}
    assert [word for word in services["failback"]["entrypoint"] if word.startswith("--haproxy")] == [
        f"--haproxy=/run/haproxy{number}/admin.sock" for number in "12"
    ]


def test_each_bridge_reads_the_other_broker_through_the_haproxy_of_its_host(
    services: dict[str, dict[str, Any]],
) -> None:
    script = services["pair"]["command"][0]
    assert "mirror-1 --kind pair --address broker:8892" in script, "8892: the mirror of broker2"
    assert "mirror-2 --kind pair --address broker:8891" in script
    for number in "12":
        address = services[f"haproxy{number}"]["networks"]["between"]["ipv4_address"]
        assert address in str(services[f"broker{number}"]["extra_hosts"])
        assert address in str(services["haproxy1"]["extra_hosts"])


def test_users_are_changed_at_both_brokers_and_sessions_kept_on_both(services: dict[str, dict[str, Any]]) -> None:
    both = "mqtts://broker1:8883,mqtts://broker2:8883"
    setting = "VITALFLOW_MQTT_STANDBY_URLS"
    given = {name for name, service in services.items() if service.get("environment", {}).get(setting) == both}
    assert given == {"identity", "accounts", "ingest1", "ingest2", "alerts1", "alerts2"}
    for name in ("identity", "renewal"):
        assert services[name]["environment"]["VITALFLOW_BROKER_HOSTNAMES"].endswith(",broker1,broker2")


def test_of_ingest_and_alerts_one_stands_by(services: dict[str, dict[str, Any]]) -> None:
    for name in ("ingest", "alerts"):
        assert [services[f"{name}{number}"]["command"] for number in "12"] == [
            [*SINGLE[name]["command"], "--standby"]
        ] * 2
    assert services["station2"]["environment"]["VITALFLOW_STATION_CLIENT_ID"] == "station-2"
    assert "VITALFLOW_MQTT_PASSWORD_FILE" not in services["station2"]["environment"], "its URL has one"


def test_haproxy_leads_to_the_primary_and_ends_connections_to_a_frozen_one() -> None:
    database = HAPROXY.partition("listen database\n")[2].partition("\n\n")[0]
    assert "OPTIONS /primary" in database
    for option in ("inter 1s fall 3", "on-marked-down shutdown-sessions", f"verify required ca-file {CA}"):
        assert option in database


def test_no_password_is_written_down() -> None:
    for path in (*FOLDER.glob("*.*"), *(FOLDER / "patroni").glob("*.yml")):
        assert not re.search(r"(postgresql|mqtts?)://\w+:[^@/]+@|password: *\w", Path(path).read_text()), path
