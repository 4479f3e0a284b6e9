"""`vitalflow alerts watch` as a person has it: in a terminal, with keys, on a real broker with a real worker."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack.servers import BrokerServer
from tests.fixtures.alerts import AlertClient, AlertsProcess, MakeAlerts
from tests.fixtures.secured import Secured
from tests.support.process import Forked, run_module
from tests.support.servers import eventually

MakePerson = Callable[[int], AlertClient]
BED = "icu-1/bed-1"
RULE = f"{BED}/heart-rate-high"


class Terminal:
    """A terminal with the watch in it; `shown` is all that came out, without the colours."""

    def __init__(self, alerts: AlertsProcess, *options: str) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(100, 24)
        self.before = termios.tcgetattr(self._slave)
        line = [sys.executable, "-m", "alerts", "watch", "--by", "nurse Ada", *options]
        environ = alerts.environment | {"TERM": "xterm-256color"}
        for size in ("COLUMNS", "LINES"):  # a test run may set them, and then the terminal itself is not asked
            environ.pop(size, None)
        self.process = subprocess.Popen(
            line, stdin=self._slave, stdout=self._slave, stderr=self._slave, env=environ, start_new_session=True
        )
        self._out = b""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        while True:
            try:
                self._out += os.read(self._master, 65536)
            except OSError:
                return

    @property
    def raw(self) -> str:
        return self._out.decode(errors="replace")

    @property
    def shown(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.raw)

    @property
    def picture(self) -> str:
        """The last whole one."""
        return self.shown.rpartition("alerts  ")[2]

    def wait_for(self, words: str) -> None:
        eventually(lambda: words in self.picture, 15, f"{words!r} on the screen; it shows {self.picture!r}")

    def types(self, typed: bytes) -> None:
        os.write(self._master, typed)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def ends(self) -> int:
        """Its exit code; the terminal has to be as it was."""
        code = self.process.wait(10)
        assert termios.tcgetattr(self._slave) == self.before
        eventually(lambda: "\x1b[?1049l" in self.raw, 5, "the screen of before is back")
        assert self.raw.rfind("\x1b[?25h") > self.raw.rfind("\x1b[?25l"), "the cursor is back"
        assert "Traceback" not in self.shown
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._slave)
        self._reading.join(5)
        os.close(self._master)


MakeTerminal = Callable[..., Terminal]


@pytest.fixture
def make_terminal() -> Iterator[MakeTerminal]:
    made: list[Terminal] = []

    def make(alerts: AlertsProcess, *options: str) -> Terminal:
        made.append(Terminal(alerts, *options))
        return made[-1]

    yield make
    for terminal in made:
        terminal.close()


def test_a_key_acknowledges_another_pauses_and_q_leaves_the_terminal_as_it_was(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson, make_terminal: MakeTerminal
) -> None:
    alerts = make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    person.measure(heart_rate=150)
    person.wait_for(RULE, state="active")
    terminal = make_terminal(alerts)
    terminal.wait_for("Heart rate high: 150 /min, limit above 120")
    terminal.types(b"p")
    assert person.wait_for(RULE, state="audio_paused").audio_paused_until is not None
    terminal.wait_for("audio paused")
    terminal.types(b"r")
    person.wait_for(RULE, state="active")
    terminal.types(b"a")
    person.wait_for(RULE, state="acknowledged", acknowledged_by="nurse Ada")
    terminal.wait_for("ack by nurse Ada")
    terminal.types(b"p")
    terminal.wait_for("refused: this alert is acknowledged and already silent")
    terminal.types(b"q")
    assert terminal.ends() == 0


def test_the_arrow_keys_select_an_alert(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson, make_terminal: MakeTerminal
) -> None:
    alerts = make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    for device in ("bed-1", "bed-2"):
        person.measure(device, heart_rate=150)
        person.wait_for(f"icu-1/{device}/heart-rate-high", state="active")
    terminal = make_terminal(alerts)
    terminal.wait_for("bed-1")  # the newest, of bed-2, is first and selected
    terminal.types(b"\x1b[B")
    terminal.wait_for("icu-1 bed-1, p-bed-1: heart-rate-high")
    terminal.types(b"a")
    person.wait_for(RULE, state="acknowledged")
    assert person.now["icu-1/bed-2/heart-rate-high"].state == "active"


def test_a_stopped_worker_or_broker_and_its_return_are_shown(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson, make_terminal: MakeTerminal
) -> None:
    alerts = make_alerts(own_broker.url)
    terminal = make_terminal(alerts)
    terminal.wait_for("no alert is open")
    alerts.kill()
    terminal.wait_for("NO HEARTBEAT OF THE ALERT WORKER")
    assert "the open alerts are not known" in terminal.picture
    alerts.start()
    terminal.wait_for("no alert is open")
    own_broker.kill()
    terminal.wait_for("THE BROKER IS UNREACHABLE")
    terminal.types(b"a")
    own_broker.start()
    terminal.wait_for("no alert is open")


def test_a_new_size_of_the_terminal_is_drawn_and_ctrl_c_is_no_traceback(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_terminal: MakeTerminal
) -> None:
    alerts = make_alerts(own_broker.url)
    terminal = make_terminal(alerts)
    terminal.wait_for("no alert is open")
    assert "q quit" in terminal.picture
    terminal.resize(40, 12)
    terminal.process.send_signal(signal.SIGWINCH)
    eventually(lambda: "…" in terminal.picture and "q quit" not in terminal.picture, 10, "keys cut to 40 columns")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.ends() == 0


def test_without_a_terminal_there_is_a_line_for_each_change_of_that_ward(
    own_broker: BrokerServer, make_alerts: MakeAlerts, make_alert_client: MakePerson, tmp_path: Path
) -> None:
    alerts = make_alerts(own_broker.url)
    person = make_alert_client(own_broker.port)
    out = tmp_path / "lines"
    with out.open("wb") as file:
        watching = Forked(["alerts", "watch", "--ward", "icu-1"], alerts.environment, output=file)
    try:
        eventually(lambda: "the alert worker is running" in out.read_text(), 15, "it shows the worker")
        person.measure("bed-9", ward="icu-2", heart_rate=150)
        person.wait_for("icu-2/bed-9/heart-rate-high", state="active")
        person.measure(heart_rate=150)
        person.wait_for(RULE, state="active")
        person.command("acknowledge", RULE)
        person.measure(heart_rate=90)
        eventually(lambda: "heart-rate-high cleared" in out.read_text(), 15, "a line that it cleared")
    finally:
        watching.send_signal(signal.SIGTERM)
        assert watching.wait(10) == 0
    lines = [shown for shown in out.read_text().splitlines() if "bed-" in shown]
    words = ["raised", "acknowledged by nurse Ada", "cleared (the condition is over)"]
    for shown, word in zip(lines, words, strict=True):
        assert f"!!! high     icu-1 bed-1  heart-rate-high {word}: " in shown


def test_an_unprintable_name_and_a_wildcard_ward_are_rejected() -> None:
    for option, value in (("--by", " "), ("--by", "x" * 300), ("--ward", "icu/+"), ("--ward", "")):
        refused = run_module("alerts", "watch", option, value)
        assert refused.returncode == 2
        assert option in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_a_rejected_user_gets_one_message_and_exit_code_2(shared_secured: Secured) -> None:
    wrong = shared_secured.url_of("grace").replace("grace:", "grace:not-")
    environ = os.environ | shared_secured.settings("grace") | {"VITALFLOW_MQTT_URL": wrong}
    refused = run_module("alerts", "watch", environ=environ)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "rejects the login (connection refused: Not authorized)" in refused.stderr
    assert refused.stderr.count("\n") == 1
