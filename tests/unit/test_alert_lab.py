"""`vitalflow alerts backtest`: its counts for streams that can be counted by hand."""

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from alerts.__main__ import app
from alerts.backtest import comparison, report
from alerts.backtest.history import BedHistory, read_recordings
from alerts.backtest.plot import draw, step_of
from alerts.rulefile.parser import parse
from tests.support.bed_driver import reading_at
from tests.support.process import environ_of, run_module
from tests.support.rule_text import level, rule
from vitals.alert import Priority
from vitals.recording.options import open_recordings

ROOT = Path(__file__).parents[2]
RULES = (
    rule("blue", "spo2", level("medium", below=92, clear=94, for_s=1234), level("high", below=80), clear_for_s=2)
    + rule("silent", "no-data", priority="medium", for_s=15)
).replace("1234", "{delay}")
HIGH, MEDIUM = Priority.HIGH, Priority.MEDIUM


def outcome(spo2: Sequence[float | None], delay: int = 10, curve: bool = False) -> comparison.BacktestResult:
    readings = [reading_at(s, spo2=v, sensor_off=() if v else ("spo2",)) for s, v in enumerate(spo2)]
    stay = BedHistory("mon-1", "icu", 1.0, iter(readings))
    return comparison.run([stay], [parse(RULES.format(delay=delay), "rules.toml")], curve=curve)


def test_without_hysteresis_every_crossing_counts_and_the_delay_removes_short_ones() -> None:
    # Three dips: 3 s, 5 s and 12 s beyond the limit.
    found = outcome([97] * 10 + [91] * 3 + [93] + [91] * 5 + [97] * 10 + [90] * 12 + [97] * 10)
    (tried,) = found.files
    assert tried.naive.alarms == {("blue", MEDIUM): 3}
    assert tried.undelayed.alarms == {("blue", MEDIUM): 2}  # the hysteresis joins the first two
    assert tried.written.alarms == {("blue", MEDIUM): 1}
    assert tried.removed_by_delay == 0.5


def test_levels_without_delay_are_not_delayed() -> None:
    found = outcome([97] * 10 + [79] + [97] * 10, curve=True)
    (tried,) = found.files
    assert tried.written.alarms == {("blue", HIGH): 1}
    assert [trial.physiological for trial in tried.curve] == [1] * 31


def test_the_curve_falls_where_the_dip_ends() -> None:
    found = outcome([97] * 10 + [90] * 12 + [97] * 10, curve=True)
    assert [trial.physiological for trial in found.files[0].curve] == [1] * 12 + [0] * 19


def test_seconds_of_alarm_are_from_raise_to_clear() -> None:
    found = outcome([97] * 10 + [90] * 30 + [97] * 10)
    assert found.files[0].written.seconds == {("blue", MEDIUM): 22}  # 20 s from the raise to the way back, and 2 s


def test_seconds_of_alarm_are_counted_by_priority() -> None:
    found = outcome([97] * 10 + [79] * 4 + [90] * 30)
    seconds = found.files[0].written.seconds
    assert seconds["blue", HIGH] == 6  # `clear_for_s` later it is medium, until the recording ends
    assert seconds["blue", MEDIUM] == 27


def test_a_sustained_episode_that_the_delay_hides_is_missed() -> None:
    stream = [97.0] * 10 + [90.0] * 22 + [97.0] * 10
    rule = parse(RULES.format(delay=10), "x").by_name["blue"]
    assert outcome(stream, delay=19).files[0].sustained(rule) == (1, 0)
    assert outcome(stream, delay=25).files[0].sustained(rule) == (1, 1)


def test_an_alert_at_another_time_leaves_an_episode_missed() -> None:
    rule = parse(RULES.format(delay=10), "x").by_name["blue"]
    stream = [97.0] * 10 + [90.0] * 22 + [97.0] * 10 + [90.0] * 40 + [97.0] * 10
    assert outcome(stream, delay=25).files[0].sustained(rule) == (2, 1)


def test_an_alert_ends_with_its_patient() -> None:
    readings = [reading_at(second, spo2=90, patient_id="p-1" if second < 20 else "p-2") for second in range(25)]
    found = comparison.run([BedHistory("mon-1", "icu", 1.0, iter(readings))], [parse(RULES.format(delay=10), "x")])
    assert found.files[0].written.seconds == {("blue", MEDIUM): 12}


