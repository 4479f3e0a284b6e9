"""A service of ours as a process for tests: started, killed and stopped as a supervisor would."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.support.servers import eventually


class ServiceProcess:
    """`python -m` and `arguments`, with its environment and its log."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.environment = environment
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self._line = [sys.executable, "-m", *arguments]

    def run_module(self, module: str, **environment: str) -> None:
        """Run the service by a module that takes its command as arguments; before `start`."""
        self._line = [*self._line[:2], module, *self._line[2:]]
        self.environment |= environment

    def start(self, *, wait: bool = True) -> Self:
        """Start it; with `wait`, return once it has a session at the broker."""
        before = self.said().count("connected to the broker")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._line, env=self.environment, stderr=log, stdout=log)
        if wait:
            eventually(lambda: self.said().count("connected to the broker") > before, 20, "the service connects")
        return self

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
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
