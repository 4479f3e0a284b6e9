"""Recordings as people export them: formats of other systems, times, units, encodings, and files that change.

The samples are typed here in the formats' own manner, with values of our own.
"""

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from vitals.errors import PermanentError
from vitals.recording import DateOrder, Format, Recording
from vitals.sample import Sample

BERLIN = ZoneInfo("Europe/Berlin")
VSCAPTUREMP = (
    "Time,RelativeTime,SystemLocalTime,NOM_PULS_OXIM_SAT_O2,NOM_PLETH_PULS_RATE,NOM_ECG_CARD_BEAT_RATE,"
    "NOM_PRESS_BLD_NONINV_SYS,NOM_PRESS_BLD_NONINV_DIA,NOM_PRESS_BLD_ART_ABP_SYS,NOM_PRESS_BLD_ART_ABP_DIA\n"
    "04-05-2026 09:15:10.250,1,x,96,81,-,-,-,131,72\n"
    "04-05-2026 09:15:11.274,2,x,96,81,0,118,-,133,74\n"
)
# As the program writes it: two lines before the names, and rows whose later values stand below other names.
VSCAPTURE = (
    "\ufeffVitalSignsCapture v1.009\nDatex AS3 Monitor\n"
    "Date,Time,Heart Rate(/min),Systolic BP(mmHg),Diastolic BP(mmHg),SpO2(%),AA ET, RR, T1, RR\n"
    "03/04/2026,12:50:56,61,119,67,98,0,0,0.04,-,-,7,\n"
)
VITALDB = "Time,Solar8000/PLETH_HR,Solar8000/ART_SBP,Solar8000/ART_DBP,Solar8000/BT,Orchestra/PPF20_VOL\n"
EICU = (
    "vitalperiodicid,patientunitstayid,observationoffset,temperature,sao2,heartrate,respiration,systemicsystolic\n"
    "9,77,12,36.9,95,88,19,117\n8,77,7,,96,86,,\n7,78,7,,70,40,,\n"
)
CHARTEVENTS = (
    "subject_id,hadm_id,stay_id,charttime,itemid,valuenum,valueuom\n"
    "5,6,7,2150-03-02 04:00:00,220277,97,%\n"
    "5,6,7,2150-03-02 03:00:00,220045,71,bpm\n"
    "5,6,7,2150-03-02 03:00:00,223761,99.5,°F\n"
    "5,6,7,2150-03-02 03:00:00,220050,140,mmHg\n"
    "5,6,7,2150-03-02 03:00:00,220051,80,mmHg\n"
    "5,6,7,2150-03-02 03:00:00,220179,128,mmHg\n"
    "5,6,7,2150-03-02 03:00:00,220181,91,mmHg\n"
    "5,6,7,2150-03-02 03:00:00,220210,,insp/min\n"
)


def write(folder: Path, content: str | bytes, name: str = "rec.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(recording: Recording) -> list[tuple[float, dict[str, float]]]:
    recording.summary()
    return [(row.elapsed_s, dict(row.sample.values)) for row in recording.rows() if row.sample]


def error(recording: Recording) -> str:
    with pytest.raises(PermanentError) as raised:
        recording.summary()
    return str(raised.value)


def test_vscapturemp_takes_an_ecg_that_is_not_0_first_and_both_pressures_of_one_sensor(tmp_path: Path) -> None:
    recording = Recording(write(tmp_path, VSCAPTUREMP), zone=BERLIN)
    assert recording.layout.format is Format.VSCAPTUREMP
    assert values(recording) == [
        (0, {"heart_rate": 81, "spo2": 96, "systolic_bp": 131, "diastolic_bp": 72}),
        (1.024, {"heart_rate": 81, "spo2": 96, "systolic_bp": 118}),
    ]
    assert next(recording.rows()).time == datetime(2026, 5, 4, 7, 15, 10, 250_000, UTC)


def test_vscapture_reads_no_column_that_stands_below_another_name(tmp_path: Path) -> None:
    path = write(tmp_path, VSCAPTURE)
    recording = Recording(path, zone=UTC, date_order=DateOrder.MDY)
    assert recording.layout.format is Format.VSCAPTURE
    assert values(recording) == [(0, {"heart_rate": 61, "spo2": 98, "systolic_bp": 119, "diastolic_bp": 67})]
    assert next(recording.rows()).time == datetime(2026, 3, 4, 12, 50, 56, tzinfo=UTC)
    assert "order of day and month" in error(Recording(path, zone=UTC))


def test_vitaldb_has_seconds_and_a_zero_that_no_other_sensor_shows_is_not_measured(tmp_path: Path) -> None:
    recording = Recording(write(tmp_path, VITALDB + "2,80,0,0,36.4,5\n4,,121,64,,5\n"))
    assert recording.reason.startswith("has the columns Time, Solar8000/PLETH_HR")
    assert recording.unused_columns == ("Orchestra/PPF20_VOL",)
    assert values(recording) == [
        (0, {"heart_rate": 80, "temperature": 36.4}),
        (2, {"systolic_bp": 121, "diastolic_bp": 64}),
    ]


def test_eicu_rows_are_sorted_and_one_stay_is_selected(tmp_path: Path) -> None:
    path = write(tmp_path, EICU)
    recording = Recording(path, only_patient="77")
    assert values(recording) == [
        (0, {"heart_rate": 86, "spo2": 96}),
        (300, {"temperature": 36.9, "spo2": 95, "heart_rate": 88, "resp_rate": 19, "systolic_bp": 117}),
    ]
    assert recording.summary().omitted == {"rows of other patients": 1}
    assert "line 4 belongs to '78' and the first row to '77'" in error(Recording(path))
    assert "holds no row with a value of patient '99'" in error(Recording(path, only_patient="99"))


def test_chartevents_of_one_time_are_one_reading_in_our_units(tmp_path: Path) -> None:
    recording = Recording(write(tmp_path, CHARTEVENTS))
    assert values(recording) == [
        (0, {"heart_rate": 71, "temperature": 37.5, "systolic_bp": 128}),
        (3600, {"spo2": 97}),
    ]
    assert recording.summary().omitted == {
        "rows of items that are no supported vital sign": 1,
        "rows without a number": 1,
    }
    lines = CHARTEVENTS.splitlines()
    marked = Recording(write(tmp_path, "\n".join([f"{lines[0]},error", *(f"{line},1" for line in lines[1:])])))
    assert "holds no row with a value" in error(marked)
    assert "rows that the file marks as bad" in marked.omitted
    zero = CHARTEVENTS.replace("220277,97", "220277,0")
    assert values(Recording(write(tmp_path, zero))) == [
        (0, {"heart_rate": 71, "temperature": 37.5, "systolic_bp": 128}),
    ]
    wrong = CHARTEVENTS + "5,6,7,2150-03-02 05:00:00,223761,37,°C\n"
    assert "line 10 has the unit '°C' for item 223761" in error(Recording(write(tmp_path, wrong)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seconds,Temp (°F),SpO2 [%]\n0,98.6,97\n", {"temperature": 37.0, "spo2": 97}),
        ("seconds,temp_f,sbp_kpa\n0,102.2,16\n", {"temperature": 39.0, "systolic_bp": 120}),
        ("seconds,SpO2 (fraction)\n0,0.97\n", {"spo2": 97}),
        ("seconds,SpO2,Temp\ns,1,K\n0,0.97,310.15\n", {"spo2": 97, "temperature": 37}),
        ("seconds;HR;Temp\n0;82 bpm;98,6 °F\n", {"heart_rate": 82, "temperature": 37}),
        (
            "seconds,SpO₂,Heart-Rate,Body Temperature\n0,97%,60,36.6 °C\n",
            {"spo2": 97, "heart_rate": 60, "temperature": 36.6},
        ),
        ('seconds,Temp\n0,"36,8"\n', {"temperature": 36.8}),
        ('seconds,"Heart rate\n(bpm)"\n0,71\n', {"heart_rate": 71}),
        ("seconds,HR,Pulse\n0,-- bpm,71 bpm\n# the end\n", {"heart_rate": 71}),
        ("seconds,HR,Pulse\n0,-,71\n", {"heart_rate": 71}),
        ("seconds,HR,MAP,NBP Mean\n0,71,90,91\n", {"heart_rate": 71}),
        ("seconds,NBPSys,NBPDias,ABPSys,ABPDias\n0,,,120,80\n", {"systolic_bp": 120, "diastolic_bp": 80}),
        ("seconds,NBPSys,NBPDias,ABPSys,ABPDias\n0,110,,120,80\n", {"systolic_bp": 110}),
        ("# seconds,HR\n0,71\n", {"heart_rate": 71}),
        ("'Elapsed time','HR'\n'(hh:mm:ss.mmm)','(bpm)'\n   0:00.008,71\n", {"heart_rate": 71}),
        (
            '"Date";"SYS";"DIA";"Pulse"\n"2026-06-25T19:14Z";"104 mmHg";"68 mmHg";"72 bpm"\n',
            {"systolic_bp": 104, "diastolic_bp": 68, "heart_rate": 72},
        ),
        ("sep=;\nseconds;HR\n0;71\n", {"heart_rate": 71}),
        ("#1 exported\n\n# by monitor 3\nseconds\tHR\n0\t71\n", {"heart_rate": 71}),
        ("seconds,HR,PULSE,SpO2\n0,0,71,97\n", {"heart_rate": 71, "spo2": 97}),
        ("seconds,NBPSys,NBPDias,ABPSys,ABPDias\n0,0,0,120,80\n", {"systolic_bp": 120, "diastolic_bp": 80}),
        ("seconds,HR,SpO2\n0,0,97\n", {"heart_rate": 0, "spo2": 97}),
        ("seconds,NIBP (mmHg)\n0,120/80 (93)\n", {"systolic_bp": 120, "diastolic_bp": 80}),
        ("seconds,BP (kPa)\n0,16/10.6\n", {"systolic_bp": 120, "diastolic_bp": 80}),
        ("seconds,BP,ABP\ns,mmHg,mmHg\n0,--/--,121 / 79 mmHg\n", {"systolic_bp": 121, "diastolic_bp": 79}),
        ("seconds,BP,SBP\n0,120/80,118\n", {"systolic_bp": 118}),
        ("seconds,SYS/DIA\n0,120/80\n", {"systolic_bp": 120, "diastolic_bp": 80}),
        ("seconds,HR,ABP\n0,71,93\n", {"heart_rate": 71}),
        ("seconds,HR,Temperature,Humidity\n0,71,22.5,40\n", {"heart_rate": 71}),
        (
            "Zeit;Puls;Sauerstoffs\u00e4ttigung;Temperatur\n2026-11-27T10:00:00Z;71;97;36,8\n",
            {"heart_rate": 71, "spo2": 97, "temperature": 36.8},
        ),
        (
            "Fecha;Hora;Frecuencia card\u00edaca\n2026-11-27;10:00:00 +0100;71\n",
            {"heart_rate": 71},
        ),
        (
            "Heure;FC;FR;TA;SpO2\n2026-11-27T10:00:00Z;71;16;120/80;97\n",
            {"heart_rate": 71, "resp_rate": 16, "systolic_bp": 120, "diastolic_bp": 80, "spo2": 97},
        ),
        ("seconds,FC,PAS,PAD\n0,71,120,80\n", {"heart_rate": 71, "systolic_bp": 120, "diastolic_bp": 80}),
        (
            "Czas;T\u0119tno;Saturacja;Ci\u015bnienie skurczowe\n2026-11-27T10:00:00Z;71;97;120\n",
            {"heart_rate": 71, "spo2": 97, "systolic_bp": 120},
        ),
        (
            "\u0412\u0440\u0435\u043c\u044f;\u0427\u0421\u0421, \u0443\u0434/\u043c\u0438\u043d;\u0410\u0414\n"
            "2026-11-27T10:00:00Z;71;120/80\n",
            {"heart_rate": 71, "systolic_bp": 120, "diastolic_bp": 80},
        ),
        ("SAAT;NABIZ;SOLUNUM SAYISI\n2026-11-27T10:00:00Z;71;16\n", {"heart_rate": 71, "resp_rate": 16}),
        (
            "\u65f6\u95f4,\u5fc3\u7387\uff08\u6b21/\u5206\uff09,\u8840\u6c27,\u4f53\u6e29(\u2103)\n2026-11-27T10:00:00Z,71,97,36.8\n",
            {"heart_rate": 71, "spo2": 97, "temperature": 36.8},
        ),
        (
            "\u65e5\u6642,\u5fc3\u62cd\u6570,\u547c\u5438\u6570,\u53ce\u7e2e\u671f\u8840\u5727\n2026-11-27T10:00:00Z,71,16,120\n",
            {"heart_rate": 71, "resp_rate": 16, "systolic_bp": 120},
        ),
    ],
)
def test_units_and_sensors_in_names_rows_and_cells_are_read(
    tmp_path: Path, text: str, expected: dict[str, float]
) -> None:
    recording = Recording(write(tmp_path, text))
    assert values(recording) == [(0, expected)]
    assert "heart_rate" not in expected or "MAP" not in text or recording.unused_columns == ("MAP", "NBP Mean")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (("2026-10-25 01:59:59", "2026-10-25 02:00:01"), "2026-10-25T00:00:01+00:00"),
        (("27.11.2026 10:00:00", "27.11.2026 10:00:05"), "2026-11-27T09:00:05+00:00"),
        (("5/11/2026, 11:59:58 am", "5/11/2026, 12:00:01 PM"), "2026-11-05T11:00:01+00:00"),
        (("25.06.2026 - 19:14", "25.06.2026 - 20:14"), "2026-06-25T18:14:00+00:00"),
        (("2026/11/27 10:00", "2026/11/27 10:01"), "2026-11-27T09:01:00+00:00"),
        (("2026-11-27 10:00:00 +0000", "2026-11-27 10:00:01.5 UTC"), "2026-11-27T10:00:01.500000+00:00"),
        (("1795341000000", "1795341001250"), "2026-11-22T09:50:01.250000+00:00"),
        (("10:00:00 Nov 27 2026", "10:00:04 Nov 27 2026"), "2026-11-27T09:00:04+00:00"),
        (("[10:00:00.000 27/11/2026]", "[10:00:04.250 27/11/2026]"), "2026-11-27T09:00:04.250000+00:00"),
        (("27-Nov-2026 10:00", "27 November 2026 10:01"), "2026-11-27T09:01:00+00:00"),
        (("1795341000", "1795341001.25"), "2026-11-22T09:50:01.250000+00:00"),
        (("1795341000", "1795341001"), "2026-11-22T09:50:01+00:00"),
        (("2026年11月27日 10:00", "2026年11月27日10时00分05秒"), "2026-11-27T09:00:05+00:00"),
        (("27.11.2026 1:00:00 p. m.", "27.11.2026 1:00:01 p. m."), "2026-11-27T12:00:01+00:00"),
    ],
)
def test_times_with_a_zone_and_an_order_that_are_given_become_moments(
    tmp_path: Path, times: tuple[str, str], expected: str
) -> None:
    path = write(tmp_path, f'timestamp,HR\n"{times[0]}",71\n"{times[1]}",72\n')
    recording = Recording(path, zone=BERLIN, date_order=DateOrder.DMY)
    recording.summary()
    assert [row.time for row in recording.rows()][1] == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("names", "unused"),
    [
        ("seconds,HR,RESP,PLETH,II", ("RESP", "PLETH", "II")),
        ("seconds,HR,PR,RR,QRS,QTc", ("PR", "RR", "QRS", "QTc")),
        ("seconds,HR,HR_min,HR [Max],SpO2_1,Temp 1", ("HR_min", "HR [Max]", "SpO2_1", "Temp 1")),
        ("seconds,HR,Pulse (mmHg),T1,SaO2", ("Pulse (mmHg)", "T1", "SaO2")),
        ("seconds,HR,temperature,cadence", ("temperature", "cadence")),
        ("seconds,HR,PAS,PAD,FR,AF,HF", ("PAS", "PAD", "FR", "AF", "HF")),
    ],
)
def test_columns_whose_names_have_another_meaning_are_not_read(
    tmp_path: Path, names: str, unused: tuple[str, ...]
) -> None:
    row = ",".join(["0", "71", *("90" for _ in unused)])
    recording = Recording(write(tmp_path, f"{names}\n{row}\n"))
    assert values(recording) == [(0, {"heart_rate": 71})]
    assert recording.unused_columns == unused


@pytest.mark.parametrize(
    ("names", "good", "bad"),
    [
        ("seconds,HR,SpO2,quality", "0,71,97,good", "1,180,60,bad"),
        ("seconds,HR,SpO2,Signal Quality (%)", "0,71,97,90", "1,180,60,30"),
        ("seconds,HR,SpO2,SQI", "0,71,97,0.9", "1,180,60,0.1"),
        ("seconds,HR,SpO2,valid", "0,71,97,1", "1,180,60,0"),
        ("seconds,HR,SpO2,artifact", "0,71,97,", "1,180,60,motion"),
        ("seconds,HR,SpO2,status", "0,71,97,NORMAL", "1,180,60,probe off"),
        ("seconds,HR,HR_valid,SpO2,valid SpO2", "0,71,true,97,true", "1,180,false,60,false"),
        ("Time [s],HR,PULSE,RESP,SpO2,quality", "0,71,70,,97,ok", "1,180,180,,60,poor"),
        ("seconds,HR,SpO2,Deleted?", "0,71,97,no", "1,180,60,да"),
        ("seconds,HR,SpO2,deleted", "0,71,97,0", "1,180,60,1"),
        ("seconds,HR,SpO2,is_estimated", "0,71,97,no", "1,180,60,yes"),
        ("seconds,HR,SpO2,deleted_at", "0,71,97,", "1,180,60,2026-11-27T10:00:00Z"),
        ("seconds,HR,SpO2,outlier flag", "0,71,97,0", "1,180,60,1"),
        ("seconds,HR,SpO2,gel\u00f6scht", "0,71,97,nein", "1,180,60,ja"),
        ("seconds,HR,SpO2,status", "0,71,97,no error", "1,180,60,cancelled"),
        ("seconds,HR,SpO2,status", "0,71,97,F", "1,180,60,D"),
        ("seconds,HR,SpO2,result_status", "0,71,97,final", "1,180,60,entered-in-error"),
        ("seconds,HR,SpO2,qc", "0,71,97,pass", "1,180,60,fail"),
        ("seconds,HR,SpO2,type", "0,71,97,instant", "1,180,60,hourly mean"),
        ("seconds,HR,SpO2,comment", "0,71,97,no artefact", "1,180,60,Artefact of motion"),
        ("seconds,HR,SpO2,comment", "0,71,97,", "1,180,60,value was rejected by a nurse"),
        ("seconds,HR,SpO2,note", "0,71,97,", "1,180,60,deleted"),
        ("seconds,HR,SpO2,sensor_status", "0,71,97,", "1,180,60,out of range"),
        ("seconds,HR,SpO2,flag", "0,71,97,H", "1,180,60,artefact"),
        ("seconds,HR,HR_status,SpO2,SpO2 deleted", "0,71,ok,97,0", "1,180,estimated,60,1"),
    ],
)
def test_a_value_that_its_file_marks_as_bad_is_no_value(tmp_path: Path, names: str, good: str, bad: str) -> None:
    recording = Recording(write(tmp_path, f"{names}\n{good}\n{bad}\n"))
    first, *others = values(recording)
    assert first == (0, {"heart_rate": 71, "spo2": 97})
    assert all(not found for _, found in others)
    assert recording.omitted["values that the file marks as bad"] >= 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("comment", "DVT excluded"),
        ("notes", "Foley catheter removed, surgery cancelled"),
        ("remarks", "estimated blood loss 200 ml, free of artefacts"),
        ("flag", "W"),  # HL7 table 0078: worse
        ("flags", "out of normal range"),
        ("qualifier", "off oxygen"),
        ("method", "counted for 1 min"),
        ("type", "vital signs set"),
        ("type", "alarm"),
        ("type", "change"),
        ("error", "no error"),
    ],
)
def test_a_note_on_the_patient_and_a_flag_of_an_abnormal_value_mark_no_value_as_bad(
    tmp_path: Path, name: str, text: str
) -> None:
    file = write(tmp_path, f'seconds,HR,{name}\n0,71,""\n1,150,"{text}"\n')
    assert values(Recording(file)) == [(0, {"heart_rate": 71}), (1, {"heart_rate": 150})]


