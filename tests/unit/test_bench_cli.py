"""`python -m bench` on the command line: what is wrong with an option is told in one sentence."""

import subprocess
import sys

import pytest

from stack.programs import CHECKOUT


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense:secret", "--url is no address; expected postgresql://"),
        ("postgresql://x:secret@127.0.0.1:1/x", "cannot ask the server at --url: connection failed"),
    ],
)
@pytest.mark.parametrize("command", ["queries", "storage"])
def test_a_server_that_cannot_be_asked_is_told_without_its_password(command: str, url: str, said: str) -> None:
    line = [sys.executable, "-m", "bench", command, "--url", url]
    done = subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"vitalflow bench: {said}")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr
