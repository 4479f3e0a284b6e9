"""The station without sockets: slow browsers, services down, pending commands, the origin check, a bed."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as replace_alert
from starlette.responses import PlainTextResponse

from alerts.rulefile.parser import DEFAULT, load
from mqtt.service_status import ServiceStatus, encode_service_status
from station.bed import BedState
from station.frame import DeltaEncoder, alert_view, bed_view, collect_changes
from station.hub import Hub, SentCounts, Subscriber
from station.origin_check import HEADERS, OriginMiddleware
from station.pending_commands import PendingCommands
from station.services import Services
from station.settings import StationSettings
from station.ward import MAX_BEDS, Rejection, Ward
from tests.support.factories import NOW, make_alert
from vitals.alert import Alert, Change, State, encode_alert
from vitals.assignment import Assignment, encode_assignment
from vitals.codec import encode
from vitals.command import Command
from vitals.errors import PermanentError, TransientError
from vitals.limits import Limits, RequestRejected, apply
from vitals.reading import reading
from vitals.rules import decode_rules, encode_rules
from vitals.status import Status, encode_status
from vitals.topics import DeviceAddress, Topics

TOPICS = Topics()
SECOND = timedelta(seconds=1)


def made_ward(*services: str) -> Ward:
    return Ward(TOPICS, Services(services, has_database=False, now=NOW), NOW)


def add_reading(ward: Ward, device: str = "bed-1", at: datetime = NOW, **signs: float) -> None:
    values = reading(at, signs, patient_id="p-1")
    ward.take(TOPICS.vitals("icu-1", device), encode(values), False, at)


def test_a_reading_without_time_of_a_listed_device_is_shown_unless_it_is_a_retained_one() -> None:
    ward = Ward(Topics(arrival_time=frozenset({"icu-1/bed-1"})), Services((), has_database=False, now=NOW), NOW)
    ward.take(TOPICS.vitals("icu-1", "bed-1"), b'{"spo2":70}', True, NOW)
    ward.take(TOPICS.vitals("icu-1", "bed-2"), b'{"spo2":70}', False, NOW)
    assert ward.counts.readings == 0
    ward.take(TOPICS.vitals("icu-1", "bed-1"), b'{"spo2":70}', False, NOW)
    assert ward.counts.readings == 1


def test_a_retained_reading_is_not_shown_as_a_present_one() -> None:
    ward = made_ward()
    payload = encode(reading(NOW - timedelta(days=3), {"spo2": 98}))
    ward.take(TOPICS.vitals("icu-1", "bed-1"), payload, True, NOW)
    ward.settle(NOW + 2 * SECOND)
    assert ward.beds["bed-1"].condition(NOW + 2 * SECOND) == "WAITING"
    assert ward.beds["bed-1"].snapshot.last_values == {}


def test_the_last_message_again_and_again_is_not_shown_as_a_present_one() -> None:
    ward = made_ward()
    conditions = []
    for second in range(120):
        payload = encode(reading(NOW, {"spo2": 97, "heart_rate": 80 + (second == 50)}))
        ward.take(TOPICS.vitals("icu-1", "bed-1"), payload, False, NOW + second * SECOND)
        conditions.append(str(ward.beds["bed-1"].condition(NOW + second * SECOND)))
    assert set(conditions[:115]) == {"NORMAL"}  # a minute after the last change
    assert conditions[118:] == ["SILENT"] * 2


# --- the hub ---


async def read(stream: AsyncIterator[bytes], events: int) -> list[dict[str, Any]]:
    return [json.loads((await anext(stream)).partition(b"data: ")[2]) for _ in range(events)]


def test_a_browser_gets_the_whole_ward_first_and_then_every_change() -> None:
    async def story() -> None:
        hub = Hub(lambda: b'{"whole":1}', sent := SentCounts())
        stream = hub.stream(b"{}", Subscriber())
        assert await read(stream, 2) == [{}, {"whole": 1}]
        for number in range(3):
            hub.send(b'{"change":%d}' % number)
            assert await read(stream, 1) == [{"change": number}]
        assert (sent.frames, sent.slow_clients) == (4, 0)

    asyncio.run(story())


def test_a_slow_browser_gets_the_present_ward_instead_of_a_backlog_and_delays_no_other() -> None:
    async def story() -> None:
        now = [b'{"whole":0}']
        hub = Hub(lambda: now[0], SentCounts())
        slow, quick = hub.stream(b"{}", Subscriber()), hub.stream(b"{}", Subscriber())
        await read(slow, 2)
        await read(quick, 2)
        for number in range(50):
            now[0] = b'{"whole":%d}' % number
            hub.send(b'{"change":%d}' % number)
            assert await read(quick, 1) == [{"change": number}]
        assert await read(slow, 1) == [{"whole": 49}]
        hub.send(b'{"change":50}')
        assert await read(slow, 1) == [{"change": 50}]

    asyncio.run(story())


def test_a_closed_stream_is_removed_and_an_ended_one_receives_no_more() -> None:
    async def story() -> None:
        hub = Hub(lambda: b"{}", SentCounts())
        browser = Subscriber()
        gone, stays = hub.stream(b"{}", Subscriber()), hub.stream(b"{}", browser)
        await read(gone, 2)
        await read(stays, 2)
        assert len(hub.browsers) == 2
        await gone.aclose()
        assert len(hub.browsers) == 1
        hub.send(b'{"change":1}')
        browser.leave()
        with pytest.raises(StopAsyncIteration):
            await anext(stays)

    asyncio.run(story())


# --- frames ---


def frame(ward: Ward, framer: DeltaEncoder, now: datetime = NOW, due: bool = False) -> dict[str, Any] | None:
    made = framer.changes(collect_changes(ward, now), now, due=due)
    return None if made is None else dict(json.loads(made))


def test_a_frame_has_what_changed_and_nothing_else() -> None:
    ward = made_ward()
    ward.connected(NOW)
    framer = DeltaEncoder(ward)
    add_reading(ward, "bed-1", heart_rate=80)
    add_reading(ward, "bed-2", heart_rate=70)
    first = frame(ward, framer)
    assert first is not None
    assert {bed["device"]: bed["values"] for bed in first["beds"]} == {
        "bed-1": {"heart_rate": [80.0, 0.0]},
        "bed-2": {"heart_rate": [70.0, 0.0]},
    }
    assert frame(ward, framer) is None
    assert frame(ward, framer, due=True) == {"number": 2, "at": first["at"]}
    alert = make_alert(device="bed-1")
    topic = TOPICS.alert(alert.ward, "bed-1", alert.rule)
    ward.take(topic, encode_alert(alert), True, NOW)
    changes = frame(ward, framer)
    assert changes is not None
    assert [one["key"] for one in changes["alerts"]] == ["icu-1/bed-1/spo2-low"]
    assert "beds" not in changes
    ward.take(topic, b"", True, NOW)
    ward.take(TOPICS.status("icu-1", "bed-2"), b"", True, NOW)
    changes = frame(ward, framer)
    assert changes is not None
    assert (changes["removed_alerts"], changes["removed_beds"]) == (["icu-1/bed-1/spo2-low"], ["bed-2"])
    whole = json.loads(framer.whole(NOW))
    assert [bed["device"] for bed in whole["beds"]] == ["bed-1"]
    assert whole["number"] == changes["number"]


def test_an_alert_keeps_the_user_and_time_of_its_acknowledgement() -> None:
    ward = made_ward()
    ward.connected(NOW)
    framer = DeltaEncoder(ward)
    seen = make_alert(state=State.ACKNOWLEDGED, change=Change.ACKNOWLEDGED, acknowledged_by="Ada", acknowledged_at=NOW)
    for alert in (
        seen,
        replace_alert(seen, change=Change.DEESCALATED, changed_at=NOW + SECOND, revision=seen.revision + 1),
    ):
        topic = TOPICS.alert(alert.ward, alert.device_id, alert.rule)
        ward.take(topic, encode_alert(alert), True, NOW)
        changes = frame(ward, framer)
        assert changes is not None
        (shown,) = changes["alerts"]
        assert shown["acknowledged_by"] == "Ada"
        assert shown["acknowledged_at"] == int(NOW.timestamp() * 1000)
    old = replace_alert(seen, acknowledged_at=None, changed_at=NOW)
    assert alert_view(old, stale=False).acknowledged_at == int(NOW.timestamp() * 1000), "an older alert worker"


def test_after_a_restart_every_retained_status_and_open_alert_makes_a_bed_that_is_not_live() -> None:
    ward = made_ward()
    ward.connected(NOW)
    ward.take(TOPICS.status("icu-1", "old"), encode_status(Status(state="offline", boot=1)), True, NOW)
    ward.take(TOPICS.status("icu-1", "quiet"), encode_status(Status(state="online", boot=1)), True, NOW)
    alert = make_alert(device="lost")
    topic = TOPICS.alert(alert.ward, "lost", alert.rule)
    ward.take(topic, encode_alert(alert), True, NOW)
    stack = make_alert(ward="stack", device="broker", rule="broker-dropping")
    ward.take(TOPICS.alert("stack", "broker", "broker-dropping"), encode_alert(stack), True, NOW)
    beds = {bed["device"]: bed for bed in json.loads(DeltaEncoder(ward).whole(NOW))["beds"]}
    assert {device: bed.get("online", True) for device, bed in beds.items()} == {
        "old": False,
        "quiet": True,
        "lost": True,
    }
    assert not any("time" in bed for bed in beds.values()), "no reading has arrived"
    ward.take(topic, encode_alert(replace_alert(alert, state=State.CLEARED, revision=2)), False, NOW)
    assert "lost" not in ward.beds, "only its alert was known"


def test_a_removed_device_leaves_with_its_alerts_and_emptied_limits_bring_it_back_nowhere() -> None:
    ward = made_ward()
    ward.connected(NOW)
    ward.take(TOPICS.status("icu-1", "bed-1"), encode_status(Status(state="online", boot=1)), True, NOW)
    alert = make_alert(device="bed-1")
    ward.take(TOPICS.alert("icu-1", "bed-1", alert.rule), encode_alert(alert), True, NOW)
    for topic in (TOPICS.status, TOPICS.limits, TOPICS.assignments):
        ward.take(topic("icu-1", "bed-1"), b"", False, NOW)
    assert (ward.beds, ward.alerts(NOW)) == ({}, [])


def test_the_number_of_beds_is_bounded() -> None:
    ward = made_ward()
    for number in range(MAX_BEDS + 10):
        add_reading(ward, f"invented-{number}", heart_rate=80)
    assert len(ward.beds) == MAX_BEDS


# --- a bed ---


def add(bed: BedState, seconds: float, signs: dict[str, float], ward: str = "icu-1", **rest: Any) -> None:
    """A reading that arrives `seconds` after NOW; `ahead`: seconds that the device's clock is ahead."""
    ahead = rest.pop("ahead", 0.0)
    bed.add_reading(reading(NOW + (seconds + ahead) * SECOND, signs, **rest), ward, NOW + seconds * SECOND)


