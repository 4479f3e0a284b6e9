"""deploy/kubernetes as kustomize renders it, against the schemas of Kubernetes and the rules of the containers.

kubectl has kustomize; no Python package does, so without kubectl only each file of the base is validated, and the head
of the test output says so. The schemas of CloudNativePG's Cluster and of cert-manager's Certificate are not part of
Kubernetes and not in this repository: these are compared with the rest only. No cluster has run any of it.
"""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from stack.binaries import CHECKOUT
from vitals.version import VERSION

FOLDER = CHECKOUT / "deploy/kubernetes"
KUBERNETES = "1.30"
FOREIGN = ("postgresql.cnpg.io/", "cert-manager.io/")
COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
HAPROXY_IMAGE = re.findall(r"image: (haproxy:.*)", (CHECKOUT / "deploy/compose-ha/compose.yml").read_text())[0]
OVERLAYS = ("base", "ha")
Manifest = dict[str, Any]
# The validator reads a megabyte of JSON for each manifest.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is read, with the secrets that secrets.sh makes."""
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl, which renders the overlays")
    root = tmp_path_factory.mktemp("kubernetes")
    for folder in ("deploy/kubernetes", "deploy/haproxy", "mosquitto", "stack", "vitals"):
        shutil.copytree(CHECKOUT / folder, root / folder)
    (root / "sql").mkdir()
    shutil.copy(CHECKOUT / "sql/pg_hba.conf", root / "sql")
    (root / ".venv").symlink_to(sys.prefix)
    for _ in range(2):  # repeating it keeps what is valid
        line = ["sh", str(root / "deploy/kubernetes/secrets.sh"), "vitals.example.org"]
        made = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert made.returncode == 0, made.stderr
    return root


@cache
def rendered(root: Path, overlay: str) -> list[Manifest]:
    line = ["kubectl", "kustomize", "--load-restrictor", "LoadRestrictionsNone"]
    line.append(str(root / "deploy/kubernetes" / overlay))
    ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return list(yaml.safe_load_all(ended.stdout))


