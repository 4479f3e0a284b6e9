"""The ward's screen: what a person reads there. No terminal and no clock needed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console

from stack.screen import Known, line, render
from stack.watch import Counter, Figures
from tests.support.factories import make_alert
from vitals import alert_format
from vitals.alert import Alert, Priority, State
from vitals.bed_snapshot import BedSnapshot, Condition, count_by_condition, sort_beds
from vitals.reading import Reading, reading
from vitals.signs import SIGNS
from vitals.topics import DeviceAddress

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
MIDDLE = {sign.key: (sign.low + sign.high) / 4 for sign in SIGNS}
WELL = MIDDLE | {s.key: s.critical_below + 1 for s in SIGNS if s.critical_below is not None}
HIGH = next(sign for sign in SIGNS if sign.critical_above is not None)
OTHER = SIGNS[-1]


def measured(ago: float = 0.0, signs: dict[str, float] | None = None, off: tuple[str, ...] = ()) -> Reading:
    given = {key: value for key, value in (WELL if signs is None else signs).items() if key not in off}
    return reading(NOW - timedelta(seconds=ago), given, boot=1, seq=1, patient_id="p-0001", sensor_off=off)


def bed(number: int = 1, *readings: Reading) -> BedSnapshot:
    seen = BedSnapshot(DeviceAddress("icu-1", f"icu-1-bed-{number:02}"))
    for one in readings or (measured(),):
        seen = seen.with_reading(one, one.time)
    return seen


def drawn(
    *beds: BedSnapshot, width: int = 100, height: int = 40, figures: Figures | None = None, alerts: Sequence[Alert] = ()
) -> str:
    console = Console(width=width, height=height, color_system=None, file=StringIO())
    known = Known(beds, alert_format.sort_alerts(alerts), figures or Figures(), [], NOW, 61.0)
    console.print(render(known, width, height))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def row(screen: str, name: str) -> str:
    return next(shown for shown in screen.splitlines() if shown.startswith(name))


def too_high() -> dict[str, float]:
    assert HIGH.critical_above is not None
    return WELL | {HIGH.key: HIGH.critical_above + 1}


def test_a_well_patient_has_every_sign_and_the_word_normal() -> None:
    shown = row(drawn(bed()), "bed-01")
    assert "p-0001" in shown
    assert shown.rstrip().endswith("NORMAL")
    assert "*" not in shown
    for sign in SIGNS:
        assert f" {WELL[sign.key]:.{sign.decimals}f}" in shown


def test_the_heading_names_every_sign_with_its_unit() -> None:
    heading = row(drawn(bed()), "bed ")
    assert all(sign.short in heading for sign in SIGNS)
    assert "°C" in heading
    assert "mmHg" in heading


def test_a_critical_value_is_marked_without_colour() -> None:
    shown = row(drawn(bed(1, measured(signs=too_high()))), "bed-01")
    assert f"*{too_high()[HIGH.key]:.0f}" in shown
    assert shown.rstrip().endswith("CRITICAL")


def test_a_value_that_is_not_from_the_last_reading_stands_in_parentheses() -> None:
    partial = {key: value for key, value in WELL.items() if key != OTHER.key}
    shown = row(drawn(bed(1, measured(ago=30), measured(signs=partial))), "bed-01")
    assert f"({WELL[OTHER.key]:.{OTHER.decimals}f})" in shown
    assert shown.count("(") == 1


def test_a_value_that_is_too_old_to_mean_anything_is_not_shown() -> None:
    partial = {key: value for key, value in WELL.items() if key != OTHER.key}
    shown = row(drawn(bed(1, measured(ago=3600), measured(signs=partial))), "bed-01")
    assert "(" not in shown
    assert " - " in shown


def test_a_sensor_that_is_off_hides_the_value_it_had() -> None:
    shown = row(drawn(bed(1, measured(ago=1), measured(off=(OTHER.key,)))), "bed-01")
    assert "off" in shown
    assert "(" not in shown
    assert shown.rstrip().endswith("SENSOR OFF")


def test_silence_is_not_shown_as_well() -> None:
    shown = row(drawn(bed(1, measured(ago=6))), "bed-01")
    assert shown.rstrip().endswith("SILENT")
    assert "6 s" in shown
    assert "NORMAL" not in shown


def test_silence_after_a_critical_reading_still_says_so() -> None:
    shown = row(drawn(bed(1, measured(ago=6, signs=too_high()))), "bed-01")
    assert shown.rstrip().endswith("SILENT *")


def test_a_bed_without_a_reading_waits() -> None:
    shown = row(drawn(BedSnapshot(DeviceAddress("icu-1", "icu-1-bed-01")).with_status("online", 5)), "bed-01")
    assert shown.rstrip().endswith("WAITING")


def test_a_last_will_makes_a_bed_offline_but_not_that_of_an_earlier_boot() -> None:
    assert bed().with_status("offline", 1).condition(NOW) is Condition.OFFLINE
    assert bed().with_status("online", 7).with_status("offline", 6).condition(NOW) is Condition.NORMAL


def test_a_backlog_that_arrives_late_does_not_move_the_screen_backwards() -> None:
    seen = bed(1, measured(), measured(ago=20, signs=too_high()))
    assert seen.condition(NOW) is Condition.NORMAL


def test_beds_come_in_the_order_of_their_numbers() -> None:
    numbers = [BedSnapshot(DeviceAddress("icu", f"bed-{number}")) for number in (10, 9, 1)]
    assert [seen.bed.device for seen in sort_beds(numbers)] == ["bed-1", "bed-9", "bed-10"]


def test_what_does_not_fit_is_counted_with_its_conditions() -> None:
    beds = [bed(number) for number in range(1, 40)]
    beds.append(bed(40, measured(signs=too_high())))
    screen = drawn(*beds, width=80, height=24)
    last = next(shown for shown in screen.splitlines() if shown.startswith("and "))
    assert "NORMAL" in last
    assert "CRITICAL" not in last
    assert row(screen, "bed-40").rstrip().endswith("CRITICAL"), "those that are well make place"
    assert "1 CRITICAL" in screen.splitlines()[0]


@pytest.mark.parametrize("alarming", [0, 1, 3, 200])
@pytest.mark.parametrize("count", [0, 1, 20, 300])
@pytest.mark.parametrize("size", [(80, 24), (100, 40), (140, 50), (40, 8)])
def test_the_screen_is_never_higher_or_wider_than_the_terminal(
    count: int, size: tuple[int, int], alarming: int
) -> None:
    width, height = size
    beds = [bed(number) for number in range(count)]
    alerts = [make_alert(device=f"icu-1-bed-{number:02}") for number in range(alarming)]
    lines = drawn(*beds, width=width, height=height, alerts=alerts).rstrip("\n").splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_twenty_beds_fit_a_hundred_by_forty_with_nothing_cut() -> None:
    screen = drawn(*(bed(number) for number in range(1, 21)))
    assert "bed-20" in screen
    assert "…" not in screen
    assert "mosquitto_sub" in screen


def test_eighty_columns_cut_no_value_and_no_command() -> None:
    alerts = [make_alert(device="icu-1-bed-03", text="Short", state=State.ACKNOWLEDGED, acknowledged_by="nurse Ada")]
    screen = drawn(*(bed(number) for number in range(1, 21)), width=80, height=24, alerts=alerts)
    assert "…" not in screen
    assert "!!! high    bed-03 12 s ack by nurse Ada Short" in screen
    assert "psql" in screen
    assert "mosquitto_sub" in screen


def test_the_figures_stand_below_the_ward_with_what_is_away() -> None:
    figures = Figures(stored=1234, rejected=5, rate=19.96, lag_p95=0.0412, away=("the database is away",))
    screen = drawn(bed(), figures=figures)
    assert "20.0 readings/s  stored 1,234  rejected 5  lag p95 41 ms  1:01  THE DATABASE IS AWAY" in screen


def test_how_to_sign_in_stands_beside_the_address_where_there_is_room_and_else_below_it() -> None:
    how = "sign in as operator; the password: cat .stack/operator_password"
    for width in (120, 80):
        console = Console(width=width, height=40, color_system=None, file=StringIO())
        known = Known([bed()], [], Figures(), [], NOW, 61.0, ("http://127.0.0.1:21887", how))
        console.print(render(known, width, 40))
        assert isinstance(console.file, StringIO)
        shown = row(console.file.getvalue(), "in a browser: http://127.0.0.1:21887")
        assert (how in shown) == (width == 120)
        assert how in console.file.getvalue()


def test_without_a_terminal_one_line_says_the_same() -> None:
    alerts = [make_alert(device="icu-1-bed-02"), make_alert(priority=Priority.LOW, kind="technical")]
    known = Known([bed(), bed(2, measured(ago=9))], alerts, Figures(stored=7, rate=1.0), [], NOW, 5.0)
    shown = line(known)
    assert "2 beds  1 SILENT  1 NORMAL" in shown
    assert "stored 7" in shown
    assert "alerts: !!! 1 high  ! 1 low; first !!! high bed-02 Oxygen saturation low: 82 %" in shown
    assert "\n" not in shown
    assert line(Known([], [], Figures(deaf=True), [], NOW, 5.0)).endswith("alerts: none; perhaps out of date")


def test_a_bed_shows_its_worst_alert_and_how_many_more() -> None:
    low = make_alert(device="icu-1-bed-02", rule="sensor-off", priority=Priority.LOW, kind="technical")
    screen = drawn(bed(1), bed(2), bed(3), alerts=[low, make_alert(device="icu-1-bed-02")])
    assert row(screen, "bed-02").rstrip().endswith("!!! high +1")
    assert row(screen, "bed-01").rstrip().endswith("NORMAL")
    alone = drawn(bed(2), alerts=[low])
    assert row(alone, "bed-02").rstrip().endswith("[!] low")


def test_the_alerts_are_counted_and_the_first_are_listed_with_their_standing() -> None:
    seen = make_alert(device="icu-1-bed-02", ago=5, state=State.ACKNOWLEDGED, acknowledged_by="nurse Ada")
    silent = make_alert(device="icu-1-bed-01", ago=90, kind="technical", priority=Priority.MEDIUM, text="No readings")
    screen = drawn(*(bed(number) for number in range(1, 21)), alerts=[silent, seen])
    assert row(screen, "alerts").rstrip() == "alerts  !!! 1 high  !! 1 medium"
    shown = row(screen, "!!! high").rstrip()
    assert shown == "!!! high    bed-02  5 s ack by nurse Ada Oxygen saturation low: 82 %, limit below 90"
    assert row(screen, "[!!] medium").split() == ["[!!]", "medium", "bed-01", "90", "s", "active", "No", "readings"]


def test_what_looks_like_markup_is_shown_as_it_stands() -> None:
    named = reading(NOW, WELL, boot=1, seq=1, patient_id="[/p]")
    alert = make_alert(device="icu-1-bed-01", text="[/x]", state=State.ACKNOWLEDGED, acknowledged_by="[/red]")
    screen = drawn(bed(1, named), alerts=[alert])
    assert "[/p]" in row(screen, "bed-01")
    assert "ack by [/red] [/x]" in row(screen, "!!! high")


def test_alerts_that_do_not_fit_are_counted_all_the_same() -> None:
    alerts = [make_alert(device=f"icu-1-bed-{number:02}") for number in range(1, 10)]
    screen = drawn(*(bed(number) for number in range(1, 21)), width=80, height=24, alerts=alerts)
    assert row(screen, "alerts").rstrip() == "alerts  !!! 9 high  the first 4 of 9"


def test_alerts_that_may_be_out_of_date_say_so() -> None:
    screen = drawn(bed(), alerts=[make_alert()], figures=Figures(deaf=True))
    assert "perhaps out of date" in row(screen, "alerts")


def test_a_bed_with_an_alert_is_shown_before_those_that_are_well() -> None:
    beds = [bed(number) for number in range(1, 41)]
    screen = drawn(*beds, width=80, height=24, alerts=[make_alert(device="icu-1-bed-38")])
    assert row(screen, "bed-38").rstrip().endswith("!!! high")


def test_the_line_to_paste_acknowledges_the_first_alert_that_nobody_has_acknowledged() -> None:
    seen = make_alert(device="icu-1-bed-01", state=State.ACKNOWLEDGED, acknowledged_by="Ada")
    screen = drawn(bed(), alerts=[seen, make_alert(device="icu-1-bed-02", priority=Priority.MEDIUM)])
    assert "/alert-commands/icu-1/icu-1-bed-02/spo2-low/operator" in screen


def test_a_counter_goes_on_over_a_restart_of_who_counts() -> None:
    counter = Counter()
    for value in (5.0, 9.0, 0.0, 2.0):
        counter.feed(value)
    assert counter.total == 11.0


def test_the_conditions_are_counted_worst_first() -> None:
    beds = [bed(), bed(2, measured(signs=too_high())), bed(3, measured(ago=60))]
    assert list(count_by_condition(beds, NOW)) == [Condition.CRITICAL, Condition.SILENT, Condition.NORMAL]
