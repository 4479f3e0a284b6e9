"""`vitalflow dev` as a person uses it: real processes, killed for real, on free ports and in a folder of its own."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import randrange
from typing import Any

import psutil
import psycopg
import pytest

from mqtt.endpoint import BrokerEndpoint
from stack import log_files
from stack.binaries import CHECKOUT
from stack.binaries import find as find_programs
from stack.plan import Ports, services
from stack.processes import find
from stack.servers import port_in_use
from stack.stack_dir import Running, StackDir, State
from tests.support.mqtt_probe import MqttProbe, connects
from tests.support.process import Forked, run_module

LAN = "127.0.0.2"  # an address that is not 127.0.0.1, and that no other machine can reach
PASTED = """
eval "$("$PYTHON" -m stack --home "$STACK" env)"
psql -X "$VITALFLOW_READER_URL" -tAc "SELECT count(*) > 0 FROM patient_vitals"
mosquitto_sub -t 'vitalflow/vitals/#' -C 1 -W 20
"""
TIMEOUT_S = 60.0  # seconds for anything to become true


@dataclass(frozen=True)
class Stack:
    """The command line, always with the same folder and ports."""

    home: StackDir
    port_base: int

    def run(self, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        return run_module("stack", "--home", str(self.home.folder), verb, *options, timeout=180)

    def up(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run("up", "--devices", "3", "--port-base", str(self.port_base), *options)

    @contextmanager
    def demo(self, *options: str) -> Iterator["subprocess.Popen[str]"]:
        """A demo in the foreground, once everything is up."""
        line = [sys.executable, "-m", "stack", "--home", str(self.home.folder), "demo"]
        line += ["--port-base", str(self.port_base), *options]
        with subprocess.Popen(line, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert any(printed.startswith("everything is up") for printed in process.stdout)
                yield process
            finally:
                process.send_signal(signal.SIGINT)

    def state(self) -> State:
        state = self.home.state()
        assert state is not None
        return state

    def running(self, name: str) -> Running:
        state = self.state()
        return next(one for one in (state.supervisor, *state.processes) if one.name == name)

    def kill(self, name: str) -> None:
        os.kill(self.running(name).pid, signal.SIGKILL)

    def rows(self) -> int:
        values = self.run("status").stdout.splitlines()[-1]
        assert values.startswith("readings: "), values
        first = values.split()[1].replace(",", "")
        return int(first) if first.isdecimal() else 0

    def ward(self) -> dict[str, dict[str, Any]]:
        """The beds that the operator sees at the station, by device."""
        proof = base64.b64encode(f"operator:{self.home.password.read_text().strip()}".encode()).decode()
        page = f"{Ports(self.port_base).page}/api/ward"
        asked = urllib.request.Request(page, headers={"Authorization": f"Basic {proof}"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return {bed["device"]: bed for bed in json.load(answer)["beds"]}

    def listening(self, *more: int) -> set[tuple[str, int]]:
        """Every address at which the ports of this stack, and `more`, are open."""
        ports = {*Ports(self.port_base).all, *more}
        found = [one.laddr for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        return {(where[0], where[1]) for where in found if where and where[1] in ports}

    def left_over(self) -> list[str]:
        """Whatever still runs with this stack's folders or ports in its command line or environment."""
        marks = (str(self.home.folder), f"/srv/{self.home.data}/", f":{self.port_base}")
        found = []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), process.environ().get("VITALFLOW_MQTT_URL", "")]
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if process.pid != os.getpid() and any(mark in word for word in words for mark in marks):
                found.append(" ".join(process.cmdline()))
        return found


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come true in {TIMEOUT_S:.0f} s"
        time.sleep(0.2)


def free_ports() -> int:
    # Not from the system's own choice: that range is for outgoing connections, and our clients make many.
    return next(
        base for base in iter(lambda: randrange(20_000, 32_000), 0) if not any(map(port_in_use, range(base, base + 11)))
    )