def found(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The template of each workload's pods, by its name."""
    workloads = found(manifests, "Deployment") | found(manifests, "StatefulSet")
    return {name: one["spec"]["template"] for name, one in workloads.items()}


@pytest.mark.parametrize("path", sorted((FOLDER / "base").glob("[!k]*.yaml")), ids=lambda path: path.stem)
def test_each_file_of_the_base_follows_the_schema_of_kubernetes(path: Path) -> None:
    for manifest in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_the_validation_finds_a_wrong_key() -> None:
    wrong = yaml.safe_load((FOLDER / "base/namespace.yaml").read_text()) | {"spce": {}}
    with pytest.raises(kubernetes_validate.ValidationError, match="spce"):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_kustomize_renders_follows_the_schema_of_kubernetes(checkout: Path, overlay: str) -> None:
    manifests = [one for one in rendered(checkout, overlay) if not one["apiVersion"].startswith(FOREIGN)]
    assert len(manifests) > 30
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    assert {one["metadata"].get("namespace", "vitalflow") for one in manifests} == {"vitalflow"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_is_hardened_and_limited(checkout: Path, overlay: str) -> None:
    for name, pod in pods(rendered(checkout, overlay)).items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in (*spec["containers"], *spec.get("initContainers", [])):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert container["resources"]["limits"]["memory"], name
            for setting in container.get("env", []):
                assert "valueFrom" not in setting, f"{name}: a secret in the environment"
                assert not setting["name"].endswith(("PASSWORD", "INGEST_URL", "READER_URL")), name
        for container in spec["containers"]:
            assert container["readinessProbe"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_and_arguments_are_those_of_docker_compose(checkout: Path, overlay: str) -> None:
    others = {"broker": COMPOSE["broker"]["image"], "database": COMPOSE["db"]["image"], "haproxy": HAPROXY_IMAGE}
    for name, pod in pods(rendered(checkout, overlay)).items():
        container = pod["spec"]["containers"][0]
        assert container["image"] == others.get(name, f"vitalflow:{VERSION}"), name
        if name not in others:
            assert container["args"] in (COMPOSE[name]["command"], [*COMPOSE[name]["command"], "--standby"]), name
    database = pods(rendered(checkout, "base"))["database"]["spec"]["containers"][0]["args"]

    def settings(words: list[str]) -> set[str]:
        return {word for word in words if "file=" not in word}

    assert settings(database) == settings(COMPOSE["db"]["command"])
    pair = found(rendered(checkout, "ha"), "Cluster")["database"]["spec"]["postgresql"]["parameters"]
    same = {f"-c{name}={value}" for name, value in pair.items() if name != "max_slot_wal_keep_size"}
    assert same == {word for word in settings(database) if word.startswith("-c")} - {
        "-cssl=on",
        "-cshared_preload_libraries=timescaledb",
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_and_file_that_a_pod_mounts_is_made(checkout: Path, overlay: str) -> None:
    manifests = rendered(checkout, overlay)
    certificates = {one["spec"]["secretName"] for one in found(manifests, "Certificate").values()}
    secrets, files = set(found(manifests, "Secret")) | certificates, set(found(manifests, "ConfigMap"))
    for name, pod in pods(manifests).items():
        for volume in pod["spec"]["volumes"]:
            for source in (volume, *volume.get("projected", {}).get("sources", [])):
                if "secret" in source:
                    used = source["secret"].get("secretName", source["secret"].get("name"))
                    assert used in secrets, f"{name}: {used}"
                if "configMap" in source:
                    assert source["configMap"]["name"] in files, name


def test_each_service_gets_only_its_own_secrets(checkout: Path) -> None:
    given = {
        name.rpartition("-")[0]: set(one["data"])
        for name, one in found(rendered(checkout, "base"), "Secret").items()
        if name.rpartition("-")[0] in ("ingest", "alerts", "station", "accounts", "migrate")
    }
    assert given == {name: set(COMPOSE[name]["secrets"]) for name in given}
    assert set(given) == {"ingest", "alerts", "station", "accounts", "migrate"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_connections_are_denied_unless_they_are_named_and_alerts_have_no_way_to_the_database(
    checkout: Path, overlay: str
) -> None:
    manifests = rendered(checkout, overlay)
    policies = found(manifests, "NetworkPolicy")
    deny = policies["deny-everything"]["spec"]
    assert (deny["podSelector"], deny["policyTypes"]) == ({}, ["Ingress", "Egress"])
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(manifests).items()}
    clients = {name for name, given in labels.items() if "vitalflow/database-client" in given}
    assert clients == {"ingest", "station"}
    assert policies["database"]["spec"]["ingress"][0]["ports"][0]["port"] == 5432


def test_a_drain_stops_no_alarm_unseen(checkout: Path) -> None:
    budgets = found(rendered(checkout, "base"), "PodDisruptionBudget")
    assert {name for name, one in budgets.items() if one["spec"].get("minAvailable") == 1} == {
        *("broker", "database", "alerts", "station")
    }


def test_the_station_stays_reachable_while_the_database_is_down(checkout: Path) -> None:
    container = pods(rendered(checkout, "base"))["station"]["spec"]["containers"][0]
    assert set(container["readinessProbe"]) >= {"tcpSocket"}
    assert container["livenessProbe"]["httpGet"]["path"] != "/healthz"


def test_the_ha_overlay_has_an_active_process_and_a_standby_on_another_node(checkout: Path) -> None:
    workloads = found(rendered(checkout, "ha"), "Deployment")
    for name in ("ingest", "alerts"):
        spec = workloads[name]["spec"]
        assert spec["replicas"] == 2
        assert spec["strategy"]["type"] == "RollingUpdate"
        pod = spec["template"]["spec"]
        assert pod["containers"][0]["args"][-1] == "--standby"
        apart = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
        assert apart["labelSelector"]["matchLabels"] == {"app.kubernetes.io/name": name}
    assert set(found(rendered(checkout, "ha"), "StatefulSet")) == {"broker", "haproxy"}
    assert "broker-tls" not in found(rendered(checkout, "ha"), "Secret"), "cert-manager makes it"


def test_the_ha_overlay_has_two_brokers_behind_two_haproxies_which_mirror_each_other(checkout: Path) -> None:
    manifests = rendered(checkout, "ha")
    services, sets = found(manifests, "Service"), found(manifests, "StatefulSet")
    for name in ("broker", "haproxy"):
        assert sets[name]["spec"]["replicas"] == 2
        pod = sets[name]["spec"]["template"]["spec"]
        (apart,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert apart["labelSelector"]["matchLabels"] == {"app.kubernetes.io/name": name}
        for number in (1, 2):
            own = services[f"{name}{number}"]["spec"]
            assert own["selector"] == {"statefulset.kubernetes.io/pod-name": f"{name}-{number - 1}"}
            assert own["publishNotReadyAddresses"] is True
    for name in ("broker", "devices"):
        assert services[name]["spec"]["selector"] == {"app.kubernetes.io/name": "haproxy"}
    assert sets["broker"]["spec"]["updateStrategy"] == {"type": "OnDelete"}, "not both in turn, by themselves"
    (line,) = (word for word in pods(manifests)["broker"]["spec"]["initContainers"][0]["command"] if "init" in word)
    for pod_name, port in (("broker-0", 8892), ("broker-1", 8891)):  # of the other one's mirror
        shown = line.replace("exec python -m vitalflow", "echo")
        ended = subprocess.run(
            ["sh", "-euc", shown], env={"HOSTNAME": pod_name}, capture_output=True, text=True, check=True
        )
        assert ended.stdout.split()[-1] == f"--mirror=broker:{port}"
    both = {"name": "VITALFLOW_MQTT_STANDBY_URLS", "value": "mqtts://broker1:8883,mqtts://broker2:8883"}
    for name in ("ingest", "alerts", "accounts"):
        assert both in pods(manifests)[name]["spec"]["containers"][0]["env"]
    (users,) = (one for name, one in found(manifests, "Secret").items() if name.startswith("broker-users-"))
    assert "mqtt_mirror_password" in users["data"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_broker_is_ready_when_a_message_makes_a_round_trip(checkout: Path, overlay: str) -> None:
    broker = pods(rendered(checkout, overlay))["broker"]["spec"]["containers"][0]
    assert broker["readinessProbe"]["exec"]["command"][-1].endswith("healthy.sh")


def test_no_secret_is_in_the_repository() -> None:
    for path in FOLDER.rglob("*.yaml"):
        assert "BEGIN" not in path.read_text()
    ignored = subprocess.run(["git", "check-ignore", "-q", ".secrets/kubernetes"], cwd=CHECKOUT, check=False)
    assert ignored.returncode in (0, 128), "128: not a checkout of git"
