"""`make env`: makes what is missing, keeps what is there, and shows no secret."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edges.config.site import read_site
from stack.binaries import CHECKOUT
from stack.envfile import MADE, NAMES, VARIABLES, make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path, lambda _: None)
    return tmp_path


def said(folder: Path) -> list[str]:
    lines: list[str] = []
    make(folder, lines.append)
    return lines


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def secrets(folder: Path) -> dict[str, str]:
    return {name: (folder / ".secrets" / name).read_text() for name in NAMES}


def test_it_writes_every_variable_and_every_secret_once(folder: Path) -> None:
    listed = re.findall(r"^(\w+)=(.*)$", (folder / ".env").read_text(), re.MULTILINE)
    assert dict(listed) == {name: value for name, (value, _) in VARIABLES.items()}
    made = secrets(folder)
    assert len({made[name] for name in MADE}) == len(MADE)
    assert all(len(made[name]) >= 32 for name in MADE)
    assert sorted(path.name for path in (folder / ".secrets").iterdir()) == sorted(NAMES)


def test_the_addresses_hold_the_passwords_of_their_users(folder: Path) -> None:
    made = secrets(folder)
    users = {"database": "vitalflow", "ingest": "vitalflow_ingest", "reader": "vitalflow_reader"}
    for name, password in [("database", "owner"), ("ingest", "ingest"), ("reader", "reader")]:
        parts = urlsplit(made[f"{name}_url"])
        assert (parts.username, parts.password) == (users[name], made[f"{password}_password"])
    assert made["admin_url"] == f"mqtts://admin:{made['mqtt_admin_password']}@broker:8883"


def test_the_sites_configuration_has_no_mistake_and_is_never_overwritten(folder: Path) -> None:
    site = folder / "site.toml"
    assert read_site(site).place == ()
    site.write_text('zone = "Europe/Berlin"\n')
    assert not any("site.toml" in line for line in said(folder))
    assert read_site(site).zone == "Europe/Berlin"
    site.unlink()
    assert f"wrote {site}" in said(folder)


def test_the_folder_is_its_owners_and_a_file_can_be_read_in_a_container_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        make(tmp_path, lambda _: None)
    finally:
        os.umask(before)
    assert mode(tmp_path / ".env") == "600"
    assert mode(tmp_path / ".secrets") == "700"
    assert {mode(path) for path in (tmp_path / ".secrets").iterdir()} == {"444"}


def test_a_second_run_changes_nothing_and_reports_it(folder: Path) -> None:
    env = folder / ".env"
    env.write_text(env.read_text().replace("=3000", "=8080"))
    before = env.read_text(), secrets(folder)
    assert said(folder) == [f"kept {env}", f"kept the secrets in {folder / '.secrets'}"]
    assert (env.read_text(), secrets(folder)) == before


def test_a_new_variable_and_a_new_secret_are_added_and_named(folder: Path) -> None:
    env = folder / ".env"
    env.write_text("VITALFLOW_SECRETS=./.secrets\nVITALFLOW_PUBLISH_ON=0.0.0.0")
    (folder / ".secrets/grafana_secret_key").unlink()
    before = secrets_but(folder, "grafana_secret_key")
    kept, wrote = said(folder)
    assert kept.startswith(f"kept {env}, and added VITALFLOW_BROKER_NAME, ")
    assert wrote == f"wrote grafana_secret_key in {folder / '.secrets'}"
    assert env.read_text().startswith("VITALFLOW_SECRETS=./.secrets\nVITALFLOW_PUBLISH_ON=0.0.0.0\n#")
    assert secrets_but(folder, "grafana_secret_key") == before


def secrets_but(folder: Path, missing: str) -> dict[str, str]:
    return {name: (folder / ".secrets" / name).read_text() for name in NAMES if name != missing}


def test_an_empty_secret_is_drawn_and_the_address_that_follows_is_written_again(folder: Path) -> None:
    before = secrets(folder)
    password = folder / ".secrets/ingest_password"
    password.unlink()
    password.touch()
    assert said(folder)[1].startswith("wrote ingest_password, ingest_url in ")
    after = secrets(folder)
    changed = {name for name in NAMES if after[name] != before[name]}
    assert changed == {"ingest_password", "ingest_url"}


def test_secrets_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"VITALFLOW_SECRETS={tmp_path / 'vault'}\n")
    make(tmp_path, lambda _: None)
    assert (tmp_path / "vault/owner_password").exists()
    assert not (tmp_path / ".secrets").exists()


def test_it_shows_no_secret_and_needs_no_package(tmp_path: Path) -> None:
    line = [sys.executable, "-S", "-m", "stack.envfile"]  # -S: nothing but the standard library
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    ended = subprocess.run(line, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    assert "docker compose up --wait" in ended.stdout
    for secret in secrets(tmp_path).values():
        assert secret not in ended.stdout + ended.stderr
