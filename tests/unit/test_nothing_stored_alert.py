"""Ingest's own status as an alert: nothing is stored for a minute."""

from datetime import UTC, datetime, timedelta

from alerts.engine.engine import Engine
from mqtt.service_status import HEARTBEAT_S, ServiceStatus, encode_service_status
from vitals.alert import Alert, State
from vitals.rules import RuleSet
from vitals.topics import Topics

NOW = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
READ_ONLY = "the database is read-only"


class Stack:
    """An engine, the time, and what an ingest says every two seconds."""

    def __init__(self, restored: list[Alert] | None = None, now: datetime = NOW) -> None:
        self.engine = Engine(Topics(), RuleSet(()), now)
        self.now = now
        self.published: list[Alert] = []
        self.engine.restore(restored or [], now)

    def receive(self, status: ServiceStatus | None, *, retained: bool = False, name: str = "ingest") -> None:
        payload = b"" if status is None else encode_service_status(status)
        self.published += [
            e.alert for e in self.engine.take(f"vitalflow/services/{name}".encode(), payload, retained, self.now)
        ]

    def pass_(self, seconds: float, status: ServiceStatus | None = None) -> None:
        """Let time pass, with a heartbeat every two seconds if there is a status."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now += timedelta(seconds=HEARTBEAT_S)
            if status is not None:
                self.receive(status)
            self.published += [event.alert for event in self.engine.tick(self.now)]

    def changes(self) -> list[str]:
        return [alert.change for alert in self.published]


def online(problem: str = "", since: datetime | None = None, boot: int = 1) -> ServiceStatus:
    return ServiceStatus(state="online", boot=boot, problem=problem, problem_since=since)


def offline(boot: int = 1) -> ServiceStatus:
    return ServiceStatus(state="offline", boot=boot)


def test_a_problem_of_a_minute_raises_one_alert_that_ends_with_the_problem() -> None:
    stack = Stack()
    stack.pass_(10, online())
    began = stack.now
    stack.pass_(58, online(READ_ONLY, began))
    assert not stack.published
    stack.pass_(60, online(READ_ONLY, began))
    (alert,) = stack.published
    assert (alert.ward, alert.device_id, alert.rule) == ("stack", "ingest", "nothing-stored")
    assert (alert.priority, alert.kind, alert.state, alert.since) == ("medium", "technical", "active", began)
    assert alert.raised_at - began == timedelta(seconds=60)
    assert alert.text == "Readings are not stored: live values and alarms continue, and the readings are stored later"
    stack.pass_(14, online())
    assert stack.changes() == ["raised", "cleared"]
    assert stack.engine.current_alerts() == [stack.published[-1]]


def test_a_problem_that_passes_within_a_minute_raises_nothing_and_each_one_counts_anew() -> None:
    stack = Stack()
    for _ in range(5):
        stack.pass_(40, online(READ_ONLY, stack.now))
        stack.pass_(4, online())
    assert not stack.published


def test_an_ingest_that_fails_and_starts_again_in_turn_raises_the_alert_once() -> None:
    stack = Stack()
    for boot in range(1, 8):
        stack.pass_(4, online(boot=boot))
        stack.pass_(10, online(READ_ONLY, stack.now, boot))
        stack.receive(offline(boot))
        stack.pass_(6)
    assert stack.changes() == ["raised"]


def test_an_ingest_that_is_gone_raises_the_alert_and_ends_it_when_it_is_back() -> None:
    stack = Stack()
    stack.pass_(4, online(boot=7))
    stack.receive(offline(7))
    stack.pass_(62)
    assert stack.changes() == ["raised"]
    stack.receive(offline(6))  # a will of the process before: old
    stack.pass_(14, online(boot=8))
    assert stack.changes() == ["raised", "cleared"]


def test_heartbeats_that_stop_without_a_will_raise_the_alert() -> None:
    stack = Stack()
    stack.pass_(4, online())
    stack.pass_(64)
    assert stack.changes() == ["raised"]


def test_time_in_which_nothing_could_arrive_raises_nothing() -> None:
    stack = Stack()
    stack.pass_(4, online())
    for _ in range(60):
        stack.engine.restart_no_data_timers(stack.now)
        stack.pass_(2)
    assert not stack.published


def test_an_ingest_that_never_ran_and_other_services_raise_nothing() -> None:
    stack = Stack()
    stack.receive(offline(), name="station")
    stack.pass_(100)
    stack.engine.take(b"vitalflow/services/ingest", b"not a status", False, stack.now)
    assert not stack.published


def test_a_deleted_status_ends_the_alert() -> None:
    stack = Stack()
    stack.receive(offline(), retained=True)
    stack.pass_(62)
    stack.receive(None)
    stack.pass_(100)
    assert stack.changes() == ["raised", "cleared"]


def test_a_restarted_worker_goes_on_with_the_alert_and_does_not_raise_it_again() -> None:
    before = Stack()
    before.pass_(64, online(READ_ONLY, NOW))
    later = Stack(before.published, before.now)
    later.receive(online(), retained=True)  # what is retained may be old: it ends nothing
    later.pass_(30, online(READ_ONLY, NOW))
    assert not later.published
    later.pass_(14, online())
    (ended,) = later.published
    assert (ended.alert_id, ended.state) == (before.published[0].alert_id, State.CLEARED)


def test_an_audio_pause_of_an_alert_of_the_stack_ends() -> None:
    stack = Stack()
    stack.pass_(64, online(READ_ONLY, NOW))
    command = b'{"by": "Ada", "action": "pause_audio", "seconds": 30}'
    topic = b"vitalflow/alert-commands/stack/ingest/nothing-stored"
    stack.published += [event.alert for event in stack.engine.take(topic, command, False, stack.now)]
    stack.pass_(32, online(READ_ONLY, NOW))
    assert stack.changes() == ["raised", "audio_paused", "audio_resumed"]
