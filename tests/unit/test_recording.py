"""Recordings: what each format's missing values mean, and what is said about a file that cannot be read.

The samples are typed here in the formats' own manner; the recordings themselves are not ours to ship.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.replay import describe_omissions, prepare, replay_sources
from vitals.device_names import device_name, unique_names
from vitals.errors import PermanentError
from vitals.recording import Format, Recording
from vitals.sample import Sample
from vitals.signs import SIGNS

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BIDMC = """Time [s], HR, PULSE, RESP, SpO2
-0,94,93,25,97
1,NaN,93,0,NaN
2,0,NaN,NaN,0
3,94,NaN,24,97
"""
MIMIC = """elapsed_s,HR,PULSE,RESP,SpO2,NBPSys,NBPDias,NBPMean
0,101.3,0.0,16.5,0.0,,,
60,0.0,88.5,21.2,95.7,87.0,46.0,62.0
120,0.0,0.0,0.0,0.0,NaN,NaN,94.0
"""
CHALLENGE = """HR|O2Sat|Temp|SBP|MAP|DBP|Resp|EtCO2|SepsisLabel
80|100|NaN|120.5|70.5|54|16|NaN|0
NaN|NaN|NaN|NaN|62|NaN|NaN|NaN|0
88|100|36.9|95.5|62|51|16|NaN|1
"""


def a_file(folder: Path, text: str, name: str = "rec.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def a_recording(folder: Path, text: str, name: str = "rec.csv") -> Recording:
    return Recording(a_file(folder, text, name))


def rows(recording: Recording) -> list[tuple[float, Sample | None]]:
    return [(row.elapsed_s, row.sample) for row in recording.rows()]


def complaint(folder: Path, text: str, format: Format | None = None) -> str:
    with pytest.raises(PermanentError) as raised:
        Recording(a_file(folder, text), format).summary()
    return str(raised.value)


def test_columns_of_the_challenge_separated_by_commas_are_read_whole(tmp_path: Path) -> None:
    hourly = a_recording(tmp_path, "HR,O2Sat,Resp,SepsisLabel\n80,97,16,0\n81,NaN,17,0\n")
    assert hourly.layout.format == Format.CHALLENGE
    assert rows(hourly) == [
        (0, Sample({"heart_rate": 80, "spo2": 97, "resp_rate": 16})),
        (3600, Sample({"heart_rate": 81, "resp_rate": 17})),
    ]
    timed = a_recording(tmp_path, "seconds,HR,O2Sat,Resp\n0,80,97,16\n5,81,96,17\n")
    assert timed.layout.format == Format.CSV
    assert timed.unused_columns == ()
    assert rows(timed)[1] == (5, Sample({"heart_rate": 81, "spo2": 96, "resp_rate": 17}))
    assert "line 3 has 2 values" in complaint(tmp_path, "Hour,HR,O2Sat,Resp\n0,80,97,16\n1,81\n")
    assert "line 2 has 'x' for spo2" in complaint(tmp_path, "Hour,HR,O2Sat,Resp\n0,80,x,16\n")


def test_names_of_the_challenge_alone_do_not_make_a_row_every_hour(tmp_path: Path) -> None:
    assert "has no column of times" in complaint(tmp_path, "HR,O2Sat,Resp\n80,97,16\n81,96,16\n")
    assert "has no column of times" in complaint(tmp_path, "HR|O2Sat|Resp\n80|97|16\n81|96|16\n")
    asked_for = Recording(a_file(tmp_path, "HR,O2Sat,Resp\n80,97,16\n81,96,16\n"), Format.CHALLENGE)
    assert asked_for.summary().duration_s == 3600


def test_pressures_that_contradict_each_other_are_left_out_and_counted(tmp_path: Path) -> None:
    recording = a_recording(tmp_path, "seconds,HR,SBP,DBP\n0,71,120,80\n1,72,80,120\n2,,90,90\n3,73,,60\n")
    assert [sample and sample.values for _, sample in rows(recording)] == [
        {"heart_rate": 71, "systolic_bp": 120, "diastolic_bp": 80},
        {"heart_rate": 72},
        None,
        {"heart_rate": 73, "diastolic_bp": 60},
    ]
    assert recording.omitted == {"pairs of pressures of which the diastolic one is not the lower": 2}


def test_an_hour_without_any_value_keeps_its_place(tmp_path: Path) -> None:
    recording = a_recording(tmp_path, "HR,O2Sat,Resp,SepsisLabel\n80,97,16,0\n,,,\n81,96,17,0\n")
    assert [elapsed for elapsed, _ in rows(recording)] == [0, 3600, 7200]


def test_bidmc_pulse_replaces_heart_rate_and_an_empty_field_is_sensor_off(tmp_path: Path) -> None:
    recording = a_recording(tmp_path, BIDMC)
    assert recording.layout.format is Format.BIDMC
    assert rows(recording) == [
        (0, Sample({"heart_rate": 94, "resp_rate": 25, "spo2": 97})),
        (1, Sample({"heart_rate": 93}, sensor_off=("resp_rate", "spo2"))),
        (2, Sample({}, sensor_off=("heart_rate", "resp_rate", "spo2"))),
        (3, Sample({"heart_rate": 94, "resp_rate": 24, "spo2": 97})),
    ]


@pytest.mark.parametrize(
    ("row", "values", "off"),
    [
        ("70, 0, 0, 0", {"heart_rate": 70, "resp_rate": 0}, ("spo2",)),  # the electrodes are on: an apnoea
        ("0, 0, 0, 97", {"heart_rate": 0, "spo2": 97}, ("resp_rate",)),  # no pulse by two sensors: an asystole
        ("0, 71, 0, 97", {"heart_rate": 71, "spo2": 97}, ("resp_rate",)),  # the electrodes are off
        ("0, NaN, 12, 97", {"resp_rate": 12, "spo2": 97}, ("heart_rate",)),
        ("0, 0, 0, 0", {}, ("heart_rate", "resp_rate", "spo2")),  # all is off, or disconnected
    ],
)
def test_a_zero_of_a_monitor_is_a_measurement_where_another_sensor_shows_it(
    tmp_path: Path, row: str, values: dict[str, float], off: tuple[str, ...]
) -> None:
    recording = a_recording(tmp_path, f"Time [s], HR, PULSE, RESP, SpO2\n0, {row}\n")
    assert rows(recording) == [(0, Sample(values, sensor_off=off))]


def test_mimic_a_cuff_that_did_not_measure_is_not_a_sensor_that_is_off(tmp_path: Path) -> None:
    recording = a_recording(tmp_path, MIMIC)
    assert recording.layout.format is Format.MIMIC
    assert recording.unused_columns == ("NBPMean",)
    bp = {"systolic_bp": 87, "diastolic_bp": 46}
    assert rows(recording) == [
        (0, Sample({"heart_rate": 101.3, "resp_rate": 16.5}, sensor_off=("spo2",))),
        (60, Sample({"heart_rate": 88.5, "resp_rate": 21.2, "spo2": 95.7, **bp})),
        (120, Sample({}, sensor_off=("heart_rate", "resp_rate", "spo2"))),
    ]


def test_challenge_is_hourly_and_an_empty_row_is_left_out_aloud(tmp_path: Path) -> None:
    recording = a_recording(tmp_path, CHALLENGE, "p1.psv")
    assert recording.layout.format is Format.CHALLENGE
    found = rows(recording)
    assert [seconds for seconds, _ in found] == [0, 3600, 7200]
    assert found[1][1] is None
    assert found[2][1] == Sample(
        {"heart_rate": 88, "spo2": 100, "temperature": 36.9, "systolic_bp": 95.5, "diastolic_bp": 51, "resp_rate": 16}
    )
    said = list(describe_omissions(prepare([recording])))
    assert "1 row without a value" in said[1]
    assert "EtCO2" in said[0]


@pytest.mark.parametrize("attribute", ["key", "label", "short"])
def test_own_csv_finds_every_sign_by_its_key_label_or_short_name(tmp_path: Path, attribute: str) -> None:
    names = [getattr(sign, attribute).upper() for sign in SIGNS]
    values = [sign.high for sign in SIGNS]
    text = f"Elapsed_S,{','.join(names)},other\n0,{','.join(map(str, values))},x\n"
    recording = a_recording(tmp_path, text)
    assert recording.layout.format is Format.CSV
    assert recording.unused_columns == ("other",)
    assert rows(recording) == [(0, Sample({sign.key: sign.high for sign in SIGNS}))]


def test_own_csv_takes_moments_with_an_offset_a_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    text = "\ufefftime,SpO2\n2026-11-22T10:00:00Z,97\n\n2026-11-22T11:00:01.5+01:00,NaN\n2026-11-22T10:00:03Z,9,\n"
    assert rows(a_recording(tmp_path, text)) == [(0, Sample({"spo2": 97})), (1.5, None), (3, Sample({"spo2": 9}))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "names the columns 'a, b'; expected one of bidmc"),
        ("\x89PNG\n", "expected one of bidmc"),
        ("time,HR\n2026-11-22T10:00:00,80\n", "line 2 has the time '2026-11-22T10:00:00' without an offset"),
        ("time,HR\nyesterday,80\n", "line 2 has 'yesterday' for its time; expected a date and a time with an offset"),
        (
            "seconds,HR\n0,80\n1,eighty\n",
            "line 3 has 'eighty' for heart_rate in column 'HR'; expected a number in /min",
        ),
        ("seconds,HR\n0,inf\n", "line 2 has 'inf' for heart_rate"),
        ("seconds,HR,heart_rate\n0,80,81\n", "line 1 has 2 columns of heart_rate: 'HR', 'heart_rate'; expected one"),
        ("seconds,HR\nnan,80\n", "line 2 has 'nan' for its time"),
        ("seconds,HR\n5,80\n4,80\n", "line 3 goes back in time to 4 s"),
        ("seconds,HR\n0,80\n1e300,80\n", "at most a hundred years"),
        ("seconds,HR\n0,80\n1\n", "line 3 has 1 values; expected 2"),
        ("seconds,HR\n0,80,7\n", "line 2 has 3 values; expected 2"),
        ("seconds,HR\n0,\n", "holds no row with a value"),
        ('seconds,HR\n0,"80\n', "is not CSV"),
    ],
)
def test_an_unreadable_file_is_reported_with_its_path(tmp_path: Path, text: str, words: str) -> None:
    said = complaint(tmp_path, text)
    assert words in said
    assert "rec.csv" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seconds\tHR\tSpO2\n0\t82\t97\n", [(0.0, {"heart_rate": 82, "spo2": 97})]),
        ("seconds;HR;Temp\n0;82;36,8\n0,5;83;36,9\n", [(0.0, {"heart_rate": 82, "temperature": 36.8}), (0.5, None)]),
        ("seconds,HR,SpO2\n0,-,97\n1,82,--\n", [(0.0, {"spo2": 97}), (1.0, {"heart_rate": 82})]),
        ("seconds,HR,SpO2\n0,-nan,97\n1,82,#N/A\n", [(0.0, {"spo2": 97}), (1.0, {"heart_rate": 82})]),
        ("seconds,HR,Temp\n(s),(bpm),°C\n0,82,36.8\n", [(0.0, {"heart_rate": 82, "temperature": 36.8})]),
        ("id,seconds,HR\n7,0,82\n8,1,83\n", [(0.0, {"heart_rate": 82}), (1.0, {"heart_rate": 83})]),
        ("id,seconds,HR\n7,0,82\n7,1,83\n", [(0.0, {"heart_rate": 82}), (1.0, {"heart_rate": 83})]),
        ("Elapsed Time,HR\n0:00:00,82\n0:01:30,83\n", [(0.0, {"heart_rate": 82}), (90.0, {"heart_rate": 83})]),
        (",Hour,HR,O2Sat,Resp\n0,3,82,97,16\n1,7,,96,\n", [(0.0, None), (4 * 3600.0, {"spo2": 96})]),
        ("HR|O2Sat|Resp|ICULOS\n82|97|16|1\nNaN|96|NaN|4\n", [(0.0, None), (3 * 3600.0, {"spo2": 96})]),
    ],
)
def test_separators_decimal_commas_missing_marks_units_and_hours_are_read(
    tmp_path: Path, text: str, expected: list[tuple[float, dict[str, float] | None]]
) -> None:
    recording = a_recording(tmp_path, text)
    recording.summary()
    found = rows(recording)
    assert [elapsed for elapsed, _ in found] == [elapsed for elapsed, _ in expected]
    for (_, sample), (_, values) in zip(found, expected, strict=True):
        assert sample is not None
        assert values is None or sample.values == values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "seconds,HR,Temp\ns,bpm,furlong\n0,80,98.6\n",
            "line 2 has the unit 'furlong' for temperature in column 'Temp'",
        ),
        ("seconds,HR,SpO2\ns,%,%\n0,80,98\n", "line 2 has the unit '%' for heart_rate in column 'HR'"),
        ("seconds,Temp (°C)\n0,98.6 °F\n", "line 2 has '98.6 °F' for temperature in column 'Temp (°C)'; expected Cel"),
        ("seconds,HR\nms,bpm\n0,80\n", "line 2 has the unit 'ms' for its time; expected a unit of 1 s"),
        ("seconds,Temp\n0,98.6\n1,99.1\n", "looks like degrees Fahrenheit; expected Cel: convert the column 'Temp'"),
        ("seconds,SpO2\n0,0.97\n1,0.95\n", "line 2 has '0.97' for spo2 in column 'SpO2'; expected percent"),
        ("seconds,SpO2\n0,98\n1,0.95\n", "line 3 has '0.95' for spo2 in column 'SpO2'; expected percent"),
        (
            "seconds,HR,Temp\n0,71,22.5\n1,71,28\n",
            "temperature is 22.5 to 28 in all rows, which looks like that of a room",
        ),
        ("seconds,SpO2\n0,1\n1,1\n", "spo2 is 1 to 1 in all rows, which looks like a fraction"),
        ("seconds,RR\n0,0.82\n1,0.85\n", "looks like intervals between two heart beats"),
        ("seconds,SBP,DBP\n0,16.1,10.2\n", "looks like kPa; expected mm[Hg]"),
        ("seconds,HR\n1795341000000,80\n", "looks like milliseconds; expected seconds: divide by 1000"),
        ("time,HR\n60,80\n", "for seconds since the start, name the column 'seconds'"),
        ("time,HR\n10:00:05,80\n", "for times since the start, name the column 'elapsed_s'"),
        ("time,HR\n2026-11-27,80\n", "line 2 has '2026-11-27' for its time"),
        ("time,HR\n03/04/2026 10:00,80\n", "line 2 has '03/04/2026 10:00' for its time; expected the order of day"),
        ("elapsed,HR\n0,80\n", "line 1 has no unit for the time in column 'elapsed'"),
        ("seconds,HR\n0,72 mmHg\n", "has '72 mmHg' for heart_rate in column 'HR'; expected a unit of heart_rate"),
        ("seconds,HR\n0,1_0\n", "has '1_0' for heart_rate"),
        ("seconds;HR;Temp\n0;82;36,8\n1;82;36.8\n", "line 3 has '36.8', and rows above have ','; expected one decimal"),
        ("seconds,HR,HR\n0,80,120\n", "line 1 names the column 'HR' twice"),
        ("Patient_ID,seconds,HR\n1,0,80\n2,1,120\n", "line 3 belongs to '2' and the first row to '1' in 'Patient_ID'"),
        (
            "ID paciente;seconds;FC;TA\n1;0;80;120/80\n2;1;120;90/50\n",
            "belongs to '2' and the first row to '1' in 'ID pac",
        ),
        ("seconds,床号,心率\n0,1,80\n1,2,120\n", "belongs to '2' and the first row to '1' in '床号'"),
        ("MRN,seconds,HR\n1,0,80\n2,1,120\n", "line 3 belongs to '2' and the first row to '1' in 'MRN'"),
        ("seconds,device_id,patient_id,HR\n0,a,,80\n1,b,,120\n", "line 3 belongs to ', b' and the first row to ', a'"),
        ("Bed,seconds,HR\n1,0,80\n2,1,120\n", "in 'Bed'; expected one patient and bed: split the file"),
        (
            "seconds,Patient Name,HR\n0,a,80\n1,b,120\n",
            "in 'Patient Name'; expected one patient and bed: split the file",
        ),
        ("seconds,user,HR\n0,a,80\n1,b,120\n", "belongs to 'b' and the first row to 'a' in 'user'"),
        ("seconds,Room,HR\n0,1,80\n1,2,120\n", "belongs to '2' and the first row to '1' in 'Room'"),
        ("seconds,serial_number,HR\n0,1,80\n1,2,120\n", "belongs to '2' and the first row to '1' in 'serial_number'"),
        (
            "seconds,id,HR\n0,1,80\n1,1,81\n2,2,120\n",
            "line 4 has '2' in 'id', which names several; expected one patient",
        ),
        ("seconds,Name,HR\n0,a,80\n0,b,120\n1,a,81\n", "line 4 has 'a' in 'Name', which names several"),
        ("Hour,HR,O2Sat,Resp\n0,80,97,16\n1,80,97,16\n0,120,97,16\n", "line 4 goes back in time to 0 s"),
        ('"25.06.2026 - 19:14";"104 mmHg"\n', "has no line of column names: its first line holds the values"),
        ("1795341000,82,97\n1795341001,83,96\n", "has no line of column names"),
        ("Time,NOM_ECG_CARD_BEAT_RATE\n03-03-2026 10:05:24.480,74\n", "without an offset; expected an offset"),
    ],
)
def test_units_times_and_patients_that_could_be_misread_are_rejected(tmp_path: Path, text: str, words: str) -> None:
    assert words in complaint(tmp_path, text)


def test_a_format_that_was_asked_for_must_fit(tmp_path: Path) -> None:
    assert "not in the format bidmc" in complaint(tmp_path, MIMIC, Format.BIDMC)


def test_a_missing_file_a_folder_and_a_binary_file_are_reported(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="No such file"):
        Recording(tmp_path / "none.csv")
    with pytest.raises(PermanentError, match="not a file"):
        Recording(tmp_path)
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(PermanentError, match="is not text"):
        Recording(tmp_path / "x.png")


@given(content=st.binary(max_size=300))
def test_any_bytes_are_decoded_or_rejected_with_a_reason(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    heads = (
        b"", b"seconds,HR\n", b"time,HR\n", b"HR|O2Sat|Resp\n", b"charttime,itemid,valuenum\n", b"\xff\xfe",
        b"\x1f\x8b", b"patientunitstayid,observationoffset,sao2\n", b"Date,Time,Temp (F)\n",
        b"seconds;sbp;sensor_off\ns;kPa;\n",
    )  # fmt: skip
    for head in heads:
        path.write_bytes(head + content)
        with suppress(PermanentError):  # anything else would be a traceback for the user
            prepare([Recording(path)])


@given(speed=st.floats(0.01, 1e6))
def test_without_loop_the_last_reading_is_of_the_moment_it_is_sent_and_none_of_the_future(
    tmp_path_factory: pytest.TempPathFactory, speed: float
) -> None:
    recording = a_recording(tmp_path_factory.getbasetemp(), MIMIC, "speed.csv")
    (source,) = replay_sources(prepare([recording]), ward="w", now=NOON, speed=speed)
    played = [(NOON + timedelta(seconds=due), s.time) for due, s in source.samples if s is not None and s.time]
    assert [time - played[0][1] for _, time in played] == [timedelta(seconds=s) for s in (0, 60, 120)]
    assert all(time <= sent + timedelta(milliseconds=1) for sent, time in played)
    if speed >= 1:
        assert abs(played[-1][1] - played[-1][0]) < timedelta(milliseconds=1)


def test_with_loop_it_begins_again_and_readings_take_the_time_of_sending(tmp_path: Path) -> None:
    (source,) = replay_sources(prepare([a_recording(tmp_path, BIDMC)]), ward="w", now=NOON, speed=2.0, loop=True)
    played = list(islice(source.samples, 9))
    assert [due for due, _ in played] == [n / 2 for n in range(9)]
    assert played[0][1] == played[4][1] == played[8][1]
    assert all(s is not None and s.time is None for _, s in played)


def test_devices_are_named_after_their_files_and_never_alike() -> None:
    assert device_name(Path("a/bidmc_01_Numerics.csv")) == "bidmc-01"
    assert device_name(Path("my own (2)+#.csv")) == "my-own-2"
    assert device_name(Path("+++.csv")) == "recording"
    assert unique_names(["a", "a-2", "a", "a"]) == ["a", "a-2", "a-3", "a-4"]
