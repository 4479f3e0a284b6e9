"""The folders that servers in containers read: what is put there, with which modes, and when it is made anew."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509 import DNSName, SubjectAlternativeName, load_pem_x509_certificate
from typer.testing import CliRunner

from identity.__main__ import app
from identity.authority import CertificateAuthority
from identity.broker_bootstrap import health_check_options, health_check_user
from identity.deploy import CertTargets
from identity.policy import READ, WRITE, acls
from identity.settings import IdentitySettings
from vitals.topics import Topics

NOW = datetime.now(UTC)
NAMES = ["localhost", "broker"]


@pytest.fixture
def places(tmp_path: Path) -> CertTargets:
    return CertTargets(tmp_path / "broker", tmp_path / "database", tmp_path / "ca", tmp_path / "edges")


def renewed(places: CertTargets, tmp_path: Path, now: datetime = NOW) -> list[str]:
    said: list[str] = []
    places.renew(CertificateAuthority(tmp_path / "identity"), NAMES, now, said.append)
    return said


def contents(tmp_path: Path) -> dict[str, bytes]:
    folders = ("broker", "database", "ca", "edges")
    return {f"{folder}/{path.name}": path.read_bytes() for folder in folders for path in (tmp_path / folder).iterdir()}


def test_everybody_gets_what_he_reads_and_nothing_of_the_cas_key(places: CertTargets, tmp_path: Path) -> None:
    renewed(places, tmp_path)
    found = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in contents(tmp_path)}
    assert found == {
        "broker/broker.crt": 0o644,
        "broker/broker.key": 0o600,
        "broker/ca.crt": 0o644,
        "broker/revoked.crl": 0o644,
        "database/server.crt": 0o644,
        "database/server.key": 0o640,
        "ca/ca.crt": 0o644,
        "edges/ca.crt": 0o644,
        "edges/edges.crt": 0o644,
        "edges/edges.key": 0o600,
        "edges/revoked.crl": 0o644,
        "edges/token": 0o600,
    }
    key = (tmp_path / "identity/ca.key").read_bytes()
    assert key not in contents(tmp_path).values()


def test_the_database_is_known_by_its_name_in_compose(places: CertTargets, tmp_path: Path) -> None:
    renewed(places, tmp_path)
    certificate = load_pem_x509_certificate((tmp_path / "database/server.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    assert names.get_values_for_type(DNSName) == ["db", "localhost"]


def test_a_valid_certificate_is_not_rewritten(places: CertTargets, tmp_path: Path) -> None:
    renewed(places, tmp_path)
    before = contents(tmp_path)
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in before}
    assert renewed(places, tmp_path, NOW + timedelta(days=58)) == []
    assert contents(tmp_path) == before
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == times


def test_certificates_in_the_last_third_of_their_life_are_made_anew_by_the_same_ca(
    places: CertTargets, tmp_path: Path
) -> None:
    renewed(places, tmp_path)
    before = contents(tmp_path)
    said = renewed(places, tmp_path, NOW + timedelta(days=62))
    assert said[0].startswith("renewed the certificate of the broker: it ends on ")
    changed = {name for name, content in contents(tmp_path).items() if content != before[name]}
    servers = {"broker": "broker", "database": "server", "edges": "edges"}
    assert changed == {f"{folder}/{name}.{kind}" for folder, name in servers.items() for kind in ("crt", "key")}


def test_a_revocation_reaches_the_broker(places: CertTargets, tmp_path: Path) -> None:
    renewed(places, tmp_path)
    authority = CertificateAuthority(tmp_path / "identity")
    authority.issue_client_pair("bed-7", NOW)
    assert authority.revoke("bed-7", NOW) == 1
    assert sorted(renewed(places, tmp_path)) == [
        f"wrote {tmp_path / folder / 'revoked.crl'}" for folder in ("broker", "edges")
    ]


def test_the_health_check_may_use_its_own_topic_and_count_offline_sessions_only() -> None:
    away = "$SYS/broker/clients/disconnected"
    assert set(acls(health_check_user("x" * 32), Topics())) == {
        (WRITE, "vitalflow/health"),
        (READ, "vitalflow/health"),
        (READ, away),
    }
    options = health_check_options("s3cret", Path("/ca.crt"), Topics())
    login = ["-h localhost", "--cafile /ca.crt", "-u health", "-P s3cret"]
    assert {name: lines.decode().splitlines() for name, lines in options.items()} == {
        "mosquitto_rr": [*login, "-t vitalflow/health", "-e vitalflow/health"],
        "mosquitto_sub": [*login, f"-t {away}"],
    }


def test_a_broker_of_a_pair_gets_the_user_of_the_mirror_and_its_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITALFLOW_CA_DIR", str(tmp_path / "identity"))
    word = "word-of-the-mirror"
    (tmp_path / "mqtt_mirror_password").write_text(word)
    line = ["init", "--users", str(tmp_path), "--passwords", str(tmp_path), "--mirror", "broker:8892"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    bridge = (tmp_path / "bridge.conf").read_text()
    assert "address broker:8892\n" in bridge
    assert f"remote_username mirror\nremote_password {word}\n" in bridge
    known = json.loads((tmp_path / "dynamic-security.json").read_text())["clients"]
    assert "mirror" in {client["username"] for client in known}


@pytest.mark.parametrize(("certificate", "endpoint"), [(False, ("ward.example", 9883)), (True, ("ward.example", 9884))])
def test_a_device_gets_the_public_address_of_the_broker(certificate: bool, endpoint: tuple[str, int]) -> None:
    settings = IdentitySettings.read(
        {
            "VITALFLOW_ADMIN_URL": "mqtts://admin:word@broker:8883",
            "VITALFLOW_DEVICES_URL": "mqtts://ward.example:9883",
            "VITALFLOW_MQTT_CERTIFICATE_PORT": "9884",
        }
    )
    assert settings.device_endpoint(certificate=certificate) == endpoint