def test_a_mark_of_one_sensor_leaves_the_values_of_the_others(tmp_path: Path) -> None:
    text = "seconds,HR,PULSE,pulse_valid,SpO2,BP,BP valid\n0,,180,0,97,120/80,1\n1,71,180,0,97,90/80,0\n"
    assert values(Recording(write(tmp_path, text))) == [
        (0, {"spo2": 97, "systolic_bp": 120, "diastolic_bp": 80}),
        (1, {"heart_rate": 71, "spo2": 97}),
    ]


@pytest.mark.parametrize("row", ["0,0,0", "0,255,255", "0,511,127", "0,65535,255"])
def test_numbers_of_an_oximeter_without_a_value_are_left_out_and_counted(tmp_path: Path, row: str) -> None:
    recording = Recording(write(tmp_path, f"seconds,HR,SpO2\n{row}\n1,71,97\n"))
    assert values(recording) == [(1, {"heart_rate": 71, "spo2": 97})]
    assert recording.omitted == {
        "values of heart_rate that mean that there is none": 1,
        "values of spo2 that mean that there is none": 1,
    }


def test_a_file_whose_newest_row_is_the_first_is_read_from_its_end(tmp_path: Path) -> None:
    rows = ["2026-11-27T10:02:00Z,73", "2026-11-27T10:01:00Z,72", "2026-11-27T10:00:00Z,71"]
    assert values(Recording(write(tmp_path, "\n".join(["time,HR", *rows])))) == [
        (0, {"heart_rate": 71}),
        (60, {"heart_rate": 72}),
        (120, {"heart_rate": 73}),
    ]
    mixed = Recording(write(tmp_path, "\n".join(["time,HR", rows[0], rows[2], rows[1]])))
    assert "goes back in time" in error(mixed)


