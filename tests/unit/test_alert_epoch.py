"""An alert of a worker that was replaced is ignored, whatever it states; nothing else is."""

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from alerts.engine.recovery import restore
from alerts.rulefile.parser import parse
from edges.outgoing.alert_reports import AlertReports, Phase
from tests.support.factories import NOW, make_alert
from tests.support.rule_text import HIGH
from vitals.alert import MAX_CLOCK_AHEAD, Alert, Change, State, encode_alert, is_overtaken, is_repeated
from vitals.open_alerts import OpenAlerts
from vitals.topics import Topics

TOPICS = Topics()
START = int(NOW.timestamp()) * 10**9
OTHER_ID = UUID("00000000-0000-4000-8000-000000000001")


def written(epoch: int, revision: int = 1, *, writer: str = "alerts", **fields: object) -> Alert:
    """An alert of a place; `epoch` counts from START."""
    return replace(make_alert(), writer=writer, epoch=START + epoch, revision=revision, **fields)


KNOWN = written(2, revision=6)


@pytest.mark.parametrize(
    ("alert", "overtaken"),
    [
        (written(1, revision=9), True),
        (written(1, revision=9, state=State.CLEARED), True),
        (written(1, alert_id=OTHER_ID), True),
        (written(2, revision=5), True),
        (written(2, revision=6), False),
        (written(2, revision=7), False),
        (written(2, alert_id=OTHER_ID), False),
        (written(3, revision=1), False),
        (written(1, revision=7, writer="alerts-icu-2"), False),
        (written(9, revision=5, writer="alerts-icu-2"), True),
        (replace(written(0, revision=6), writer="", epoch=0), False),
    ],
)
def test_an_earlier_epoch_of_the_same_worker_is_overtaken_and_otherwise_the_revision_decides(
    alert: Alert, overtaken: bool
) -> None:
    assert is_overtaken(alert, KNOWN, NOW) is overtaken


def test_an_epoch_of_a_clock_that_was_far_ahead_does_not_silence_the_alerts_after_it() -> None:
    wrong = replace(KNOWN, epoch=int((NOW + timedelta(days=400)).timestamp()) * 10**9)
    assert not is_overtaken(written(3, alert_id=OTHER_ID), wrong, NOW)
    within = replace(KNOWN, epoch=int((NOW + MAX_CLOCK_AHEAD).timestamp()) * 10**9)
    assert is_overtaken(written(3, alert_id=OTHER_ID), within, NOW)


def test_an_alert_that_the_next_process_publishes_again_is_a_repetition() -> None:
    assert is_repeated(replace(KNOWN, epoch=START + 3), KNOWN)
    assert not is_repeated(replace(KNOWN, epoch=START + 3, state=State.CLEARED), KNOWN)


def test_the_list_of_open_alerts_ignores_a_replaced_worker_also_after_the_alert_was_cleared() -> None:
    board = OpenAlerts(TOPICS, NOW)
    topic = TOPICS.alert(KNOWN.ward, KNOWN.device_id, KNOWN.rule)
    assert board.update(topic, encode_alert(KNOWN), NOW) == KNOWN
    assert board.update(topic, encode_alert(written(1, revision=7, state=State.CLEARED)), NOW) is None
    assert board.alerts(NOW, worker_online=True) == [KNOWN]
    again = replace(KNOWN, epoch=START + 3)
    assert board.update(topic, encode_alert(again), NOW) is None, "taken over and repeated: no change"
    cleared = written(3, revision=7, state=State.CLEARED)
    assert board.update(topic, encode_alert(cleared), NOW) == cleared
    assert board.update(topic, encode_alert(written(2, alert_id=OTHER_ID)), NOW) is None
    assert board.alerts(NOW, worker_online=True) == []


def test_other_systems_receive_nothing_of_a_replaced_worker() -> None:
    reports = AlertReports([])
    first = reports.take(KNOWN, NOW, retained=False)
    assert first is not None
    assert first.phase is Phase.START
    assert reports.take(written(1, alert_id=OTHER_ID), NOW, retained=False) is None
    assert reports.take(written(1, revision=9, state=State.CLEARED), NOW, retained=False) is None
    assert reports.take(replace(KNOWN, epoch=START + 3), NOW, retained=False) is None
    same_number = written(4, revision=6, state=State.CLEARED, change=Change.CLEARED)
    end = reports.take(same_number, NOW, retained=False)
    assert end is not None
    assert (end.phase, end.repeated) == (Phase.END, True)


def test_a_worker_restores_the_state_of_the_newest_epoch() -> None:
    rules = parse(HIGH, "the test")
    newest = written(3, revision=1, rule="hr", ward="icu-2", changed_at=NOW - timedelta(minutes=1))
    replaced = written(2, revision=8, rule="hr", ward="icu-1", changed_at=NOW)
    for order in ([newest, replaced], [replaced, newest]):
        beds, events = restore(rules, order, NOW)
        assert [bed.ward for bed in beds.values()] == ["icu-2"]
        assert [event.old_ward for event in events] == ["icu-1"]