def test_values_are_reset_once_another_patient_id_has_held() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    add(bed, 0, {"heart_rate": 80, "systolic_bp": 200}, patient_id="p-1")
    add(bed, 1, {"heart_rate": 81})  # a device that has lost its patient's name,
    for second in (2, 3):
        add(bed, second, {"heart_rate": 60}, "icu-2", patient_id="p-2")  # and was given another
        assert (bed.snapshot.patient, bed.snapshot.last_values["heart_rate"].value) == ("p-1", 81)
    add(bed, 4, {"heart_rate": 61}, "icu-2", patient_id="p-2")
    assert bed.snapshot.patient == "p-2"
    assert set(bed.snapshot.last_values) == {"heart_rate"}
    assert "systolic_bp" not in bed.score.parts
    assert bed.snapshot.bed.ward == "icu-2"
    assert [second for second, _ in bed.recent(timedelta(minutes=5))] == [NOW.timestamp() + at for at in (2, 3, 4)]


def test_two_patient_ids_in_turn_show_values_without_a_patient() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    for second in range(10):
        add(bed, second, {"spo2": 85}, patient_id="p-1" if second % 2 else "P-1")
    assert bed.snapshot.patient is None
    assert bed.snapshot.condition(NOW + 9 * SECOND) == "CRITICAL"


