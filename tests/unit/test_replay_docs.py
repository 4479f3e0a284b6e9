"""The example of docs/replay.md: what `devices try` prints for its file is what the page shows."""

import re
import subprocess
from pathlib import Path

from stack.binaries import CHECKOUT
from tests.support.process import run_module


def test_try_prints_what_the_page_shows_for_its_file(tmp_path: Path) -> None:
    page = (CHECKOUT / "docs/replay.md").read_text()
    found = re.search(
        r"^    (printf .* > vitaldb\.csv)\n.* devices try vitaldb\.csv\n\n((?:    .*\n)+)", page, re.MULTILINE
    )
    assert found is not None
    subprocess.run(["sh", "-c", found[1]], cwd=tmp_path, check=True)
    tried = run_module("vitalflow", "devices", "try", "vitaldb.csv", folder=tmp_path)
    assert tried.stdout.splitlines() == [text[4:] for text in found[2].splitlines()]
