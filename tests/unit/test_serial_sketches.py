"""Lines of Arduino and ESP32 sketches: labels, JSON, patterns of a site, and lines that are not whole."""

import random
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from edges.config.serial_table import DecoderName, LineSettings, SerialPort
from edges.serial.console import find_console, find_terminal_owner
from edges.serial.decoders import make_decoder
from edges.serial.identify import guess_decoder
from edges.serial.measurement import Measurement
from edges.serial.port import Port
from edges.serial.pseudo_terminal import PseudoTerminal
from edges.serial.sketch import SketchDecoder
from edges.serial.sketch_labels import Labels
from vitals.errors import TransientError
from vitals.signs import BY_KEY

BOTH = ("heart_rate", "spo2")


def decode(*lines: str, from_start: bool = True, **table: object) -> list[Measurement]:
    content = {"port": "/dev/x", "decoder": "lines", "ward": "w", "device": "d", **table}
    decoder = make_decoder(SerialPort.model_validate(content), from_start=from_start)
    return [*decoder.feed("".join(f"{line}\r\n" for line in lines).encode()), *decoder.flush()]


def pair(measurement: Measurement) -> tuple[float | None, float | None]:
    return measurement.values.get("heart_rate"), measurement.values.get("spo2")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("HR:64,SpO2:95", (64, 95)),
        ("Heart rate:64.35bpm / SpO2:95%", (64.35, 95)),
        ("Heart Rate (BPM) = 64 | SpO2 (%) = 95.5", (64, 95.5)),
        ("red=51234, ir=60321, HR=64, HRvalid=1, SPO2=95, SPO2Valid=1", (64, 95)),
        ("red=51234, ir=60321, HR=-999, HRvalid=0, SPO2=95, SPO2Valid=1", (None, 95)),
        ("red=51234, ir=60321, HR=187, HRvalid=0, SPO2=95, SPO2Valid=1", (None, 95)),
        ("[12:30:01] BPM 64 SpO2 95", (64, 95)),
        ("IR=91000, BPM=61.20, Avg BPM=64, SPO2=95", (64, 95)),
        ("Your heart rate is 64 bpm, oxygen: 95 %", (64, 95)),
        ("HR: -- SpO2: 95", (None, 95)),
        ("HR: 72 SpO2: 95 (simulated)", (None, None)),
        ("demo mode HR=72 SpO2=95", (None, None)),
        ("HR: 72 SpO2: 95 finger: 0", (None, None)),
        ('{"hr": 72, "spo2": 95, "mode": "demo"}', (None, None)),
        ('{"hr": 120, "cmd": "set"}', (None, None)),
        ("HR: nan, SpO2: 95", (None, 95)),
        ("Min HR: 50, HR: 64, Max HR: 120, SpO2: 95", (64, 95)),
        ("HR: 64, HR: 66, SpO2: 95", (None, 95)),
        ("Pulse: 612, SpO2: 95", (None, 95)),
        ("I (1234) MAX30102: HR: 64 SpO2: 95", (64, 95)),
        ("heartRate=64&spo2=95", (64, 95)),
        ('I (1234) app: {"hr": 64, "spo2": 95}', (64, 95)),
        ('{"heart_rate": 64, "SpO2": "95 %"}', (64, 95)),
        ('{"id": 7, "vitals": {"bpm": 64, "o2": 95}}', (64, 95)),
        ('{"hr": 64, "hrValid": false, "spo2": 95}', (None, 95)),
        ('{"hr": 64, "spo2": 0.95}', (64, None)),
        ('{"hr": [64], "spo2": 95}', (None, 95)),
    ],
)
def test_labels_that_sketches_share_are_known(line: str, expected: tuple[float | None, float | None]) -> None:
    assert [pair(found) for found in decode(line)] == [expected]