def test_a_reading_that_is_sent_again_changes_no_sensor() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    add(bed, 1, {"spo2": 97}, boot=1, seq=1)
    for second, signs, off in ((2, {}, ("spo2",)), (3, {"spo2": 82.0}, ())):
        add(bed, second, signs, sensor_off=off, boot=1, seq=second)
        shown = bed.snapshot
        add(bed, second + 0.2, signs, sensor_off=off, boot=1, seq=second, ahead=-0.2)
        earlier = {"spo2": 97.0} if second == 2 else {}
        add(bed, second + 0.3, earlier, sensor_off=("spo2",) * (not earlier), boot=1, seq=second - 1, ahead=-1.3)
        assert (bed.snapshot.last_values, bed.snapshot.sensor_off) == (shown.last_values, shown.sensor_off)


@pytest.mark.parametrize("seconds", [3, 30])
def test_a_single_reading_that_may_be_late_replaces_no_newer_value_unless_it_is_critical(seconds: float) -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    add(bed, 0, {"spo2": 97})
    add(bed, 60, {"spo2": 84})
    add(bed, 60.5, {"spo2": 97, "systolic_bp": 120}, ahead=-seconds)
    bed.settle(NOW + 63 * SECOND)
    known = {key: (last.value, last.time) for key, last in bed.snapshot.last_values.items()}
    assert known == {
        "spo2": (84, NOW + 60 * SECOND),
        "systolic_bp": (120, NOW + (60.5 - seconds) * SECOND),
    }
    other = BedState(DeviceAddress("icu-1", "bed-1"))
    add(other, 60, {"spo2": 97})
    add(other, 60.5, {"spo2": 84}, ahead=-seconds)
    other.settle(NOW + 63 * SECOND)
    assert other.snapshot.last_values["spo2"].value == 84