def test_a_value_without_a_name_above_it_is_one_too_many(tmp_path: Path) -> None:
    assert "has 4 values; expected 3" in error(Recording(write(tmp_path, "seconds,HR,Temp,\n0,71,36,8\n")))


def test_a_name_that_states_utc_is_a_zone_and_vitaldb_may_have_dates(tmp_path: Path) -> None:
    named = Recording(write(tmp_path, "Time (UTC),HR\n2026-11-27 10:00:00,71\n"), zone=BERLIN)
    assert next(named.rows()).time == datetime(2026, 11, 27, 10, tzinfo=UTC)
    dated = Recording(write(tmp_path, "Time,Solar8000/HR\n2026-11-27 10:00:00,71\n"), zone=BERLIN)
    assert next(dated.rows()).time == datetime(2026, 11, 27, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("names", "row", "expected"),
    [
        ("time,timezone,HR", "2026-11-27 10:00:00,America/New_York,71", "2026-11-27T15:00:00+00:00"),
        ("time,UTC offset,HR", "2026-11-27 10:00:00,-05:00,71", "2026-11-27T15:00:00+00:00"),
        ("time,time_offset,HR", "2026-11-27 10:00:00,UTC+0530,71", "2026-11-27T04:30:00+00:00"),
        ("date,time,tz,HR", "2026-11-27,10:00:00,,71", "2026-11-27T09:00:00+00:00"),
        ("time,tz,HR", "2026-11-27T10:00:00Z,America/New_York,71", "2026-11-27T10:00:00+00:00"),
    ],
)
def test_a_zone_in_the_row_is_that_of_its_time(tmp_path: Path, names: str, row: str, expected: str) -> None:
    recording = Recording(write(tmp_path, f"{names}\n{row}\n"), zone=BERLIN)
    assert [found.time for found in recording.rows()] == [datetime.fromisoformat(expected)]
    unknown = Recording(write(tmp_path, "time,tz,HR\n2026-11-27 10:00:00,EST5,71\n"), zone=BERLIN)
    assert "has the zone 'EST5'; expected one such as Europe/Berlin" in error(unknown)


