"""The export of stored readings as NDJSON of FHIR: complete, valid and all or nothing."""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fhirkit
import psycopg
import pytest

from edges.config.site import UNKNOWN_SOURCE, Site
from edges.fhir.receive import receive
from tests.support.process import run_module
from tests.support.servers import Db
from vitals.fhir_ids import device_id, patient_id

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
BEGIN = MIDNIGHT - timedelta(seconds=2)
ROW = """
INSERT INTO patient_vitals (time, device_id, boot, seq, patient_id, ward, heart_rate, systolic_bp, diastolic_bp,
                            sensor_off, status, arrival_lag_ms)
SELECT %(begin)s::timestamptz + number * interval '1 s', %(device)s, 1, number + 1, %(patient)s, 'icu-1', 60 + number,
       120, NULL, CASE WHEN number = 0 THEN '{spo2}'::text[] ELSE '{}' END, 'NORMAL', 1500
FROM generate_series(0, 3) AS number
"""


def run_export(url: str, since: str, out: Path) -> subprocess.CompletedProcess[str]:
    line = ["vitalflow", "edges", "fhir", "export", "--since", since, "--out", str(out)]
    return run_module(*line, environ={**os.environ, "VITALFLOW_READER_URL": url})


def lines(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [str(issue) for item in found for issue in fhirkit.validate(json.dumps(item))] == []
    return found


@pytest.fixture
def measured_db(db: Db) -> Db:
    with psycopg.connect(db.owner_url) as owner:
        owner.execute(ROW, {"begin": BEGIN, "device": "bed-1", "patient": "p-1"})
        owner.execute(ROW, {"begin": BEGIN, "device": "bed-2", "patient": None})
        owner.execute(
            "INSERT INTO assignment (device_id, ward, patient_id, from_time, patient_since)"
            " VALUES ('bed-2', 'icu-1', 'p 2', %s, %s)",
            [BEGIN - timedelta(days=1)] * 2,
        )
    return db


def test_an_export_has_each_observation_once_by_day_and_is_read_back(measured_db: Db, tmp_path: Path) -> None:
    out = tmp_path / "export"
    result = run_export(measured_db.reader_url, f"{BEGIN + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}", out)
    assert result.returncode == 0, result.stderr
    days = [f"Observation.{day:%Y-%m-%d}.ndjson" for day in (BEGIN, MIDNIGHT)]
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    counts = {item["url"]: item["count"] for item in manifest["output"]}
    assert counts == {days[0]: 4, days[1]: 8, "Patient.ndjson": 2, "Device.ndjson": 2}
    assert sorted(path.name for path in out.iterdir()) == sorted([*counts, "manifest.json"])
    observations = [item for day in days for item in lines(out / day)]
    assert len({item["id"] for item in observations}) == 12
    subjects = {item["device"]["reference"]: item["subject"]["reference"] for item in observations}
    assert subjects == {
        f"Device/{device_id('bed-1')}": "Patient/p-1",
        f"Device/{device_id('bed-2')}": f"Patient/{patient_id('p 2')}",
    }
    assert {item["id"] for item in lines(out / "Patient.ndjson")} == {"p-1", patient_id("p 2")}
    assert {item["id"] for item in lines(out / "Device.ndjson")} == {device_id("bed-1"), device_id("bed-2")}
    place = {"equipment": f"Device/{device_id('bed-1')}", "ward": "icu-1", "device": "bed-1"}
    site = Site.model_validate({"zone": "UTC", "place": [place]})
    received = receive((out / days[1]).read_bytes(), site, UNKNOWN_SOURCE, datetime.now(UTC))
    of_bed = [item.reading for item in received.report.readings if item.device == "bed-1"]
    assert [(reading.time, reading.value("heart_rate"), reading.value("systolic_bp")) for reading in of_bed] == [
        (MIDNIGHT, 62, 120),
        (MIDNIGHT + timedelta(seconds=1), 63, 120),
    ]


def test_an_export_that_fails_leaves_no_folder(measured_db: Db, tmp_path: Path) -> None:
    out = tmp_path / "export"
    with psycopg.connect(measured_db.owner_url) as owner:
        owner.execute("REVOKE SELECT ON device FROM vitalflow_reader")
    result = run_export(measured_db.reader_url, f"{BEGIN:%Y-%m-%d}", out)
    assert result.returncode != 0
    assert "permission denied" in result.stderr
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    assert "exists" in run_export(measured_db.reader_url, f"{BEGIN:%Y-%m-%d}", out).stderr