@pytest.mark.parametrize(
    ("signs", "shown"),
    [
        ({"heart_rate": 25, "spo2": 99}, {"heart_rate": 25}),  # by the rules; its verdict is NORMAL
        ({"heart_rate": 130, "spo2": 99}, {"heart_rate": 130}),
        ({"heart_rate": 45, "spo2": 99}, {}),
        ({"systolic_bp": 92, "diastolic_bp": 40, "spo2": 99}, {"systolic_bp": 92, "diastolic_bp": 40}),  # their mean
        ({"resp_rate": 22, "heart_rate": 115}, {"resp_rate": 22, "heart_rate": 115}),  # NEWS2, with 2 of the SpO2
    ],
)
def test_a_single_reading_that_may_be_late_shows_what_raises_an_alert_and_no_other_value(
    signs: dict[str, float], shown: dict[str, float]
) -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"), rules=load(DEFAULT))
    known = {"heart_rate": 80.0, "spo2": 93.0, "resp_rate": 16.0, "systolic_bp": 120.0, "diastolic_bp": 80.0}
    add(bed, 0, known)
    add(bed, 60, known)
    add(bed, 60.5, signs, ahead=-30)
    bed.settle(NOW + 63 * SECOND)
    assert {key: last.value for key, last in bed.snapshot.last_values.items()} == known | shown


def test_a_sensor_that_is_off_scores_nothing() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    add(bed, 1, {"heart_rate": 80, "spo2": 84})
    add(bed, 2, {"heart_rate": 80}, sensor_off=("spo2",))
    assert bed.score.parts == {"heart_rate": 0}


def test_a_value_that_is_sent_again_scores_no_more() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    for second, spo2 in ((1, 97.0), (2, 84.0)):
        add(bed, second, {"spo2": spo2}, boot=1, seq=second)
    add(bed, 2.3, {"spo2": 97.0}, boot=1, seq=1, ahead=-1.3)
    assert bed.score.parts == {"spo2": 3}


def test_a_device_that_sends_one_sign_per_message_shows_all_signs_and_the_worst_verdict() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    for second in range(3):
        for number, signs in enumerate(({"heart_rate": 80.0}, {"spo2": 70.0}, {"resp_rate": 16.0})):
            arrival = NOW + (second + number / 100) * SECOND
            bed.add_reading(reading(NOW + second * SECOND, signs), "icu-1", arrival)
    assert {key: known.value for key, known in bed.snapshot.last_values.items()} == {
        "heart_rate": 80,
        "spo2": 70,
        "resp_rate": 16,
    }
    assert bed.snapshot.condition(NOW + 2 * SECOND) == "CRITICAL"
    assert [older for _, older in bed_view(bed).values.values()] == [0, 0, 0]


