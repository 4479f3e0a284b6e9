"""Numerics of WFDB records, as PhysioNet has them."""

import datetime as dt
import importlib
import warnings
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from vitals.errors import PermanentError
from vitals.recording import Format, Recording
from vitals.sample import Sample

NAN = float("nan")
SIGNALS = {"HR": "bpm", "PULSE": "bpm", "RESP": "pm", "SpO2": "%", "ABP Sys": "mmHg", "ABP Dias": "mmHg", "CVP": "mmHg"}
ROWS = [[71.5, 72, 16, 97, 121, 68, 8], [NAN, 70, 0, 0, NAN, NAN, 8], [0, NAN, 12, 96, 119, 0, 8]]


def write_record(folder: Path, rate_hz: float, **header: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wfdb, numpy = importlib.import_module("wfdb"), importlib.import_module("numpy")
        wfdb.wrsamp(
            "rec01n",
            fs=rate_hz,
            sig_name=[*SIGNALS],
            units=[*SIGNALS.values()],
            p_signal=numpy.array(ROWS),
            fmt=["16"] * len(SIGNALS),
            adc_gain=[10.0] * len(SIGNALS),
            baseline=[0] * len(SIGNALS),
            write_dir=str(folder),
            **header,
        )
    return folder / "rec01n.hea"


def test_numerics_have_the_times_and_missing_values_of_a_monitor(tmp_path: Path) -> None:
    recording = Recording(write_record(tmp_path, 1 / 60))
    assert recording.layout.format is Format.WFDB
    assert recording.unused_columns == ("CVP",)
    assert recording.summary().readings == 3
    assert [(row.elapsed_s, row.sample) for row in recording.rows()] == [
        (0, Sample({"heart_rate": 71.5, "resp_rate": 16, "spo2": 97, "systolic_bp": 121, "diastolic_bp": 68})),
        (60, Sample({"heart_rate": 70}, sensor_off=("resp_rate", "spo2"))),
        (120, Sample({"resp_rate": 12, "spo2": 96, "systolic_bp": 119}, sensor_off=("heart_rate",))),
    ]


def test_with_a_zone_the_date_of_the_header_is_the_time_of_the_first_row(tmp_path: Path) -> None:
    path = write_record(tmp_path, 1, base_date=dt.date(2026, 7, 1), base_time=dt.time(10, 0, 0))
    times = [row.time for row in Recording(path, zone=ZoneInfo("Europe/Berlin")).rows()]
    assert times[2] == dt.datetime(2026, 7, 1, 8, 0, 2, tzinfo=dt.UTC)
    assert [row.time for row in Recording(path).rows()] == [None, None, None]


def test_waveforms_changed_signals_and_other_files_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="125 samples a second, which are waveforms"):
        Recording(write_record(tmp_path, 125))
    path = write_record(tmp_path, 1)
    recording = Recording(path)
    path.with_suffix(".dat").write_bytes(b"\0" * 42)
    with pytest.raises(PermanentError, match="changed while they were read"):
        recording.summary()
    path.with_suffix(".dat").unlink()
    with pytest.raises(PermanentError, match="is no WFDB record"):
        Recording(path).summary()
    path.write_text("seconds,HR\n0,71\n")
    with pytest.raises(PermanentError, match="is no WFDB record"):
        Recording(path)
    with pytest.raises(PermanentError, match="no such file"):
        Recording(tmp_path / "none.hea")
