"""What the README shows works as it stands."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from stack import shell
from stack.home import Home
from stack.plan import PORT_BASE
from stack.programs import Programs
from stack.servers import Broker
from tests.fix_alerts import MakeAlerts, Person
from tests.fix_ingest import MakeIngest
from tests.fix_servers import Db, eventually

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def test_the_five_lines_of_a_device_of_your_own_store_a_reading(
    broker: Broker, db: Db, make_ingest: MakeIngest
) -> None:
    found = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert found is not None
    assert str(PORT_BASE) in found[1], "the README names the stack's own port"
    assert len(found[1].strip().splitlines()) == 5
    make_ingest(broker.url, db)
    code = found[1].replace(str(PORT_BASE), str(broker.port))
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    eventually(lambda: db.count() == 1, 20, "a row")
    query = "SELECT device_id, ward, patient_id, heart_rate, spo2, status FROM patient_vitals"
    assert db.rows(query) == [("my-monitor", "icu-1", "p-0042", 72, 98, "NORMAL")]


def pasted(begins: str) -> list[str]:
    """The lines of the README to paste that begin so."""
    found = [shown.strip() for shown in README.splitlines() if shown.startswith(f"    {begins}")]
    assert found, begins
    return found


@pytest.fixture
def paste(own_broker: Broker, programs: Programs, tmp_path: Path) -> Callable[[str], str]:
    """A shell with the stack's clients and the address of the broker; what a line printed in it."""
    home = Home.at(tmp_path / "stack")
    shell.install(home, programs)
    environ = os.environ | {"VITALFLOW_MQTT_URL": own_broker.url, "PATH": f"{home.bin}:{os.environ['PATH']}"}

    def run(line: str) -> str:
        done = subprocess.run(["sh", "-c", line], env=environ, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_lines_about_alerts_show_pause_and_acknowledge_one(
    own_broker: Broker, make_alerts: MakeAlerts, make_person: Callable[[int], Person], paste: Callable[[str], str]
) -> None:
    make_alerts(own_broker.url, alerts_client_id="alerts")
    person = make_person(own_broker.port)
    pauses, acknowledges = pasted("mosquitto_pub")
    device = "icu-1-bed-03"
    place = f"icu-1/{device}/spo2-low"
    assert place in pauses
    assert place in acknowledges
    refused, shows = (next(one for one in pasted("mosquitto_sub") if word in one) for word in ("refusals", "alerts/#"))
    listening = f"{refused} -C 1 -W 20 & listening=$!; sleep 2; {acknowledges}; wait $listening"
    assert f"no alert of {device} is open" in paste(listening)
    person.measure(device, spo2=78)
    person.sees(place, state="active")
    assert paste(f"{shows} -C 1 -W 20").startswith(f"vitalflow/alerts/{place} {{")
    paste(pauses)
    person.sees(place, state="audio_paused")
    paste(acknowledges)
    person.sees(place, state="acknowledged", acknowledged_by="nurse Ada")


def test_the_lines_on_the_screen_of_the_demo_acknowledge_the_alert_that_they_name(
    own_broker: Broker, make_alerts: MakeAlerts, make_person: Callable[[int], Person], paste: Callable[[str], str]
) -> None:
    make_alerts(own_broker.url)
    person = make_person(own_broker.port)
    for device in ("icu-1-bed-06", "a bed, 'of' its own", "$(echo icu-1-bed-06) `false`"):
        person.measure(device, heart_rate=150)
        place = f"icu-1/{device}/heart-rate-high"
        paste("\n".join(shell.acknowledges(person.sees(place, state="active"))))
        person.sees(place, state="acknowledged", acknowledged_by="me")


def test_every_question_to_the_database_has_an_answer(db: Db) -> None:
    with psycopg.connect(db.reader_url) as reader:
        for line in pasted('psql "$VITALFLOW_READER_URL"'):
            reader.execute(shlex.split(line)[-1].encode())


def test_every_page_that_a_page_links_to_is_there() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_make_target_of_the_readme_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
