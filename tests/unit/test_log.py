"""Log lines as text and as JSON objects, each in a process of its own, because logging is set up once per process."""

import json
import subprocess
import sys

import pytest

from vitals.errors import PermanentError
from vitals.settings import Settings

PROGRAM = """
import logging, os, threading
from vitals import log
from vitals.errors import PermanentError, exit_on_error
log.configure("ingest", False, os.environ)
logging.getLogger("ingest").warning("two\\nlines of %s", "bed-1", extra={"device": "bed-1"})
failed = threading.Thread(target=lambda: 1 / 0, name="writer")
failed.start(); failed.join()
with exit_on_error("vitalflow ingest"):
    raise PermanentError("VITALFLOW_X is wrong")
"""


def lines(log_format: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"VITALFLOW_LOG_FORMAT": log_format},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert result.returncode == 2, result.stderr
    return result.stderr.splitlines()


def test_json_has_one_object_per_event_for_tracebacks_and_the_last_error_too() -> None:
    warning, defect, end = map(json.loads, lines("json"))
    assert warning["time"].endswith("+00:00")
    assert {**warning, "time": ""} == {
        "time": "",
        "level": "warning",
        "component": "ingest",
        "logger": "ingest",
        "message": "two\nlines of bed-1",
        "device": "bed-1",
    }
    assert defect["level"] == "critical"
    assert "ZeroDivisionError" in defect["exception"]
    assert (end["component"], end["message"]) == ("ingest", "VITALFLOW_X is wrong")


def test_text_is_for_people() -> None:
    written = lines("text")
    assert written[0].endswith("WARNING ingest: two")
    assert written[-1] == "vitalflow ingest: VITALFLOW_X is wrong"


def test_another_format_is_refused_with_those_that_exist() -> None:
    with pytest.raises(PermanentError, match=r"VITALFLOW_LOG_FORMAT.*'text' or 'json'"):
        Settings.read({"VITALFLOW_LOG_FORMAT": "xml"})
