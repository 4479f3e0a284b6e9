"""The commands and links of README.md and docs/getting-started.md work as printed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from stack import shell
from stack.binaries import ServerBinaries
from stack.plan import Ports
from stack.stack_dir import Secrets, StackDir
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import PASSWORDS, Secured
from tests.fixtures.station import MakeStation
from tests.support.process import run_module
from tests.support.servers import Db, eventually

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
SECURITY = (ROOT / "docs/security.md").read_text()
GUIDE = (ROOT / "docs/getting-started.md").read_text()


DEVICE_TOPIC = "vitalflow/vitals/icu-1/my-monitor"


@pytest.fixture
def enrolled(own_secured: Secured, db: Db, make_ingest: MakeIngest, tmp_path: Path) -> dict[str, str]:
    """The environment of a running stack in which the README's device is enrolled, its folder below tmp_path."""
    make_ingest(own_secured.url_of("ingest"), db, mqtt_ca=own_secured.ca, ingest_client_id="ingest")
    environ = os.environ | own_secured.settings("operator")
    (enrolls,) = pasted(".venv/bin/vitalflow devices enroll")
    run_printed(enrolls, environ, tmp_path)
    return environ


def run_printed(command: str, environ: dict[str, str], folder: Path) -> None:
    """Run a printed command."""
    done = run_module("vitalflow", *shlex.split(command)[1:], environ=environ, folder=folder)
    assert done.returncode == 0, done.stderr


def test_the_five_python_lines_store_a_reading_and_show_a_refusal(
    enrolled: dict[str, str], db: Db, tmp_path: Path
) -> None:
    found = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert found is not None
    assert len(found[1].strip().splitlines()) == 5
    assert output_of(found[1], tmp_path) == "Success\nSuccess\n"
    eventually(lambda: db.count() == 1, 20, "a row")
    query = "SELECT device_id, ward, heart_rate, spo2, status FROM patient_vitals"
    assert db.rows(query) == [("my-monitor", "icu-1", 72, 98, "NORMAL")]
    other = found[1].replace(DEVICE_TOPIC, "vitalflow/vitals/icu-1/icu-1-bed-03")
    assert output_of(other, tmp_path) == "Success\nNot authorized\n"
    run_printed("vitalflow devices revoke my-monitor", enrolled, tmp_path)
    # paho raises if the refusal arrives before publish(), and connects again in the meantime.
    assert set(output_of(found[1], tmp_path).splitlines()) <= {"Not authorized"}


def output_of(lines: str, folder: Path) -> str:
    """What these lines of Python print. They may end with an error, but only with that of a refused connection."""
    line = [sys.executable, "-c", lines]
    done = subprocess.run(line, check=False, timeout=30, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0 or "Message publish failed" in done.stderr, done.stderr
    return done.stdout


def test_the_mosquitto_pub_line_stores_a_reading(
    enrolled: dict[str, str], db: Db, paste: Callable[[str], str], tmp_path: Path
) -> None:
    (function,), (publishes,) = pasted("value()"), pasted("mosquitto_pub", README)
    paste(f"cd {tmp_path}; {function}; {publishes}")
    eventually(lambda: db.count() == 1, 20, "a row")
    assert db.rows("SELECT device_id, heart_rate FROM patient_vitals") == [("my-monitor", 73)]


def pasted(begins: str, text: str | None = None) -> list[str]:
    """The lines to paste that begin so: of the README, or of a page."""
    text = README if text is None else text
    found = [line.strip() for line in text.splitlines() if line.startswith(f"    {begins}")]
    assert found, begins
    return found


@pytest.fixture
def paste(own_secured: Secured, binaries: ServerBinaries, tmp_path: Path) -> Callable[[str], str]:
    """A shell with the stack's clients, which know the broker; what a line printed in it."""
    home = StackDir.at(tmp_path / "stack")
    shell.install(home, binaries)
    home.identity.mkdir()
    (home.identity / "ca.crt").write_bytes(own_secured.ca.read_bytes())
    shell.write_options(home, Ports(own_secured.server.port), Secrets("", "", "", PASSWORDS))
    environ = os.environ | {"PATH": f"{home.bin}:{os.environ['PATH']}"}

    def run(line: str) -> str:
        done = subprocess.run(["sh", "-c", line], env=environ, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@contextmanager
def ward(secured: Secured, device: str) -> Iterator[AlertClient]:
    """A client that publishes as the enrolled device and receives every alert."""
    secured.enroll(device, "icu-1", "a-word-of-its-own")
    person = AlertClient(0, secured.broker("grace"), secured.broker(device, "a-word-of-its-own"), device)
    try:
        yield person
    finally:
        person.close()


def test_the_lines_about_alerts_show_pause_and_acknowledge_one(
    own_secured: Secured, make_alerts: MakeAlerts, paste: Callable[[str], str]
) -> None:
    make_alerts(own_secured.url_of("alerts"), mqtt_ca=own_secured.ca, alerts_client_id="alerts")
    device = "icu-1-bed-03"
    place = f"icu-1/{device}/spo2-low"
    with ward(own_secured, device) as person:
        pauses, acknowledges = pasted("mosquitto_pub", GUIDE)
        assert place in pauses
        assert place in acknowledges
        refused, shows = (
            next(line for line in pasted("mosquitto_sub", GUIDE) if word in line) for word in ("rejections", "alerts/")
        )
        listening = f"{refused} -C 1 -W 20 & listening=$!; sleep 2; {acknowledges}; wait $listening"
        assert f"no alert of {device} is open" in paste(listening)
        person.measure(device, spo2=78)
        person.wait_for(place, state="active")
        assert paste(f"{shows} -C 1 -W 20").startswith(f"vitalflow/alerts/{place} {{")
        paste(pauses)
        person.wait_for(place, state="audio_paused")
        paste(acknowledges)
        person.wait_for(place, state="acknowledged", acknowledged_by="operator")


def test_the_command_for_the_api_has_no_password(
    own_secured: Secured, make_station: MakeStation, paste: Callable[[str], str], tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    settings = {"mqtt_ca": own_secured.ca, "station_client_id": "station"}
    station = make_station(own_secured.url_of("station"), **settings)
    (asks,) = pasted("curl", GUIDE)
    line = asks.replace("http://127.0.0.1:21887", station.url).replace(".stack/", f"{tmp_path}/stack/")
    assert json.loads(paste(f"{line} -sS"))["beds"] == []
    password = tmp_path / "stack/operator_password"
    assert password.read_text().strip() == PASSWORDS["operator"]
    assert password.stat().st_mode & 0o777 == 0o600
    assert shell.sign_in_hint(StackDir.at(tmp_path / "stack")).endswith(f"cat {password}")


def test_every_question_to_the_database_has_an_answer(db: Db) -> None:
    with psycopg.connect(db.reader_url) as reader:
        for line in pasted('psql "$VITALFLOW_READER_URL"', README + GUIDE + SECURITY):
            reader.execute(shlex.split(line)[-1].encode())