def test_a_clock_that_is_ahead_and_then_right_hides_no_value() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    for second in range(5):
        add(bed, second, {"spo2": 98}, ahead=60)
    assert bed.snapshot.age(NOW + 4 * SECOND) == timedelta()
    assert bed.snapshot.condition(NOW + 10 * SECOND) == "SILENT"
    add(bed, 5, {"spo2": 70})
    assert bed.snapshot.last_values["spo2"].value == 70
    assert bed.snapshot.condition(NOW + 5 * SECOND) == "CRITICAL"


def test_a_bed_without_a_usable_value_is_not_normal() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    add(bed, 0, {})
    assert bed.snapshot.condition(NOW) == "WAITING"
    add(bed, 1, {"spo2": 98})
    assert bed.snapshot.condition(NOW + SECOND) == "NORMAL"
    for second in range(2, 20):
        add(bed, second, {})
    assert bed.snapshot.condition(NOW + 19 * SECOND) == "WAITING"


def test_a_clock_that_is_behind_is_not_silence() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    for second in range(5):
        add(bed, second, {"spo2": 98}, ahead=-3600)
    assert bed.snapshot.age(NOW + 4 * SECOND) == timedelta()
    assert bed.snapshot.condition(NOW + 5 * SECOND) == "NORMAL"


def test_a_backlog_shows_nothing_as_present() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    for number in range(100):
        old = reading(NOW - (1000 - number) * SECOND, {"spo2": 70.0})
        bed.add_reading(old, "icu-1", NOW + number * SECOND / 100)
    bed.settle(NOW + 5 * SECOND)
    assert bed.snapshot.last is None


def test_the_recent_history_of_a_bed_has_at_most_one_point_per_second() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    for tenth in range(4000):
        add(bed, tenth / 10, {"heart_rate": 60 + tenth % 9})
    points = list(bed.recent(timedelta(minutes=5)))
    assert len(points) == 300
    assert points[-1][0] == int((NOW + 399 * SECOND).timestamp())


# --- who is away ---


def test_a_service_is_down_after_two_missing_heartbeats_or_its_offline_status() -> None:
    services = Services(("ingest", "alerts"), has_database=True, now=NOW)
    assert [one.name for one in services.outages(NOW)] == ["broker", "database"]
    services.database(True, NOW)
    services.connected(NOW)
    services.take("alerts", ServiceStatus(state="online", boot=5), True, NOW)  # retained: perhaps a leftover
    services.take("ingest", ServiceStatus(state="online", boot=5), False, NOW + SECOND)
    assert services.outages(NOW + 3 * SECOND) == []
    assert [one.name for one in services.outages(NOW + 4.9 * SECOND)] == ["alerts"]
    services.take("alerts", ServiceStatus(state="online", boot=6), False, NOW + 5 * SECOND)
    services.take(
        "alerts", ServiceStatus(state="offline", boot=5), False, NOW + 5 * SECOND
    )  # the will of an earlier one
    services.take("ingest", ServiceStatus(state="offline", boot=5), False, NOW + 5 * SECOND)
    assert [one.text for one in services.outages(NOW + 5 * SECOND)] == [
        "Recording is interrupted. Live values are shown; they will be stored later."
    ]
    services.disconnected("it does not answer", NOW + 6 * SECOND)
    assert [one.name for one in services.outages(NOW + 60 * SECOND)] == ["broker"]


def test_an_alert_not_republished_is_stale_and_removed_only_while_the_worker_runs() -> None:
    ward = made_ward("alerts")
    ward.connected(NOW)
    alert = make_alert()
    ward.take(TOPICS.alert(alert.ward, alert.device_id, alert.rule), encode_alert(alert), True, NOW)
    ward.connected(NOW + SECOND)
    later = NOW + 20 * SECOND
    assert [ward.is_stale()(one) for one in ward.alerts(later)] == [True]
    ward.take(TOPICS.service("alerts"), encode_service_status(ServiceStatus(state="online", boot=1)), False, later)
    assert ward.alerts(later) == []


# --- who asked ---