@contextmanager
def stack_in(folder: Path) -> Iterator[Stack]:
    """One that is not started; wiped afterwards."""
    stack = Stack(StackDir.at(folder / "stack"), free_ports())
    yield stack
    ended = stack.run("down", "--wipe")
    assert ended.returncode == 0, ended.stderr
    assert stack.left_over() == []
    assert not find_programs().folder(stack.home.data).exists()
    assert stack.home.secrets() is None


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with stack_in(tmp_path) as stack:
        yield stack


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One that runs, for tests that leave it running: each start costs 12 s of processor."""
    with stack_in(tmp_path_factory.mktemp("running")) as stack:
        begun = stack.up("--detach")
        assert begun.returncode == 0, begun.stderr
        until(lambda: stack.rows() > 0, "a first row")
        yield stack


def test_at_an_address_of_other_machines_only_the_broker_listens_and_only_with_tls_and_a_name(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = stack.port_base + 9
    monkeypatch.setenv("VITALFLOW_MQTT_PLAINTEXT_PORT", str(plain))
    begun = stack.up("--detach", "--listen", LAN)
    assert begun.returncode == 0, begun.stderr
    ports = Ports(stack.port_base, LAN)
    assert f"connect to mqtts://{LAN}:{ports.broker}; a firewall must let them use the ports" in begun.stdout
    local = {("127.0.0.1", port) for port in (*ports.all, plain)}
    assert stack.listening(plain) == local | {(LAN, ports.broker), (LAN, ports.certificates)}

    exports = re.findall(r"^export (VITALFLOW_\w+)='?(.*?)'?$", stack.run("env").stdout, re.MULTILINE)
    environ = os.environ | dict(exports)
    for name, option in (("by-password", []), ("by-certificate", ["--certificate"])):
        line = ["devices", "enroll", name, "--ward", "icu-1", "--folder", str(tmp_path / name), *option]
        made = run_module(*line, environ=environ)
        assert made.returncode == 0, made.stderr
        device = json.loads((tmp_path / name / "device.json").read_text())
        assert device["host"] == LAN
        broker = BrokerEndpoint(LAN, device["port"], device.get("user"), device.get("password"), True)
        broker = replace(broker, ca=tmp_path / name / "ca.crt")
        if option:
            broker = replace(broker, certificate=tmp_path / name / "device.crt", key=tmp_path / name / "device.key")
        with MqttProbe(broker, device["client_id"]) as probe:
            assert probe.connected == "Success"
            reading = f'{{"time": "{datetime.now(UTC).isoformat()}", "heart_rate": 72}}'
            assert probe.publish(f"vitalflow/vitals/icu-1/{name}", reading.encode()) == "Success"

        def stored(name: str = name) -> bool:
            with psycopg.connect(environ["VITALFLOW_READER_URL"]) as reader:
                query = "SELECT count(*) FROM patient_vitals WHERE device_id = %s"
                return reader.execute(query, [name]).fetchone() == (1,)

        until(stored, f"the reading of the device {name}")
    without_name = BrokerEndpoint(LAN, ports.broker, tls=True, ca=stack.home.identity / "ca.crt")
    assert connects(without_name) == "Not authorized"
    assert connects(replace(without_name, tls=False)) not in ("Success", "Not authorized"), "without TLS"


def test_the_exports_work_in_a_shell_as_pasted(shared: Stack) -> None:
    environ = os.environ | {"PYTHON": sys.executable, "STACK": str(shared.home.folder)}
    shown = subprocess.run(["sh", "-c", PASTED], cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False)
    assert shown.stdout.splitlines()[0] == "t", shown.stderr
    assert '"seq"' in shown.stdout

    line = ["edges", "hl7", "simulate", "--to", f"127.0.0.1:{Ports(shared.port_base).hl7}", "--interval", "0.2"]
    sender = Forked(line)
    try:
        exports = dict(re.findall(r"^export (VITALFLOW_\w+)='?(.*?)'?$", shared.run("env").stdout, re.MULTILINE))

        def stored() -> bool:
            with psycopg.connect(exports["VITALFLOW_READER_URL"]) as reader:
                query = "SELECT count(DISTINCT device_id) FROM patient_vitals WHERE device_id LIKE 'icu-1-hl7-%'"
                return reader.execute(query).fetchone() == (2,)

        until(stored, "readings of both HL7 beds")
    finally:
        sender.kill()
        sender.wait()


@pytest.mark.slow
def test_whatever_is_killed_comes_back_and_readings_flow_again(shared: Stack) -> None:
    for name in ("ingest", "alerts", "database", "broker", "devices"):
        until(lambda: shared.run("status").returncode == 0, "all up")
        before = shared.running(name)
        began = time.monotonic()
        shared.kill(name)

        def back(name: str = name, before: Running = before) -> bool:
            now = shared.running(name)
            return now.serves and now.pid != before.pid

        until(back, f"{name} back")
        came_back = time.monotonic() - began
        rows = shared.rows()
        until(lambda rows=rows: shared.rows() > rows, f"rows after the death of {name}")  # type: ignore[misc]
        flows = time.monotonic() - began
        sys.stdout.write(f"kill -9 {name}: serves after {came_back:.1f} s, rows flow after {flows:.1f} s\n")
        assert shared.running(name).restarts == 1
    assert "open alerts read back" in shared.run("logs", "alerts").stdout
    log = shared.run("logs", "supervisor").stdout
    assert "ingest ended with signal 9" in log


def test_the_alert_worker_starts_without_the_database(shared: Stack) -> None:
    database, before = shared.running("database").pid, shared.running("alerts")
    os.kill(database, signal.SIGSTOP)
    try:
        shared.kill("alerts")
        until(lambda: shared.running("alerts").serves and shared.running("alerts").pid != before.pid, "alerts back")
    finally:
        os.kill(database, signal.SIGCONT)
    ports = Ports(shared.port_base)
    names = [service.name for service in services(ports, 3)]
    order = [running.name for running in shared.state().processes]
    assert order.index("alerts") < order.index("database"), "at the start of the stack neither"
    assert set(names) <= set(order)


def test_down_leaves_nothing_running_and_the_data_for_a_demo_that_ctrl_c_ends(shared: Stack) -> None:
    assert shared.run("status").returncode == 0
    assert "already running" in shared.up("--detach").stderr
    assert shared.listening() == {("127.0.0.1", port) for port in Ports(shared.port_base).all}

    log = shared.home.log("ingest")
    with log.open("ab") as out:
        out.write(b"a long line of a busy year\n" * (log_files.MAX_BYTES // 20))
    old = log.with_name("ingest.log.1")
    until(lambda: old.exists() and log.stat().st_size < log_files.MAX_BYTES < old.stat().st_size, "a new log")

    rows = shared.rows()
    assert shared.run("down").returncode == 0
    assert shared.left_over() == []
    assert shared.run("status").returncode == 1

    with shared.demo("--devices", "3") as process:
        assert shared.rows() >= rows, "the data did not survive down and up"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert shared.left_over() == []


def test_what_a_killed_supervisor_left_is_found_and_ended(shared: Stack) -> None:
    begun = shared.up("--detach")
    assert begun.returncode == 0, begun.stderr
    orphan = shared.running("ingest")
    shared.kill("supervisor")
    until(lambda: not shared.home.is_locked(), "the lock free")
    assert find(orphan) is not None
    assert shared.run("status").returncode == 1

    again = shared.up("--detach")
    assert again.returncode == 0, again.stderr
    assert find(orphan) is None
    assert "left running" in shared.run("logs", "supervisor").stdout

    shared.kill("supervisor")
    until(lambda: not shared.home.is_locked(), "the lock free")
    assert shared.run("down").returncode == 0
    assert shared.left_over() == []


def test_a_port_that_is_taken_is_one_sentence_and_leaves_nothing(stack: Stack) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", stack.port_base + 1))
        holder.listen()
        refused = stack.up("--detach")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert f"port {stack.port_base + 1} is in use" in refused.stderr
    assert "--port-base" in refused.stderr
    assert stack.left_over() == []


@pytest.mark.slow
def test_within_about_a_minute_the_demo_shows_beds_of_other_systems_and_raises_alerts(stack: Stack) -> None:
    beds = {"hl7-01": "temperature", "webhook-01": "temperature", "serial-01": "spo2", "mqtt-01": "resp_rate"}

    def shown() -> bool:
        ward = stack.ward()
        there = [(ward.get(f"icu-1-{bed}", {"condition": None, "values": {}}), sign) for bed, sign in beds.items()]
        # All at once: a bed with one value every 5 s is SILENT just before its second one, which shows its interval.
        return all(bed["condition"] == "NORMAL" and bed["values"].get(sign) for bed, sign in there)

    with stack.demo("--devices", "20", "--seconds", "75") as process:
        until(shown, "each bed NORMAL with its value")
        printed, _ = process.communicate(timeout=180)
    assert process.returncode == 0, printed
    found = re.search(r"readings stored in \d+ s, (\d+) alerts raised; everything is stopped", printed)
    assert found is not None, printed
    assert int(found[1]) >= 4
    assert re.search(r"open alerts: [1-9] high", printed), printed  # a racing heart, and bed 3 loses oxygen
    assert stack.left_over() == []


def test_a_demo_without_devices_stores_nothing_and_exits_with_an_error(stack: Stack) -> None:
    shown = stack.run("demo", "--seconds", "2", "--devices", "0", "--port-base", str(stack.port_base))
    assert shown.returncode == 1
    assert "demo: 0 readings stored" in shown.stdout