@pytest.mark.parametrize(
    "line",
    [
        "HR:64,SpO2:",
        "HR:6#4,SpO2:95",
        "HR:64,SpO2:95x",
        "HR:6400,SpO2:95",
        "HR:64,SpO2:9\x00",
        '{"hr":64,"spo2":',
        '{"hr":64,"hr":65,"spo2":95}',
        '{"hr":' + "[" * 4000,
        '"id":{"hr":64,"spo2":95}}',
        "5,SpO2:95",
        "MAX30102 ready",
        "HR limit: 120, SpO2 target 94",
        "IR=51234, RED=60321",
        "O2: 20.9",
        '{"temp": 36.6, "humidity": 41}',
    ],
)
def test_a_line_that_is_not_whole_or_means_something_else_is_not_used(line: str) -> None:
    assert decode(line, "HR:70,SpO2:96")[:-1] == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("HR=72, SpO2=97, valid=0", {}),
        ("confidence=20, HR=72, SpO2=97", {}),
        ("SPO2:97.5%  HR:72bpm  CONF:90", {"heart_rate": 72, "spo2": 97.5}),
        ("Signal quality: poor, HR=72, SpO2=97", {}),
        ("HR=72 quality=0.2, SpO2=97", {}),
        ("HR quality: bad, HR=72, SpO2=97", {"spo2": 97}),
        ("HR=255, SpO2=255", {}),
        ("HR: 1.2 Hz, SpO2: 97 %", {"spo2": 97}),
        ("HR: 83 ms, SpO2: 97", {"spo2": 97}),
        ("HR: 72 %, SpO2: 97 bpm", {}),
        ('{"hr":72,"spo2":97,"valid":false}', {}),
        ('{"hr":72,"spo2":97,"hr_valid":false}', {"spo2": 97}),
        ('{"hr":72,"spo2":97,"spo2_quality":"bad"}', {"heart_rate": 72}),
        ('{"hr":72,"status":"no finger"}', {}),
        ('{"hr":72,"status":"ok","error":0}', {"heart_rate": 72}),
        ('{"hr":72,"simulated":true}', {}),
        ('{"limits":{"hr":120},"spo2":97}', {"spo2": 97}),
        ('{"alarmThresholds":{"hr":120,"spo2":90}}', {}),
        ('{"vitals":{"hr":72},"config":{"spo2":90}}', {"heart_rate": 72}),
    ],
)
def test_what_a_line_marks_as_bad_or_as_no_measurement_is_no_value(line: str, expected: dict[str, float]) -> None:
    decoder = SketchDecoder(Labels(), from_start=True)
    found = [*decoder.feed(f"{line}\n{line}\n".encode()), *decoder.flush()]
    assert [dict(item.values) for item in found if item.values] == [expected] * (2 if expected else 0)


def test_a_temperature_counts_only_as_that_of_the_body() -> None:
    [whole, air, board, named] = decode(
        '{"hr": 64, "temp": 37.1}',
        '{"hr": 64, "temp": 37.1, "humidity": 40}',
        '{"hr": 64, "temp": 31.2}',
        '{"hr": 64, "bodyTemp": 33.9}',
    )
    assert [item.values.get("temperature") for item in (whole, air, board, named)] == [37.1, None, None, 33.9]


@pytest.mark.parametrize(
    "line", ["HR:0,SpO2:0", '{"hr":-1,"spo2":-1}', '{"hr":64,"spo2":95,"finger":false}', "HR=64, SpO2=95 No finger?"]
)
def test_no_finger_on_the_sensor_is_off(line: str) -> None:
    [found] = decode(line)
    assert (found.values, found.sensor_off) == ({}, BOTH)


def test_a_line_of_its_own_about_the_finger_speaks_of_the_signs_before() -> None:
    assert decode("No finger detected") == []
    [_, off] = decode("BPM: 64", "No finger detected")
    assert (off.values, off.sensor_off) == ({}, ("heart_rate",))


def test_lines_of_one_moment_are_one_measurement_and_a_lost_line_joins_no_two_moments() -> None:
    lines = [f"{label}: {value}" for n in range(4) for label, value in (("SpO2", 92 + n), ("heart rate", 62 + n))]
    assert [pair(found) for found in decode(*lines)] == [(62 + n, 92 + n) for n in range(4)]
    del lines[4]  # SpO2 of the third moment
    assert [pair(found) for found in decode(*lines)] == [(62, 92), (63, 93), (64, None), (65, 95)]


def test_the_first_line_of_a_port_is_never_used_and_that_of_a_file_if_it_is_like_the_next() -> None:
    assert [pair(found) for found in decode("HR:64,SpO2:95", "HR:65,SpO2:96", from_start=False)] == [(65, 96)]
    assert [pair(found) for found in decode("Reading: HR 64 SpO2 95", "Reading: HR 65 SpO2 96")] == [(64, 95), (65, 96)]
    assert [pair(found) for found in decode("ading: HR 64 SpO2 95", "Reading: HR 65 SpO2 96")] == [(65, 96)]


def test_labels_of_a_site_add_to_those_that_are_known_and_take_away() -> None:
    labels = {"Puls": "heart_rate", "skin": "temperature", "bpm": ""}
    [found] = decode("Puls: 64, BPM: 99, SpO2: 95, Skin: 36.4 °C", labels=labels)
    assert found.values == {"heart_rate": 64, "spo2": 95, "temperature": 36.4}
    [found] = decode('{"puls": 64, "skin": 31.4}', labels=labels, decoder="json")
    assert found.values == {"heart_rate": 64, "temperature": 31.4}


