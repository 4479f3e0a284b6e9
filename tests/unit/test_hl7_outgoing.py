"""The queue of HL7 messages on disk, and the reports of readings at an interval."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hl7  # type: ignore[import-untyped]
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edges.config.site import Patients, Place, Site
from edges.hl7.er7 import parse_message
from edges.hl7.oru import read_report
from edges.hl7.reading_source import MAX_QUEUED, ReadingSource
from edges.outgoing.alert_reports import KEEP_ENDED, Reported
from edges.outgoing.alert_source import AlertSource
from edges.outgoing.exporter import Batch
from edges.outgoing.queue import Message, Queue, Waiting, read_rejected, resend
from tests.support.factories import NOW, make_alert
from vitals.alert import encode_alert
from vitals.codec import encode
from vitals.reading import Reading, reading
from vitals.signs import BY_KEY, SIGNS
from vitals.topics import Topics

SITE = Site(
    zone="UTC",
    patients=Patients(authority=("HOSP",)),
    place=(Place(ward="icu-1", device="bed-1", unit="ICU", bed="1"),),
)
MINUTE = timedelta(minutes=1)
MESSAGE = b"MSH|^~\\&|A|B|||20261129120000+0000||ORU^R40|7|P|2.6\r"


def take_next(queue: Queue, receiver: str = "", busy: Sequence[str] = ()) -> Waiting:
    found = queue.next(receiver, busy)
    assert found is not None
    return found


def test_messages_stay_until_they_are_deleted_or_set_aside(tmp_path: Path) -> None:
    path, alert = tmp_path / "queue.db", make_alert()
    queue = Queue(path, print)
    queue.put([Message(b"1"), Message(MESSAGE), Message(b"3")], [Reported(alert)], NOW)
    first = take_next(queue)
    assert (first.message.content, queue.count()) == (b"1", 3)
    queue.delete(first)
    queue.close()

    queue = Queue(path, print)
    assert queue.read_reported(NOW) == [Reported(alert)]
    queue.reject(take_next(queue), "AR", "no", NOW)
    assert [(item.code, item.reason, item.message.content) for item in read_rejected(path)] == [("AR", "no", MESSAGE)]
    third = take_next(queue)
    assert (third.message.content, queue.count()) == (b"3", 1)
    queue.delete(third)
    assert (queue.next(), queue.count()) == (None, 0)
    queue.close()


def test_each_receiver_has_its_messages_in_order_without_the_series_that_wait(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.db", print)
    queue.put([Message(b"1", "a", "x", "x1"), Message(b"2", "b", "x"), Message(b"3", "a", "y")], [], NOW)
    assert take_next(queue, "a").message == Message(b"1", "a", "x", "x1")
    assert take_next(queue, "a", ["x"]).message.content == b"3"
    assert queue.next("a", ["x", "y"]) is None
    assert take_next(queue, "b").message.content == b"2"
    assert queue.counts() == {"a": 2, "b": 1}
    queue.close()


def test_a_rejected_message_is_queued_again_beside_the_process_that_sends(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    queue = Queue(path, print)
    queue.put([Message(b"1", "a", "x", "x1"), Message(b"2", "a", "x", "x2")], [], NOW)
    rejected = take_next(queue, "a")
    queue.reject(rejected, "404", "", NOW)
    assert resend(path, [rejected.number, 99], NOW + MINUTE) == 1
    assert read_rejected(path) == []
    assert [take_next(queue, "a").message.content, queue.count("a")] == [b"2", 2]
    queue.delete(take_next(queue, "a"))
    assert take_next(queue, "a")[1:] == ((NOW + MINUTE).timestamp(), Message(b"1", "a", "x", "x1"))
    queue.close()


def test_an_ended_alert_is_forgotten_after_a_day(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.db", print)
    queue.put([], [Reported(make_alert(), NOW)], NOW)
    assert queue.read_reported(NOW + KEEP_ENDED) == [Reported(make_alert(), NOW)]
    assert queue.read_reported(NOW + KEEP_ENDED + MINUTE) == []
    queue.close()


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("vitalflow/alerts/icu-1/icu-1-bed-01/spo2-low", b"{"),
        ("vitalflow/alerts/icu-1/bed-02/spo2-low", encode_alert(make_alert())),
        ("vitalflow/alerts/icu-1/spo2-low", encode_alert(make_alert())),
    ],
)
def test_an_alert_that_cannot_be_read_is_an_error(topic: str, payload: bytes) -> None:
    batch = Batch()
    with pytest.raises(ValueError, match=r"."):
        AlertSource(Topics(), None, [], lambda report, now: []).take(topic, payload, NOW, batch, retained=False)
    assert batch == Batch()


def make_source(queued: int = 0, skipped: list[None] | None = None) -> ReadingSource:
    lost = [] if skipped is None else skipped
    return ReadingSource(Topics(), SITE, None, MINUTE, 1, lambda: queued, lambda: lost.append(None))


def take(source: ReadingSource, *items: Reading, device: str = "bed-1", now: datetime = NOW) -> None:
    for item in items:
        source.take(f"vitalflow/vitals/icu-1/{device}", encode(item), now, Batch(), retained=False)


def reports(source: ReadingSource, now: datetime = NOW + MINUTE) -> list[bytes]:
    batch = Batch()
    source.tick(now - MINUTE, batch)
    assert batch.messages == []
    source.tick(now, batch)
    return [item.content for item in batch.messages]


def read(contents: list[bytes], now: datetime = NOW + MINUTE) -> list[Reading]:
    found = []
    for content in contents:
        hl7.parse(content.decode())
        report = read_report(parse_message(content), SITE, now)
        found += [item.reading for item in report.readings]
    return found


def values(draw: st.DrawFn) -> dict[str, float]:
    keys = draw(st.lists(st.sampled_from([sign.key for sign in SIGNS]), unique=True, min_size=1))
    return {
        key: round(draw(st.floats(BY_KEY[key].low + 2, BY_KEY[key].high)), BY_KEY[key].decimals or None) for key in keys
    }


@given(st.lists(st.composite(values)(), min_size=1, max_size=5))
def test_the_newest_value_of_each_sign_is_read_back(measured: list[dict[str, float]]) -> None:
    source, newest = make_source(), dict[str, tuple[float, datetime]]()
    for number, signs in enumerate(measured):
        assume(signs.get("diastolic_bp", 0) < signs.get("systolic_bp", 1000))
        time = NOW - timedelta(seconds=10 - number)
        take(source, reading(time, signs, patient_id="p-1"))
        newest |= {key: (value, time) for key, value in signs.items()}
    pressures = [newest.get(key) for key in ("systolic_bp", "diastolic_bp")]
    assume(not all(pressures) or pressures[0] > pressures[1])  # type: ignore[operator]
    found = read(reports(source))
    assert {item.patient_id for item in found} == {"p-1"}
    got = {key: (value, item.time) for item in found for key in BY_KEY if (value := item.value(key)) is not None}
    both = {"systolic_bp", "diastolic_bp"}
    assert {key: item for key, item in got.items() if key not in both} == {
        key: item for key, item in newest.items() if key not in both
    }
    assert all(got[key] == newest[key] for key in both & got.keys())


def test_a_value_is_reported_once_and_an_older_one_never() -> None:
    source = make_source()
    cuff = reading(NOW, {"systolic_bp": 120.0, "diastolic_bp": 80.0})
    take(source, cuff)
    assert len(read(reports(source))) == 1
    take(source, cuff, reading(NOW - MINUTE, {"systolic_bp": 90.0}))
    assert reports(source, NOW + 3 * MINUTE) == []


def test_a_sensor_that_is_off_has_no_value_and_patients_have_their_own_messages() -> None:
    source = make_source()
    take(source, reading(NOW, {"heart_rate": 70.0}, patient_id="a"))
    take(source, reading(NOW + timedelta(seconds=1), {}, patient_id="b", sensor_off=("heart_rate",)))
    first, second = reports(source)
    assert (b"|a^^^HOSP\r" in first, b"|b^^^HOSP\r" in second) == (True, True)
    last = parse_message(second).segments[-1]
    assert (last.text(3), last.text(5), last.text(11)) == ("147842", "", "X")


def test_reports_are_skipped_and_counted_when_the_queue_is_full() -> None:
    skipped: list[None] = []
    source = make_source(MAX_QUEUED, skipped)
    take(source, reading(NOW, {"heart_rate": 70.0}))
    assert (reports(source), len(skipped)) == ([], 1)


def test_a_reading_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="not JSON"):
        make_source().take("vitalflow/vitals/icu-1/bed-1", b"{", datetime.now(UTC), Batch(), retained=False)
