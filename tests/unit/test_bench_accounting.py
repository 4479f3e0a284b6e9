"""The judge of `bench chaos` must see what is lost and what is doubled, or its zeros are worth nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bench.accounting import Record, account_alerts, doubled_rows, lost_with_broker, never_in_outbox
from bench.fault_run import UptimeMonitor
from bench.recording_devices import Name, RecordedSource, kind_of, name
from vitals.alert import Alert, Change, Kind, Priority, State
from vitals.sample import Sample

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
AWAKE = [(START.timestamp(), START.timestamp() + 3600)]


def always(_device: str) -> list[tuple[float, float]]:
    return AWAKE


def record_of(tmp_path: Path, *lines: str) -> Record:
    file = tmp_path / "a.record"
    file.write_text("".join(lines))
    return Record.read([file])


def intermittent(seconds: float, low: bool, seq: int) -> list[str]:
    at = START.timestamp() + seconds
    value = 91.0 if low else 97.0
    return [f"made moody-2 1 {seq} 0 {at} {value}\n", f"taken moody-2 1 {seq} 0 {at + 0.1}\n"]


def alert(name: UUID, seconds: float, state: State, device: str = "moody-2", rule: str = "spo2-low") -> Alert:
    moment = START + timedelta(seconds=seconds)
    kind: Kind = "physiological"
    return Alert(
        alert_id=name,
        revision=1 if state is State.ACTIVE else 2,
        rule=rule,
        priority=Priority.MEDIUM,
        kind=kind,
        state=state,
        change=Change.RAISED if state is State.ACTIVE else Change.CLEARED,
        level=1,
        ward="icu-9",
        device_id=device,
        patient_id=None,
        sign="spo2",
        value=91,
        limit=92,
        since=START,
        raised_at=START + timedelta(seconds=4) if state is State.CLEARED else moment,
        changed_at=moment,
        reading_at=moment,
        text="low",
    )


@pytest.fixture
def ten_low_seconds(tmp_path: Path) -> Record:
    return record_of(tmp_path, *(line for s in range(20) for line in intermittent(s, s < 10, s + 1)))


def test_a_spell_without_an_alert_is_a_lost_one(ten_low_seconds: Record) -> None:
    assert account_alerts(ten_low_seconds, [], {}, always, {}).lost
    raised = alert(uuid4(), 4, State.ACTIVE)
    found = account_alerts(ten_low_seconds, [raised], {}, always, {})
    assert (found.due, found.lost, found.doubled) == (1, [], [])


def test_an_alert_of_another_hour_does_not_count(ten_low_seconds: Record) -> None:
    late = alert(uuid4(), 3000, State.ACTIVE)
    assert account_alerts(ten_low_seconds, [late], {}, always, {}).lost


def test_nothing_is_due_while_the_worker_is_dead(ten_low_seconds: Record) -> None:
    begin, _ = AWAKE[0]
    short_lives = [(begin, begin + 3), (begin + 4, begin + 9)]
    assert account_alerts(ten_low_seconds, [], {}, lambda _: short_lives, {}).due == 0


def test_an_alert_raised_while_another_is_open_is_doubled(ten_low_seconds: Record) -> None:
    first, second = uuid4(), uuid4()
    alerts = [alert(first, 4, State.ACTIVE), alert(second, 6, State.ACTIVE)]
    at = START.timestamp()
    assert account_alerts(ten_low_seconds, alerts, {}, always, {}).doubled == [
        f"moody-2/spo2-low: raised at {at + 6:.1f}, the one before at {at + 4:.1f} and over at inf"
    ]
    in_turn = [alert(first, 4, State.ACTIVE), alert(first, 5, State.CLEARED), alert(second, 6, State.ACTIVE)]
    assert account_alerts(ten_low_seconds, in_turn, {}, always, {}).doubled == []
    for over, found in ((5, 0), (7, 1)):  # the end of the first came while the subscriber was away
        assert len(account_alerts(ten_low_seconds, alerts, {}, always, {first: at + over}).doubled) == found


def test_a_steady_alarm_that_has_gone_at_the_end_is_lost(tmp_path: Path) -> None:
    name = uuid4()
    alerts = [alert(name, 1, State.ACTIVE, "steady-1", "heart-rate-high")]
    place = ("steady-1", "heart-rate-high")
    assert account_alerts(record_of(tmp_path), alerts, {}, always, {}).lost == ["steady-1/heart-rate-high at the end"]
    assert account_alerts(record_of(tmp_path), alerts, {place: alerts[0]}, always, {}).lost == []
    acknowledged = alert(name, 2, State.ACKNOWLEDGED, "steady-1", "heart-rate-high")
    forgot = account_alerts(record_of(tmp_path), [*alerts, acknowledged], {place: alerts[0]}, always, {})
    assert forgot.lost == ["the acknowledgement of steady-1/heart-rate-high"]


def test_a_torn_line_is_no_reading(tmp_path: Path) -> None:
    assert record_of(tmp_path, "made bed-1 7 1 0 5.0 97.0\n", "made bed-1 7 2 0 6.0").made == {("bed-1", 7, 1, 0): 5.0}


def test_only_the_last_reading_of_a_killed_process_may_be_missing(tmp_path: Path) -> None:
    lines = [f"made bed-1 7 {seq} 0 5.0 97.0\n" for seq in (1, 2, 3)]
    record = record_of(tmp_path, *lines)
    stored: list[Name] = [("bed-1", 7, 1, 0)]
    assert never_in_outbox(record, stored, [lines[-1], ""]) == {("bed-1", 7, 3, 0)}
    assert never_in_outbox(record, [*stored, ("bed-1", 7, 3, 0)], [lines[-1]]) == set()


def test_a_row_that_is_there_twice_is_counted() -> None:
    assert doubled_rows([("a", 1, 1, 0), ("a", 1, 1, 0), ("a", 1, 2, 0)]) == 1


def test_a_value_of_another_sign_does_not_end_a_spell(tmp_path: Path) -> None:
    at = START.timestamp()
    lines = [line for second in range(10) for line in intermittent(second, low=True, seq=second + 1)]
    between = [
        f"{event} moody-2 0 -{second + 5} {int(at + second) * 1000} {at + second + 0.5}{value}\n"
        for second in range(10)
        for event, value in (("made", " None"), ("taken", ""))
    ]
    assert account_alerts(record_of(tmp_path, *lines, *between), [], {}, always, {}).due == 1


def test_only_what_a_killed_broker_had_acknowledged_without_a_number_is_excused(tmp_path: Path) -> None:
    names: list[Name] = [("a", 0, -5, 1000), ("a", 0, -6, 1000), ("b", 7, 1, 0), ("a", 0, -5, 9000)]
    lines = [f"taken {' '.join(map(str, name))} {taken}\n" for name, taken in zip(names, (5, 50, 5, 5), strict=True)]
    record = record_of(tmp_path, *lines[:3])
    assert lost_with_broker(names, record, [(1.0, 10.0)]) == {names[0]}


def test_an_unnumbered_reading_is_named_by_content_and_stamp() -> None:
    made: list[tuple[Name, datetime]] = []
    source = RecordedSource(
        device="moody-1",
        ward="icu-9",
        patient_id=None,
        model="",
        interval_s=1,
        boot=7,
        samples=(),
        numbered=kind_of(1).numbered,
        made=lambda device, reading, now: made.append((name(device, reading), now)),
    )
    for seq, (seconds, value) in enumerate([(0.1, 91.0), (0.9, 91.0), (0.9, 92.0), (1.1, 91.0)], 1):
        source.stamp(Sample({"spo2": value}), seq, START + timedelta(seconds=seconds))
    names = [made_name for made_name, _ in made]
    assert len(set(names)) == 3
    assert names[0] == names[1]
    assert all(boot == 0 and seq < 0 for _, boot, seq, _ in names)
    assert [moment for _, moment in made][1] == START + timedelta(seconds=0.9)


def test_a_third_of_the_devices_is_unnumbered_and_the_clocks_of_a_third_are_wrong() -> None:
    kinds = [kind_of(number) for number in range(1, 19)]
    assert sum(not kind.numbered for kind in kinds) == 6
    wrong = [kind.ahead.total_seconds() for kind in kinds if kind.ahead]
    assert sorted(wrong) == [-3600, -3600, -90, -90, 60, 60]


def test_a_worker_is_back_when_it_goes_on_evaluating_and_not_by_what_it_had_received() -> None:
    looks = iter([5, 9, 9, 12, 14, 17, 99])
    assert UptimeMonitor(lambda: {"alerts": float(next(looks))}).reopen(poll_s=0.0)
    assert next(looks) == 99
