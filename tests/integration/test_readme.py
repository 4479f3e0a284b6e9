"""What the README shows works as it stands."""

import re
import subprocess
import sys
from pathlib import Path

from stack.plan import PORT_BASE
from stack.servers import Broker
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


def test_every_page_that_a_page_links_to_is_there() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_make_target_of_the_readme_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