def test_an_episode_is_as_long_as_its_values_not_as_the_silence_after_it() -> None:
    rule = parse(RULES.format(delay=10), "x").by_name["blue"]
    assert outcome([97] * 5 + [90] + [None] * 60 + [97] * 5).files[0].sustained(rule) == (0, 0)
    assert outcome([97] * 5 + [90] + [None] * 60 + [90, 97, 97]).files[0].sustained(rule) == (1, 0)


def test_an_episode_goes_on_over_returns_shorter_than_5_s() -> None:
    rule = parse(RULES.format(delay=10), "x").by_name["blue"]
    flickering = ([90.0] * 4 + [97.0] * 4) * 6
    assert outcome([97] * 9 + flickering + [97] * 9).files[0].sustained(rule) == (1, 0)
    assert outcome(([90.0] * 12 + [97.0] * 6) * 4).files[0].sustained(rule) == (0, 0)
    assert outcome([90.0] * 18 + [97.0] + [None] * 7 + [90.0] * 3).files[0].sustained(rule) == (0, 0)
    assert outcome([90.0] * 18 + [None] * 7 + [90.0] * 3).files[0].sustained(rule) == (1, 0)


def test_a_score_counts_as_shown_by_the_alert_of_the_only_sign_that_scores() -> None:
    score = '[[rule]]\nname = "score"\nsign = "news2"\ntext = "x"\npriority = "medium"\nabove = 2\nfor_s = 10\n'
    readings = (reading_at(second, spo2=91 if 10 <= second < 50 else 97) for second in range(80))
    rules = parse(RULES.format(delay=5) + score, "x")
    tried = comparison.run([BedHistory("mon-1", "icu", 1.0, readings)], [rules]).files[0]
    assert tried.written.alarms == {("blue", MEDIUM): 1}
    assert tried.sustained(rules.by_name["score"]) == (1, 0)


@given(st.lists(st.tuples(st.sampled_from([79, 91, 93, 97, None]), st.integers(1, 30)), max_size=12))
def test_no_delay_below_20_seconds_misses_a_sustained_episode(pieces: list[tuple[float | None, int]]) -> None:
    stream = [value for value, seconds in pieces for _ in range(seconds)]
    (tried,) = outcome(stream, delay=19).files
    assert tried.sustained(tried.written.rules.by_name["blue"])[1] == 0
    assert tried.written.physiological <= tried.naive.physiological


def test_silence_between_two_readings_is_noticed_when_its_delay_is_over() -> None:
    readings = [reading_at(second, spo2=97) for second in (0, 1, 2, 20, 21)]
    found = comparison.run([BedHistory("mon-1", "icu", 1.0, iter(readings))], [parse(RULES.format(delay=5), "x")])
    written = found.files[0].written
    assert written.alarms == {("silent", MEDIUM): 1}
    assert written.seconds == {("silent", MEDIUM): 3}
    assert written.physiological == 0
    assert found.files[0].removed_by_delay is None


def test_a_recording_of_one_row_an_hour_is_not_silent() -> None:
    readings = [reading_at(second * 3600, spo2=97) for second in range(5)]
    found = comparison.run([BedHistory("mon-1", "icu", 3600.0, iter(readings))], [parse(RULES.format(delay=5), "x")])
    assert found.files[0].written.total == 0
    assert found.bed_days == pytest.approx(4 / 24)


def test_hours_without_readings_are_not_monitored_time() -> None:
    readings = [reading_at(second, spo2=97) for second in (0, 60, 7200, 7260)]
    found = comparison.run([BedHistory("mon-1", "icu", 1.0, iter(readings))], [parse(RULES.format(delay=5), "x")])
    assert found.bed_days * 86_400 == pytest.approx(120)


def recording(folder: Path, name: str, spo2: Sequence[float]) -> Path:
    file = folder / name
    file.write_text("seconds,SpO2\n" + "".join(f"{second},{value}\n" for second, value in enumerate(spo2)))
    return file


def test_recordings_are_beds_and_implausible_values_are_none(tmp_path: Path) -> None:
    files = [recording(tmp_path, f"{name}.csv", [97, 96, 101, 95, 94]) for name in "ab"]
    stays = [
        (stay.device, stay.interval_s, [r.value("spo2") for r in stay.readings])
        for stay in read_recordings(open_recordings(files))
    ]
    assert stays == [("a", 1.0, [97, 96, 95, 94]), ("b", 1.0, [97, 96, 95, 94])]


