"""Commands of ours as processes for tests: run to their end, or started, killed and stopped as a supervisor would.

Each is a fork of one Python that has imported them all: the imports are most of what a short command costs (0.4 to 1 s
of processor). tests/unit/test_cli.py starts every group of commands without it.
"""

import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any, Self

from prometheus_client.parser import text_string_to_metric_families

from stack.binaries import CHECKOUT
from tests.support.servers import eventually

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.support.preloaded"])


class Forked:
    """`python -m` and `arguments` in a process of its own, with what tests use of subprocess.Popen."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        output: IO[Any] | None = None,
        stdin: IO[Any] | int | None = None,
        folder: Path = CHECKOUT,
    ) -> None:
        """Start it, by default in the environment of this process, with an empty `stdin`.

        Without a file for its `output`, `communicate` returns it.
        """
        self._printed = [] if output else [os.memfd_create(name) for name in ("stdout", "stderr")]
        weakref.finalize(self, _close, self._printed)
        with Path(os.devnull).open("rb") as empty:
            outputs = [output, output] if output else self._printed
            files = [_File(file) for file in (stdin or empty, *outputs)]
            given = dict(os.environ if environment is None else environment)
            self._process = FORKS.Process(target=_run, args=(list(arguments), given, folder, files), daemon=True)
            self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 60) -> int:
        """Return the exit code; raises TimeoutExpired."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"{self._process}", timeout, *self.printed())
        return code

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        """Wait for its end; return what it printed on stdout and stderr. Raises TimeoutExpired."""
        self.wait(timeout)
        out, err = self.printed()
        return out, err

    def printed(self) -> list[str]:
        """Return what it has printed so far on stdout and stderr."""
        return [os.pread(file, os.fstat(file).st_size, 0).decode() for file in self._printed]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.pid is not None and self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)


class _File:
    """A file of the child: its number there, once it is unpickled."""

    def __init__(self, file: IO[Any] | int) -> None:
        self._number = file if isinstance(file, int) else file.fileno()

    def __reduce__(self) -> Any:
        return _number, (DupFd(self._number),)


def _number(file: Any) -> int:
    number: int = file.detach()
    return number


def _run(arguments: list[str], environment: dict[str, str], folder: Path, files: list[int]) -> None:
    """Become the command, in the child."""
    for target, number in enumerate(files):
        os.dup2(number, target)
        os.close(number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    sys.argv[1:] = arguments[1:]
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def environ_of(**settings: str) -> dict[str, str]:
    """Return the environment of this process with exactly these settings, named without VITALFLOW_."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VITALFLOW_")}
    return kept | {f"VITALFLOW_{name}": value for name, value in settings.items()}


def run_module(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    stdin: IO[Any] | int | None = None,
    folder: Path = CHECKOUT,
    timeout: float = 60,
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m` to its end; return what it printed."""
    process = Forked(arguments, environ, stdin=stdin, folder=folder)
    try:
        printed = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(arguments, process.wait(), *printed)


class ServiceProcess:
    """`python -m` and `arguments`, with its environment, its log and its metrics.

    At the end of a `with` block it is killed, and its log is printed, which pytest shows where the test failed.
    """

    metrics_port: int
    metrics_prefix: str
    checkout: Path = CHECKOUT  # or a copy of it, whose modules a fork would not import
    is_fork = True  # False: a new Python, which has a command line of its own

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.environment = environment
        self.log = log
        self.process: Forked | subprocess.Popen[bytes] | None = None
        self._arguments = arguments

    def run_module(self, module: str, **environment: str) -> None:
        """Run the service by a module that takes its command as arguments; before `start`."""
        self._arguments = [module, *self._arguments]
        self.environment |= environment

    def start(self, *, wait: bool = True) -> Self:
        """Start it; with `wait`, return once it has a session at the broker."""
        before = self.said().count("connected to the broker")
        with self.log.open("ab") as log:
            if self.is_fork and self.checkout == CHECKOUT:
                self.process = Forked(self._arguments, self.environment, output=log)
            else:
                line = [sys.executable, "-m", *self._arguments]
                self.process = subprocess.Popen(line, cwd=self.checkout, env=self.environment, stdout=log, stderr=log)
        if wait:
            eventually(lambda: self.said().count("connected to the broker") > before, 60, "the service connects")
        return self

    def __enter__(self) -> Self:
        """Return it as it is: started or not."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it and print its log."""
        self.kill()
        sys.stdout.write(self.said())

    def kill(self) -> None:
        """kill -9, unless it has ended."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def said(self) -> str:
        """All of its log."""
        return self.log.read_text() if self.log.exists() else ""

    def metrics(self) -> str:
        """The text of /metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    def metric(self, name: str, **labels: str) -> float:
        """The present value of a metric without its prefix, labels summed over where they are not given."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.metrics())
            for sample in family.samples
            if sample.name == f"{self.metrics_prefix}_{name}" and labels.items() <= sample.labels.items()
        )

    def health(self) -> dict[str, object]:
        """The answer of /healthz, whatever its status."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/healthz", timeout=5) as answer:
                found: dict[str, object] = json.load(answer)
        except urllib.error.HTTPError as error:
            found = json.load(error)
        return found