def test_patterns_of_a_site_replace_the_labels() -> None:
    pattern = {
        "pattern": r"^(?P<heart_rate>\d+);(?P<spo2>\d+);(?P<valid>[01])(?P<off>;OFF)?$",
        "no_value": [127],
    }
    found = decode("64;95;1", "HR:1,SpO2:2", "64;95;0", "64;127;1", "64;95;1;OFF", pattern=[pattern])
    assert [(pair(item), item.sensor_off) for item in found] == [
        ((64, 95), ()),
        ((None, None), ()),
        ((64, None), ()),
        ((None, None), BOTH),
    ]


@pytest.mark.parametrize(
    "mistake",
    [
        {"labels": {"x": "pulse"}},
        {"pattern": [{"pattern": "("}]},
        {"pattern": [{"pattern": "(?P<hr>.)"}]},
        {"pattern": [{"pattern": "x"}]},
        {"clock": "device"},
        {"line": "9600 9N1"},
        {"decoder": "masimo", "labels": {"x": "spo2"}},
        {"decoder": "other"},
        {"ward": "a/b"},
    ],
)
def test_a_mistake_in_the_table_of_a_port_is_refused(mistake: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        SerialPort.model_validate({"port": "/dev/x", "decoder": "lines", "ward": "w", "device": "d", **mistake})


@pytest.mark.parametrize(
    "seen",
    [
        b"\r\nDebian GNU/Linux 12 monitor ttyS0\r\n\r\nmonitor login: ",
        b"Password: ",
        b"root@gateway:~# ",
        b"[user@host ~]$ ",
        b"U-Boot 2023.01\r\nHit any key to stop autoboot:  3",
    ],
)
def test_a_login_console_is_recognised(seen: bytes) -> None:
    assert find_console(seen)


@pytest.mark.parametrize(
    "seen",
    [
        b"HR:64,SpO2:95\r\n",
        b"ets Jul 29 2019\r\nrst:0x1 (POWERON_RESET)\r\n",
        b"WiFi login: ok\r\nHR:64,SpO2:95\r\n",
        b"",
    ],
)
def test_a_device_is_no_login_console(seen: bytes) -> None:
    assert not find_console(seen)


def test_the_terminal_of_a_process_is_found(tmp_path: Path) -> None:
    terminal = PseudoTerminal()
    code = (
        "import fcntl, os, sys, termios; fcntl.ioctl(os.open(sys.argv[1], os.O_RDWR), termios.TIOCSCTTY, 0);"
        "print('ready', flush=True); input()"
    )
    assert find_terminal_owner(terminal.path) == ""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(terminal.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert find_terminal_owner(terminal.path).startswith("python")
        with pytest.raises(TransientError, match="is the terminal of the process python"):
            Port(terminal.path, LineSettings.parse("9600"))
        process.communicate(b"\n")
    terminal.unplug()
    assert find_terminal_owner(tmp_path / "none") == ""


@pytest.mark.parametrize("kind", ["/dev/null", "folder", "file"])
def test_what_is_no_serial_port_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    path = Path(kind) if kind.startswith("/") else tmp_path / kind
    if kind == "file":
        path.write_text("x")
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(TransientError, match=f"^{re.escape(str(path))} is no serial port"):
        Port(path, LineSettings.parse("9600"))


def test_bytes_without_meaning_make_no_value_and_stop_no_decoder() -> None:
    chance = random.Random(7)
    words = [
        b"HR:",
        b"SpO2",
        b"=",
        b"97",
        b"{",
        b'"hr":',
        b"}",
        b" ",
        b"%",
        b"\r\n",
        b"\x1b[",
        b"No finger",
        b"-",
        b".",
    ]
    for decoder in get_args(DecoderName):
        made = make_decoder(SerialPort(port="/dev/x", decoder=decoder, ward="w", device="d"), from_start=True)
        for _ in range(300):
            data = chance.randbytes(chance.randrange(60)) + b"".join(chance.choices(words, k=chance.randrange(12)))
            for item in [*made.feed(data), *(made.flush() if chance.random() < 0.1 else [])]:
                for sign, value in item.values.items():
                    assert BY_KEY[sign].low <= value <= BY_KEY[sign].high


def test_no_decoder_is_guessed_for_noise() -> None:
    assert guess_decoder(bytes(range(256)) * 8, LineSettings.parse("9600")) is None
    assert guess_decoder(b"HR:64,SpO2:95\n" * 3, LineSettings.parse("115200")) == "lines"