def alerts(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return run_module("alerts", *map(str, arguments), environ=environ_of() | environment)


def test_check_prints_good_rules_as_a_table() -> None:
    done = alerts("check")
    assert done.returncode == 0
    assert "heart-rate-high" in done.stdout
    assert "> 120" in done.stdout


def test_check_prints_every_mistake_and_exits_with_2(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\nname = "a"\nsign = "hart_rate"\ntext = "x"\npriority = "hi"\nlatching = 1\n')
    done = alerts("check", file)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert [line for line in (3, 6) if f"line {line}:" in done.stderr] == [3, 6]


def test_plot_without_pillow_names_the_extra_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "alerts.backtest.plot")
    missing = tmp_path / "no-recording.csv"
    with pytest.raises(SystemExit) as ended:
        app(["backtest", str(missing), "--plot", str(tmp_path / "curve.png")])
    assert ended.value.code == 2
    assert 'Pillow, the optional extra "plot"' in capsys.readouterr().err


def test_replay_over_recordings_with_two_rule_files_as_json_and_picture(tmp_path: Path) -> None:
    file = recording(tmp_path, "a.csv", [97] * 10 + [90] * 12 + [97] * 10)
    rules: list[str | Path] = []
    for delay in (5, 15):
        rules += ["--rules", tmp_path / f"{delay}.toml"]
        (tmp_path / f"{delay}.toml").write_text(RULES.format(delay=delay))
    done = alerts("backtest", file, *rules, "--json", "--plot", tmp_path / "curve.png")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["beds"] == 1
    assert found["readings"] == 32
    assert [len(one["alarms"]) for one in found["files"]] == [1, 0]
    assert [one["removed_by_delay"] for one in found["files"]] == [0, 1]
    assert len(found["files"][0]["by_delay"]) == 31
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"
    table = alerts("backtest", file, *rules, "--curve")
    assert table.returncode == 0
    assert "5.toml: alarms a bed a day" in " ".join(table.stdout.split())  # a long path wraps
    assert "30 s" in table.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["backtest", "none.csv"], "none.csv cannot be read"),
        (["backtest", "--rules", "none.toml"], "none.toml cannot be read"),
        (["backtest", "--from", "yesterday"], "VITALFLOW_READER_URL"),
        (["check", "none.toml"], "none.toml cannot be read"),
    ],
)
def test_invalid_arguments_are_reported_without_a_traceback(arguments: list[str], said: str) -> None:
    done = alerts(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give recordings, or --from"),
        (["--from", "yesterday"], "'yesterday'; expected a day of UTC"),
        (["--from", "2026-11-22T10:00:00", "--to", "2026-11-22T11:00:00Z"], "a time with its offset"),
        (["--from", "2026-11-22T10:00:00Z", "--to", "2026-11-22T09:00:00Z"], "which is not after --from"),
        (["--from", "2026-11-22T10:00:00Z", "--to", "2026-11-22T11:00:00Z"], "the database cannot be read"),
    ],
)
def test_an_unreadable_history_is_reported(arguments: list[str], said: str) -> None:
    done = alerts("backtest", *arguments, VITALFLOW_READER_URL="postgresql://x:y@127.0.0.1:1/z")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_curve_is_drawn_from_its_values(tmp_path: Path) -> None:
    file = tmp_path / "curve.png"
    draw([("falling", [40.0, 20.0, 0.0]), ("none", [0.0, 0.0, 0.0])], file)
    with Image.open(file) as picture:
        colours = {colour for _, colour in picture.getcolors(maxcolors=100_000) or []}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours


@given(st.floats(0, 1e6))
def test_the_axis_holds_the_largest_value_and_is_not_much_longer(largest: float) -> None:
    step = step_of(largest)
    assert step * 5 >= largest
    assert largest < 0.005 or step * 5 <= largest * 2.5 + 1e-9


def test_the_figures_of_one_bed_day_are_its_counts() -> None:
    found = outcome([97] * 10 + [90] * 12 + [97] * 10)
    found.bed_days = timedelta(days=2) / timedelta(days=1)
    (one,) = report.as_json(found)["files"]
    assert one["alarms"] == [{"rule": "blue", "priority": "medium", "alarms": 1, "per_bed_day": 0.5}]
