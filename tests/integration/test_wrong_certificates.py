"""Every program reports what is wrong with a certificate or its files, in one sentence with the remedy.

Each runs as a person starts it, against a real broker; those that wait for one log it and are ended. The other mistakes
and their sentences are in tests/unit/test_tls.py.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from identity import ca
from identity.authority import write_public, write_secret
from stack.servers import free_port
from tests.fixtures.secured import Secured
from tests.support.process import Forked, environ_of
from tests.support.servers import Db, eventually

NOW = datetime.now(UTC)
PROGRAMS = {
    "devices simulate": ["devices", "simulate", "--count", "1"],
    "devices list": ["devices", "list"],
    "ingest": ["ingest"],
    "alerts run": ["alerts", "run"],
    "alerts watch": ["alerts", "watch"],
    "station": ["station"],
}
SERVICES = ("devices simulate", "ingest", "alerts run", "alerts watch")  # what may have a certificate of its own
MAKE_A_PAIR = "vitalflow devices enroll bed-1 --ward WARD --certificate --rotate-password"


@dataclass(frozen=True)
class Ground:
    """The broker, a database, and files that are wrong."""

    secured: Secured
    db: Db
    folder: Path

    def says(self, program: str, sentence: str, **settings: object) -> str:
        """What a program says with these settings, until it has said the sentence or ends; fails after 60 s."""
        url = settings.pop("url", self.secured.url_of("operator"))
        variables = {
            "MQTT_URL": url,
            "ADMIN_URL": url,
            "MQTT_CA": self.secured.ca,
            "INGEST_URL": self.db.ingest_url,
            "READER_URL": self.db.reader_url,
            "STATION_PORT": free_port(),
            "INGEST_METRICS_PORT": 0,
            "ALERTS_METRICS_PORT": 0,
        } | {name.upper(): value for name, value in settings.items()}
        environ = environ_of(**{name: str(value) for name, value in variables.items()})
        process = Forked(PROGRAMS[program], environ, folder=self.folder)
        eventually(lambda: process.poll() is not None or sentence in "".join(process.printed()), 60, sentence)
        process.kill()
        output = "".join(process.communicate())
        assert "Traceback" not in output, output
        return output

    def pair(self, name: str, begins: datetime, days: int) -> dict[str, Path]:
        """The settings of a certificate of bed-1, written under a name."""
        made = ca.sign_client(self.secured.access.authority.load_or_create(NOW), "bed-1", begins, days)
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        write_public(certificate, made.certificate)
        write_secret(key, made.key)
        return {"mqtt_certificate": certificate, "mqtt_key": key}


@pytest.fixture
def ground(shared_secured: Secured, db: Db, tmp_path: Path) -> Ground:
    return Ground(shared_secured, db, tmp_path)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_reports_a_wrong_ca_or_host_name(ground: Ground, program: str) -> None:
    key = ground.secured.access.authority.folder / "ca.key"
    other_name = ground.secured.url_of("operator").replace("127.0.0.1", "127.1")
    wrong: list[tuple[dict[str, object], str, str]] = [
        ({"mqtt_ca": key}, f"{key} is a private key; expected the certificate of the CA", "export VITALFLOW_MQTT_CA="),
        ({"url": other_name}, "its certificate is not for 127.1", "make a new one: vitalflow identity init"),
    ]
    for settings, is_wrong, mends in wrong:
        (line,) = [text for text in ground.says(program, is_wrong, **settings).splitlines() if is_wrong in text]
        assert mends in line


@pytest.mark.parametrize("program", SERVICES)
def test_every_program_reports_a_wrong_client_certificate(ground: Ground, program: str) -> None:
    old = ground.pair("old", NOW - timedelta(days=10), 1)
    is_wrong = f"{old['mqtt_certificate']} has expired on"
    (line,) = [text for text in ground.says(program, is_wrong, **old).splitlines() if is_wrong in text]
    assert MAKE_A_PAIR in line


def test_a_certificate_that_the_broker_refuses_is_named(ground: Ground) -> None:
    made = ca.sign_client(ca.new_ca("VitalFlow local CA", NOW), "bed-1", NOW)
    certificate, key = ground.folder / "foreign.crt", ground.folder / "foreign.key"
    write_public(certificate, made.certificate)
    write_secret(key, made.key)
    url = f"mqtts://127.0.0.1:{ground.secured.access.listeners.certificates}"
    for program in ("devices simulate", "ingest"):
        sentence = f"if it rejects {certificate} (revoked, or of another CA): vitalflow devices enroll"
        assert sentence in ground.says(program, sentence, url=url, mqtt_certificate=certificate, mqtt_key=key)
