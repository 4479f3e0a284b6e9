"""Serial ports as a process: pseudo-terminals that are unplugged, taken, and consoles."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from edges.serial.pseudo_terminal import PseudoTerminal
from edges.serial.simulate import second_of
from stack.servers import BrokerServer
from tests.support.edge import EdgesProcess
from tests.support.fake_ingest import FakeIngest, fake_ingest
from tests.support.process import Forked, run_module
from tests.support.servers import eventually
from vitals.sample import Sample

MakeReader = Callable[..., EdgesProcess]
PORT = '[[serial]]\nport = "{path}"\ndecoder = "{decoder}"\nward = "icu-1"\ndevice = "{device}"\n'


@pytest.fixture
def make_reader(tmp_path: Path) -> Iterator[MakeReader]:
    """Start `edges serial read` with one inbox; all of them are gone when the test ends."""
    site, inbox, log = (tmp_path / name for name in ("site.toml", "inbox.db", "edge.log"))
    with ExitStack() as made:

        def make(mqtt_url: str, *ports: tuple[Path, str, str]) -> EdgesProcess:
            tables = [PORT.format(path=path, decoder=decoder, device=device) for path, decoder, device in ports]
            site.write_text("\n".join(['zone = "UTC"', *tables]))
            process = EdgesProcess(["serial", "read"], {"VITALFLOW_MQTT_URL": mqtt_url}, site, inbox, log)
            return made.enter_context(process).start()

        yield make


def send(terminal: PseudoTerminal, decoder: str, heart_rate: float | None) -> None:
    values = {} if heart_rate is None else {"heart_rate": heart_rate, "spo2": 97.0}
    off = () if values else ("heart_rate", "spo2")
    terminal.send(second_of(Sample(values, off), decoder, datetime(2026, 3, 4, 5, 6, 8)))  # noqa: DTZ001


def wait_for_rate(ingest: FakeIngest, device: str, terminal: PseudoTerminal, decoder: str, rate: float) -> None:
    """Send this rate until a reading of the device has it."""

    def arrived() -> bool:
        send(terminal, decoder, rate)
        return any(
            name == device and values.get("heart_rate") == rate for (name, _, _), values in list(ingest.values.items())
        )

    eventually(arrived, 30, f"{rate} of {device}")


def test_a_device_that_is_unplugged_and_plugged_in_again_is_read_with_the_same_boot(
    broker: BrokerServer, make_reader: MakeReader, tmp_path: Path
) -> None:
    link, other = tmp_path / "oximeter", tmp_path / "sketch"
    terminal, sketch = PseudoTerminal(link), PseudoTerminal(other)
    with fake_ingest(broker.port) as ingest:
        process = make_reader(broker.url, (link, "nonin-7", "bed-1"), (other, "lines", "bed-2"))
        wait_for_rate(ingest, "bed-1", terminal, "nonin-7", 71)
        wait_for_rate(ingest, "bed-2", sketch, "lines", 81)
        terminal.unplug()
        eventually(lambda: process.metric("serial_ports", state="missing") == 1, 30, "the port is missing")
        wait_for_rate(ingest, "bed-2", sketch, "lines", 82)
        assert process.health()["status"] == "ok", "an oximeter may be unplugged"
        terminal = PseudoTerminal(link)
        wait_for_rate(ingest, "bed-1", terminal, "nonin-7", 72)
        boots = {boot for device, boot, _ in ingest.values if device == "bed-1"}
        assert len(boots) == 1
        process.kill()
        process = make_reader(broker.url, (link, "nonin-7", "bed-1"), (other, "lines", "bed-2"))
        wait_for_rate(ingest, "bed-1", terminal, "nonin-7", 73)
        send(terminal, "nonin-7", None)
        eventually(lambda: process.metric("readings_waiting") == 0, 30, "all receipts")
        assert process.stop() == 0
        assert {boot for device, boot, _ in ingest.values if device == "bed-1"} > boots
        assert terminal.received() == sketch.received() == b"", "nothing is written to a port"
    terminal.unplug()
    sketch.unplug()


def test_a_port_that_is_taken_or_a_login_console_is_refused_with_a_sentence(
    broker: BrokerServer, make_reader: MakeReader, tmp_path: Path
) -> None:
    taken, console, good = (PseudoTerminal(tmp_path / name) for name in ("taken", "console", "good"))
    holder = "import serial, sys; port = serial.Serial(sys.argv[1], exclusive=True); print('open', flush=True); input()"
    with (
        fake_ingest(broker.port) as ingest,
        subprocess.Popen(
            [sys.executable, "-c", holder, str(taken.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        process = make_reader(
            broker.url,
            (tmp_path / "taken", "masimo", "bed-1"),
            (tmp_path / "console", "lines", "bed-2"),
            (tmp_path / "good", "masimo", "bed-3"),
        )
        wait_for_rate(ingest, "bed-3", good, "masimo", 73)

        def refused() -> bool:
            console.send(b"\r\nDebian GNU/Linux 12 server ttyS0\r\n\r\nserver login: ")
            return process.metric("serial_ports", state="refused") == 2

        eventually(refused, 30, "both are refused")
        assert f"{tmp_path / 'taken'} is in use by another process" in process.said()
        assert "is a login console, as it shows 'server login:'; nothing was written to it" in process.said()
        assert process.health()["status"] != "ok"
        other.communicate(b"\n", timeout=30)
        wait_for_rate(ingest, "bed-1", taken, "masimo", 71)
        assert console.received() == b""
        assert {device for device, _, _ in ingest.values} == {"bed-1", "bed-3"}
    for terminal in (taken, console, good):
        terminal.unplug()


def test_the_simulator_is_a_port_whose_decoder_the_list_finds(tmp_path: Path) -> None:
    link = tmp_path / "oximeter"
    simulator = Forked(["edges", "serial", "simulate", "nonin-2", "--link", str(link)])
    eventually(lambda: simulator.printed()[0].strip() == str(link), 20, "the port is there")

    def is_found() -> bool:
        listed = run_module("edges", "serial", "list", "--port", str(link), "--listen", "2.5", "--json")
        return bool(json.loads(listed.stdout)[0]["sends"] == "decoder nonin-2, line 9600 8N1")

    eventually(is_found, 60, "the decoder is found")
    simulator.send_signal(signal.SIGTERM)
    simulator.wait()