@pytest.mark.parametrize("text", ["OFF", "Leads off", "-?-", "???", "#VALUE!", "Error", "n.a.", "no finger"])
def test_words_in_place_of_a_value_are_no_value(tmp_path: Path, text: str) -> None:
    assert values(Recording(write(tmp_path, f"seconds,HR,SpO2\n0,{text},97\n"))) == [(0, {"spo2": 97})]


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("2026-03-29 02:30:00", "does not exist in Europe/Berlin"),
        ("2026-10-25 02:30:00", "exists twice in Europe/Berlin"),
        ("11/27/2026 10:00", "a time of the calendar in the order dmy"),
        ("27.11.26 10:00", "a year of four digits"),
        ("2035112710", "a date and a time"),
        ("27.11.2026 13:00 PM", "an hour from 1 to 12"),
        ("27.11.2026", "a date and a time"),
    ],
)
def test_times_that_are_no_single_moment_are_rejected(tmp_path: Path, time: str, words: str) -> None:
    recording = Recording(write(tmp_path, f"time,HR\n{time},71\n"), zone=BERLIN, date_order=DateOrder.DMY)
    assert words in error(recording)


def test_the_hour_that_is_repeated_is_read_by_the_rows_before_it_and_refused_after_a_gap(tmp_path: Path) -> None:
    rows = "2026-10-25 01:58:00,70\n2026-10-25 02:20:00,71\n2026-10-25 02:45:00,72\n2026-10-25 02:10:00,73\n"
    recording = Recording(write(tmp_path, "time,HR\n" + rows), zone=BERLIN)
    assert [seconds for seconds, _ in values(recording)] == [0, 1320, 2820, 4320]
    gap = Recording(write(tmp_path, "time,HR\n2026-10-25 00:30:00,70\n2026-10-25 02:20:00,71\n"), zone=BERLIN)
    assert "exists twice" in error(gap)