def test_a_rejection_reaches_its_sender_and_a_missing_answer_is_a_timeout() -> None:
    alert = make_alert()
    sent: list[str] = []

    async def publish(topic: str, payload: bytes) -> None:
        sent.append(topic)

    async def story() -> None:
        asks = PendingCommands(TOPICS)
        ada = asyncio.create_task(asks.ask(alert, Command(by="Ada", action="acknowledge"), publish))
        bob = asyncio.create_task(asks.ask(alert, Command(by="Bob", action="acknowledge"), publish))
        await asyncio.sleep(0)
        seen = make_alert(state=State.ACKNOWLEDGED, acknowledged_by="Ada")
        asks.on_alert(seen)
        place = TOPICS.alert_commands(alert.ward, alert.device_id, alert.rule)
        asks.on_rejection(Rejection(f"{place}/Eve", "another user's"))
        asks.on_rejection(Rejection(f"{place}/Bob", "already acknowledged by Ada"))
        assert await ada == seen
        with pytest.raises(RequestRejected, match="already acknowledged by Ada"):
            await bob
        again = await asks.ask(seen, Command(by="Ada", action="acknowledge"), publish)
        assert again == seen, "said twice, it is said once"
        assert sent == [f"{place}/Ada", f"{place}/Bob"]

    asyncio.run(story())


def test_every_pending_command_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("station.pending_commands.ANSWER_TIMEOUT_S", 0.05)

    async def publish(topic: str, payload: bytes) -> None:
        pass

    async def wait() -> Alert:
        return await PendingCommands(TOPICS).ask(make_alert(), Command(by="Ada", action="acknowledge"), publish)

    with pytest.raises(TransientError, match="the alert service did not respond"):
        asyncio.run(wait())


# --- the origin check ---


