"""A device that states that its clock is right: what the status says, and that ingest estimates no offset."""

from datetime import UTC, datetime, timedelta

from devices.outbox.queue import Outbox
from devices.source import Source
from devices.status_messages import StatusMessages
from ingest.device_clocks import DeviceClocks
from vitals.reading import reading
from vitals.status import Status, decode_status

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
STALE = timedelta(seconds=60)


def test_the_birth_states_that_the_clock_is_right() -> None:
    for right_clock in (True, False):
        source = Source("phone", "home", None, "webhook", 900, 1, (), right_clock=right_clock)
        status, _ = decode_status(StatusMessages(source, Outbox(10)).online(0))
        assert status.right_within(STALE) == (timedelta(minutes=15) if right_clock else None)
    assert Status(state="online", clock="right").right_within(STALE) == STALE


def test_old_readings_by_a_right_clock_have_no_offset() -> None:
    clocks = DeviceClocks()
    old = {"phone": reading(NOW - timedelta(days=2), {"spo2": 97})}
    clocks.take_status("phone", Status(state="online", clock="right"))
    assert clocks.offsets(old, NOW) == {"phone": timedelta()}
    clocks.take_status("phone", Status(state="online"))
    later = {"phone": reading(NOW - timedelta(days=2) + timedelta(seconds=10), {"spo2": 97})}
    clocks.offsets(later, NOW + timedelta(seconds=10))
    later = {"phone": reading(NOW - timedelta(days=2) + timedelta(seconds=20), {"spo2": 97})}
    assert clocks.offsets(later, NOW + timedelta(seconds=20)) == {"phone": timedelta(days=2)}