def test_a_reading_of_an_export_has_its_sensors_that_are_off_and_the_state_of_the_patient(tmp_path: Path) -> None:
    names = (
        "time,ward,device_id,patient_id,heart_rate,spo2,on_oxygen,consciousness,sensor_off,status,received_at,boot,seq"
    )
    recording = Recording(
        write(
            tmp_path,
            f"{names}\n2026-11-22 10:00:00.5+00,w,d,p,71,,t,V,spo2 resp_rate,NORMAL,2026-11-22 10:00:01+00,1,2\n"
            "2026-11-22 10:00:01+00,w,d,p,72,97,,,,NORMAL,2026-11-22 10:00:01+00,1,3\n"
            "2026-11-22 10:00:02+00,w,d,p,,,f,,,NORMAL,2026-11-22 10:00:01+00,1,4\n",
        )
    )
    assert [row.sample for row in recording.rows()] == [
        Sample({"heart_rate": 71}, sensor_off=("spo2", "resp_rate"), on_oxygen=True, consciousness="V"),
        Sample({"heart_rate": 72, "spo2": 97}),
        Sample({}, on_oxygen=False),
    ]
    assert next(recording.rows()).time == datetime(2026, 11, 22, 10, 0, 0, 500_000, UTC)
    off = Recording(write(tmp_path, "seconds,HR,SpO2,Sensor Off\n0,71,97,spo2; resp_rate\n"))
    assert [row.sample for row in off.rows()] == [Sample({"heart_rate": 71}, sensor_off=("spo2", "resp_rate"))]
    assert off.omitted == {"values of signs whose sensor is off": 1}
    wrong = Recording(write(tmp_path, "seconds,HR,sensor_off\n0,71,cable\n"))
    assert "line 2 has 'cable' in column 'sensor_off'; expected keys of signs" in error(wrong)


