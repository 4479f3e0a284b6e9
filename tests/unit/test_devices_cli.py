"""`vitalflow devices`: each error is one sentence with exit code 2, never a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import environ_of, run_module

UNREACHABLE = "mqtt://127.0.0.1:1"  # no broker listens on port 1
ROOT = Path(__file__).parents[2]


def devices(*arguments: str, url: str = UNREACHABLE) -> subprocess.CompletedProcess[str]:
    return run_module("devices", *arguments, environ=environ_of(MQTT_URL=url))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["replay", "none.csv"], "none.csv cannot be read: No such file"),
        (["replay", "README-without-columns.txt"], "cannot be read"),
        (["replay", "x.csv", "--format", "hl7"], "'hl7' is not one of"),
        (["replay", "x.csv", "--speed", "nan"], "Invalid value"),
        (["replay"], "FILE"),
        (["simulate", "--count", "0"], "'--count'"),
        (["simulate", "--scenario", "headache"], "'headache' is not one of"),
        (["simulate", "--ward", "icu/1"], "the ward name 'icu/1' cannot be used"),
        (["simulate", "--name-prefix", "a+"], "the device name 'a+01' cannot be used"),
        (["simulate", "--interval", "nan"], "Invalid value"),
    ],
)
def test_a_wrong_option_is_reported_with_its_value(arguments: list[str], expected: str) -> None:
    result = devices(*arguments)
    assert result.returncode == 2
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_setting_is_reported_by_its_name() -> None:
    result = devices("simulate", url="http://broker")
    assert result.returncode == 2
    assert "VITALFLOW_MQTT_URL" in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_unavailable_broker_is_reported_once_for_all_devices() -> None:
    result = devices("simulate", "--count", "50", "--seconds", "3")
    assert result.returncode == 0
    assert result.stdout.count("waiting for the broker at mqtt://127.0.0.1:1: connection refused") == 1
    assert "0 readings published" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_stops_it_cleanly(number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "devices", "simulate"],
        cwd=ROOT,
        env={"PATH": os.environ.get("PATH", ""), "VITALFLOW_MQTT_URL": UNREACHABLE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()  # it is waiting for the broker
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "ended: 0 readings published" in out
    assert err == ""


def test_help_contains_examples() -> None:
    assert "vitalflow devices simulate --count 2000" in devices("simulate", "--help").stdout
    assert "vitalflow devices replay recordings/*.csv" in devices("replay", "--help").stdout


def test_the_doctor_names_a_broker_that_is_unreachable() -> None:
    result = devices("doctor", "bed-1")
    assert result.returncode == 2
    assert f"the broker at {UNREACHABLE}: " in result.stderr
    assert "Traceback" not in result.stderr