def ask(method: str, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
    """One request to a guarded application; the answer's status and headers."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/ui/alerts", "headers": raw, "query_string": b""}
    asyncio.run(OriginMiddleware(PlainTextResponse("inside"), frozenset({"localhost"}))(scope, receive, send))
    return int(sent[0]["status"]), {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "192.168.1.7"])
def test_configured_names_and_addresses_are_accepted_with_a_strict_policy(host: str) -> None:
    status, headers = ask("GET", {"Host": host})
    assert status == 200
    policy = headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert {name: headers[name.lower()] for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Length": "9999999"}, 413),
        ({"Content-Length": ""}, 413),
    ],
)
def test_a_request_of_another_origin_is_rejected(headers: dict[str, str], status: int) -> None:
    ours = {
        "Host": "localhost:8080",
        "Origin": "http://localhost:8080",
        "Content-Type": "application/json",
        "Content-Length": "2",
    }
    assert ask("POST", ours)[0] == 200
    assert ask("POST", ours | headers)[0] == status


def test_a_public_address_without_encryption_is_rejected_unless_a_setting_allows_it() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.7", "ward-4"):
        with pytest.raises(
            PermanentError, match="which other machines can reach, and without encryption passwords and patient data"
        ):
            StationSettings.read({"VITALFLOW_STATION_HOST": host})
        StationSettings.read({"VITALFLOW_STATION_HOST": host, "VITALFLOW_STATION_ALLOW_HTTP": "True"})
        pair = {"VITALFLOW_STATION_CERTIFICATE": "ward.crt", "VITALFLOW_STATION_KEY": "ward.key"}
        assert StationSettings.read({"VITALFLOW_STATION_HOST": host, **pair}).address.startswith("https://")
    with pytest.raises(PermanentError, match="go together; set both or none"):
        StationSettings.read({"VITALFLOW_STATION_KEY": "ward.key"})
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        StationSettings.read({"VITALFLOW_STATION_HOST": host})


def test_an_age_is_computed_at_the_given_time_and_never_negative() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    add(bed, 0, {"heart_rate": 80})
    assert bed.snapshot.condition(NOW + timedelta(hours=1)) == "SILENT"
    assert bed.snapshot.age(NOW - SECOND) == timedelta()  # never negative


def test_a_device_with_one_reading_a_minute_is_not_silent_after_5_s() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    add(bed, 0, {"heart_rate": 80})
    bed.snapshot = bed.snapshot.with_status("online", 5, 60.0)
    assert bed.snapshot.condition(NOW + 170 * SECOND) == "NORMAL"
    assert bed.snapshot.condition(NOW + 181 * SECOND) == "SILENT"


# --- the rules, as the alert worker tells them ---


def test_decoded_rules_equal_the_encoded_ones_and_reject_the_same_limits() -> None:
    rules = load(DEFAULT)
    decoded = decode_rules(encode_rules(rules))
    assert decoded.rules == rules.rules
    assert (decoded.stale_after, decoded.longest_audio_pause, decoded.spo2_scale) == (
        rules.stale_after,
        rules.longest_audio_pause,
        rules.spo2_scale,
    )
    wrong = Limits(by="Dr. Adams", limits={"heart-rate-low": 130.0})
    said = []
    for known in (rules, decoded):
        with pytest.raises(RequestRejected) as refused:
            apply(known, wrong)
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert "every value of heart_rate would be an alarm" in said[0]


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b'{"rules":[]}', b"\xff", encode_rules(load(DEFAULT)).replace(b'"spo2"', b'"mood"')],
)
def test_invalid_rules_are_reported_in_one_sentence(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not a rules message: "):
        decode_rules(payload)


def test_a_beds_own_spo2_scale_overrides_that_of_the_rules() -> None:
    ward = made_ward()
    ward.take(TOPICS.rules("alerts"), encode_rules(replace(load(DEFAULT), spo2_scale=2)), True, NOW)
    add_reading(ward, "bed-1", spo2=90)
    assert ward.beds["bed-1"].score.parts["spo2"] == 0
    ward.take(TOPICS.limits("icu-1", "bed-1"), b'{"by":"Dr. Adams","spo2_scale":1}', True, NOW)
    assert ward.beds["bed-1"].score.parts["spo2"] == 3
    ward.take(TOPICS.limits("icu-1", "bed-1"), b"", True, NOW)
    assert ward.beds["bed-1"].score.parts["spo2"] == 0


def assign(ward: Ward, patient: str | None, at: datetime = NOW, **fields: object) -> None:
    payload = json.dumps({"patient_id": patient, "by": "ada", **fields}).encode() if patient else b""
    ward.take(TOPICS.assignments("icu-1", "bed-1"), payload, True, at)


def hear_unnamed(ward: Ward, at: datetime, **signs: float) -> None:
    ward.take(TOPICS.vitals("icu-1", "bed-1"), encode(reading(at, signs)), False, at)


def test_a_device_that_names_no_patient_shows_the_assigned_one_and_no_value_of_the_former() -> None:
    ward = made_ward()
    hear_unnamed(ward, NOW, spo2=90, systolic_bp=200)
    assign(ward, "p-1")
    bed = ward.beds["bed-1"]
    assert bed.snapshot.patient == "p-1"
    assert set(bed.snapshot.last_values) == {"spo2", "systolic_bp"}, "measured while no patient was known"
    assign(ward, "p-2", NOW + SECOND)
    assert (bed.snapshot.patient, dict(bed.snapshot.last_values)) == ("p-2", {})
    assert bed.snapshot.condition(NOW + SECOND) == "WAITING"
    assert bed_view(bed).patient == "p-2"
    hear_unnamed(ward, NOW + 2 * SECOND, spo2=97)
    assert (bed.snapshot.patient, set(bed.snapshot.last_values), set(bed.score.parts)) == ("p-2", {"spo2"}, {"spo2"})
    assign(ward, None, NOW + 3 * SECOND)
    after = ward.beds["bed-1"].snapshot
    assert after.patient is None
    assert not after.last_values


def test_a_reading_of_the_former_patient_that_is_sent_again_is_not_shown() -> None:
    bed = BedState(DeviceAddress("icu-1", "bed-1"))
    bed.assign(Assignment(patient_id="p-1", by="ada"), NOW)
    add(bed, 1, {"systolic_bp": 200}, boot=1, seq=1)
    add(bed, 2, {"spo2": 97}, boot=1, seq=2)
    bed.assign(Assignment(patient_id="p-2", by="ada"), NOW + 3 * SECOND)
    add(bed, 4, {"spo2": 96}, boot=1, seq=3)
    add(bed, 5, {"systolic_bp": 200}, boot=1, seq=1, ahead=-4)
    assert (bed.snapshot.patient, set(bed.snapshot.last_values)) == ("p-2", {"spo2"})


def test_a_patient_whom_the_device_reports_stays() -> None:
    ward = made_ward()
    add_reading(ward, spo2=90)
    assign(ward, "p-2", spo2_scale=2)
    add_reading(ward, at=NOW + SECOND, spo2=90)
    bed = ward.beds["bed-1"]
    assert (bed.snapshot.patient, bed.score.parts) == ("p-1", {"spo2": 3}), "nor has p-1 the scale of p-2"


def test_an_assignment_brings_the_scale_and_no_score_below_sixteen_years() -> None:
    ward = made_ward()
    assign(ward, "p-1", spo2_scale=2)
    hear_unnamed(ward, NOW, spo2=90)
    bed = ward.beds["bed-1"]
    assert bed.score.parts == {"spo2": 0}
    ward.take(TOPICS.limits("icu-1", "bed-1"), b'{"by":"Dr. Adams","spo2_scale":1,"patient_id":"p-9"}', True, NOW)
    assert bed.score.parts == {"spo2": 0}, "limits of another patient"
    assign(ward, "p-1", profile="child-5-11")
    assert bed_view(bed).news2 is None
    assert bed.snapshot.last_values["spo2"].value == 90


def test_a_bed_with_a_patient_is_shown_even_if_its_device_is_offline_and_silent() -> None:
    ward = made_ward()
    ward.take(TOPICS.status("icu-1", "bed-1"), encode_status(Status(state="offline", boot=1)), True, NOW)
    assign(ward, "p-1")
    assert ward.beds["bed-1"].snapshot.condition(NOW) == "OFFLINE"
    assign(ward, None)
    ward.take(TOPICS.assignments("icu-1", "bed-2"), b"{", True, NOW)
    ward.take(TOPICS.assignments("icu-1", "bed-3"), b"", True, NOW)
    assert set(ward.beds) == {"bed-1"}


def discharge(ward: Ward, at: datetime) -> None:
    payload = json.dumps({"patient_id": None, "by": "ada", "time": at.isoformat()}).encode()
    ward.take(TOPICS.assignments("icu-1", "bed-1"), payload, True, at)


def test_the_ward_names_discharged_beds_that_are_in_use_until_the_discharge_states_it() -> None:
    ward = made_ward()
    add_reading(ward, spo2=90)
    discharge(ward, NOW + 2 * SECOND)
    assert ward.newly_in_use() == []
    add_reading(ward, at=NOW + 3 * SECOND, spo2=91)
    assert [place.device for place in ward.newly_in_use()] == ["bed-1"]
    stated = msgspec.structs.replace(ward.assignments["bed-1"], in_use_since=NOW + 4 * SECOND)
    ward.take(TOPICS.assignments("icu-1", "bed-1"), encode_assignment(stated), False, NOW + 4 * SECOND)
    assert ward.newly_in_use() == []
    assert bed_view(ward.beds["bed-1"]).values["spo2"][0] == 91, "the values stay"
    restarted = made_ward()
    restarted.take(TOPICS.assignments("icu-1", "bed-1"), encode_assignment(stated), True, NOW + 9 * SECOND)
    assert bed_view(restarted.beds["bed-1"]).vacant_since is None, "not shown as vacant"


def test_a_discharged_bed_is_vacant_until_a_value_is_measured_after_it() -> None:
    ward = made_ward()
    assign(ward, "p-1")
    add_reading(ward, spo2=90)
    discharge(ward, NOW + 2 * SECOND)
    bed = ward.beds["bed-1"]
    shown = bed_view(bed)
    assert (shown.patient, shown.time, shown.values) == (None, None, {}), "also where the device names the patient"
    assert shown.vacant_since == shown.assigned is not None
    assert bed.condition(NOW + 9 * SECOND) == "VACANT", "whatever its device does"
    add_reading(ward, at=NOW + SECOND, spo2=90)  # measured before, received after
    assert bed_view(bed).vacant_since is not None
    add_reading(ward, at=NOW + 3 * SECOND, spo2=91)
    discharge(ward, NOW + 2 * SECOND)  # repeated by the broker after an interruption
    shown = bed_view(bed)
    assert (shown.patient, shown.vacant_since, shown.values["spo2"][0]) == ("p-1", None, 91)
    assert bed.condition(NOW + 3 * SECOND) == "NORMAL"
    assert bed.condition(NOW + 60 * SECOND) == "SILENT"
    assign(ward, "p-1", NOW + 4 * SECOND)
    assert bed_view(bed).assigned is not None