@pytest.mark.parametrize("encode", ["utf-16", "utf-8-sig", "cp1252", "gzip"])
def test_encodings_of_spreadsheets_and_gzip_are_read(tmp_path: Path, encode: str) -> None:
    text = "seconds;HR;Temp (°C)\r\n0;71;36,8\r\n"
    content = gzip.compress(text.encode(), mtime=0) if encode == "gzip" else text.encode(encode)
    assert values(Recording(write(tmp_path, content))) == [(0, {"heart_rate": 71, "temperature": 36.8})]


@pytest.mark.parametrize(
    ("encoding", "rate", "temperature"),
    [
        ("cp1250", "Częstość oddechów", "Temperatura ciała"),
        ("cp1251", "Частота дыхания", "Температура"),
        ("cp1254", "Solunum Sayısı", "Vücut Isısı"),
        ("gbk", "呼吸频率", "体温"),
        ("cp932", "呼吸数", "体温"),
    ],
)
def test_the_code_page_of_a_spreadsheet_is_the_one_in_which_its_names_are_known(
    tmp_path: Path, encoding: str, rate: str, temperature: str
) -> None:
    content = f"seconds;HR;{rate};{temperature}\r\n0;71;16;36,8\r\n".encode(encoding)
    recording = Recording(write(tmp_path, content))
    assert values(recording) == [(0, {"heart_rate": 71, "resp_rate": 16, "temperature": 36.8})]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04xl/workbook", "save the sheet as CSV"),
        (gzip.compress(b"seconds,HR\n" + b"0,71\n" * 9, mtime=0)[:-9], "is damaged"),
        ("seconds,HR\n".encode("utf-16-le"), "is not text"),
        (b"seconds,HR\n" + b"0,71\n" * 30_000 + b"\xe9,71\n", "is not utf-8 text"),
    ],
)
def test_files_that_are_not_whole_text_are_rejected(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(PermanentError, match=words):
        Recording(write(tmp_path, content)).summary()


@pytest.mark.parametrize("change", ["append", "replace", "rewrite"])
def test_a_file_that_changes_between_or_during_two_passes_is_rejected(tmp_path: Path, change: str) -> None:
    text = "seconds,HR\n" + "".join(f"{second},71\n" for second in range(60_000))
    path = write(tmp_path, text)
    recording = Recording(path)
    recording.summary()
    rows = recording.rows()
    next(rows)
    if change == "append":
        with path.open("a") as file:
            file.write("60000,99\n")
    elif change == "replace":
        write(tmp_path, text, "new").replace(path)
        rows = recording.rows()
    else:
        status = path.stat()
        path.write_text(text.replace("71", "72"))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(PermanentError, match="changed while it was read"):
        list(rows)
