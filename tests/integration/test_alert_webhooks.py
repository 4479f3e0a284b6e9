"""Alerts over HTTP on a real broker: signed, in order across kills and whatever each receiver answers."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from stack.servers import BrokerServer, free_port
from tests.fixtures.alerts import AlertClient
from tests.support.alert_changes import AlertChanges
from tests.support.http_receiver import HttpReceiver, Received, Reply
from tests.support.process import ServiceProcess, environ_of, run_module
from tests.support.servers import eventually
from vitals.alert import Change, State

ROUNDS = int(os.environ.get("VITALFLOW_TEST_WEBHOOK_KILLS", "3"))
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
MakeClient = Callable[[int], AlertClient]


class Receivers:
    """Receivers by name, and the site's file that lists them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site.toml"
        self.queue = folder / "webhooks.db"
        self.by_name: dict[str, HttpReceiver] = {}
        self.site.write_text('zone = "UTC"\n')
        self.secret = folder / "secret"
        self.secret.touch(0o600)
        self.secret.write_text(SECRET + "\n")

    def add(self, name: str, template: str = "json", path: str = "/alerts?token=not-for-logs") -> HttpReceiver:
        receiver = self.by_name[name] = HttpReceiver().start()
        url = self.folder / f"{name}.url"
        url.touch(0o600)
        url.write_text(f"http://127.0.0.1:{receiver.port}{path}\n")
        with self.site.open("a") as site:
            site.write(f'[[receiver]]\nname = "{name}"\ntemplate = "{template}"\nurl_file = "{url}"\n')
            site.write(f'secret_file = "{self.secret}"\n')
        return receiver

    def command(self, *words: str) -> str:
        done = run_module("vitalflow", "edges", "webhook", *words, "--queue", str(self.queue))
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def webhook_receivers(tmp_path: Path) -> Iterator[Receivers]:
    receivers = Receivers(tmp_path)
    yield receivers
    for receiver in receivers.by_name.values():
        receiver.close()


@pytest.fixture
def webhook_sender(own_broker: BrokerServer, webhook_receivers: Receivers, tmp_path: Path) -> Iterator[ServiceProcess]:
    """`vitalflow edges webhook alerts`, to be started when the receivers are added."""
    environ = environ_of(MQTT_URL=own_broker.url, EDGES_OUT_METRICS_PORT=str(free_port()))
    line = ["vitalflow", "edges", "webhook", "alerts", "--verbose"]
    line += ["--site", str(webhook_receivers.site), "--queue", str(webhook_receivers.queue)]
    with ServiceProcess(line, environ, tmp_path / "webhooks.log") as sender:
        yield sender


def accepted(receiver: HttpReceiver) -> dict[str, list[int]]:
    """Revisions by alert, in the order in which they were accepted first."""
    found: dict[str, list[int]] = {}
    for request in list(receiver.accepted):
        alert = request.content["data"]
        revisions = found.setdefault(alert["alert_id"], [])
        if alert["revision"] not in revisions:
            revisions.append(alert["revision"])
    return found


def expected(changes: AlertChanges) -> dict[str, list[int]]:
    return {str(alert.alert_id): list(range(1, alert.revision + 1)) for alert in changes.alerts}


def test_every_change_arrives_signed_and_in_order_across_kills_of_sender_and_receiver(
    own_broker: BrokerServer,
    make_alert_client: MakeClient,
    webhook_receivers: Receivers,
    webhook_sender: ServiceProcess,
) -> None:
    receiver, down = webhook_receivers.add("central"), webhook_receivers.add("down")
    down.kill()
    webhook_sender.start()
    changes = AlertChanges(make_alert_client(own_broker.port), 10)
    changes.change_all(Change.RAISED)
    for _ in range(ROUNDS):
        changes.change_all()
        receiver.kill()
        changes.change_all()
        webhook_sender.kill()
        changes.change_all()
        webhook_sender.start(wait=False)
        changes.change_all()
        receiver.start()
    changes.change_all(Change.CLEARED, State.CLEARED)
    eventually(lambda: accepted(receiver) == expected(changes), 60, "all changes in order")
    assert down.received == []
    down.start()
    eventually(lambda: accepted(down) == expected(changes), 60, "all changes at the one that was down")
    numbers: dict[str, bytes] = {}
    for request in [*receiver.received, *down.received]:
        Webhook(SECRET).verify(request.body, dict(request.headers))
        assert numbers.setdefault(request.headers["webhook-id"], request.body) == request.body
    assert "not-for-logs" not in webhook_sender.said()


def test_an_answer_of_any_kind_neither_loses_nor_reorders_a_change(
    own_broker: BrokerServer,
    make_alert_client: MakeClient,
    webhook_receivers: Receivers,
    webhook_sender: ServiceProcess,
) -> None:
    receiver = webhook_receivers.add("central")
    failures = [
        Reply(500, body=b"x" * 5000),
        Reply(429, {"Retry-After": "1"}),
        Reply(raw=b""),
        Reply(raw=b"HTTP/1.1 20"),
        Reply(raw=b"no HTTP\r\n\r\n"),
        Reply(302, {"Location": "/elsewhere"}),
        Reply(408),
    ]
    refused: list[Received] = []
    failed: list[Received] = []

    def answer(request: Received) -> Reply:
        if request.content["data"]["revision"] == 2 and not refused:
            refused.append(request)
            return Reply(404, body=b"no such bed")
        if failures:
            failed.append(request)
            return failures.pop(0)
        return Reply(200, {"Content-Length": "1000"}, b"ok") if len(receiver.accepted) == 1 else Reply()

    receiver.answer = answer
    webhook_sender.start()
    changes = AlertChanges(make_alert_client(own_broker.port), 1)
    for _ in range(4):
        changes.change_all()
    (number,) = expected(changes)
    eventually(lambda: accepted(receiver).get(number) == [1, 3, 4], 60, "all but the rejected one")
    assert {request.path for request in receiver.received} == {"/alerts?token=not-for-logs"}
    after = next(request for request in receiver.received if request.at > failed[1].at)
    assert after.at - failed[1].at >= 1, "as Retry-After asks"
    listed = webhook_receivers.command("dead")
    assert listed.endswith(f" central {number}_2: 404, no such bed\n")
    assert "1 messages are queued" in webhook_receivers.command("resend", "--to", "central")
    eventually(lambda: accepted(receiver)[number] == [1, 3, 4, 2], 30, "the message that is sent again")
    assert webhook_receivers.command("dead") == ""
    assert refused[0].headers["webhook-id"] == receiver.accepted[-1].headers["webhook-id"]


def test_neither_a_slow_receiver_nor_an_alert_that_fails_holds_the_others(
    own_broker: BrokerServer,
    make_alert_client: MakeClient,
    webhook_receivers: Receivers,
    webhook_sender: ServiceProcess,
) -> None:
    slow, central = webhook_receivers.add("slow"), webhook_receivers.add("central")
    slow.answer = lambda _: Reply(hold=True)
    fails = True
    central.answer = lambda request: Reply(500 if fails and request.content["data"]["device_id"] == "bed-0" else 204)
    webhook_sender.start()
    changes = AlertChanges(make_alert_client(own_broker.port), 6)
    changes.change_all(Change.RAISED)
    changes.change_all(Change.CLEARED, State.CLEARED)
    held, *others = (str(alert.alert_id) for alert in changes.alerts)
    eventually(lambda: accepted(central) == {number: [1, 2] for number in others}, 30, "all but the one that fails")
    assert slow.accepted == []
    fails = False
    slow.release()
    eventually(lambda: accepted(central) == accepted(slow) == expected(changes), 90, "all, in order")
    assert held in accepted(central)


def test_an_open_alert_continues_after_a_restart_in_each_shape(
    own_broker: BrokerServer,
    make_alert_client: MakeClient,
    webhook_receivers: Receivers,
    webhook_sender: ServiceProcess,
) -> None:
    own, phone = webhook_receivers.add("own"), webhook_receivers.add("phone", "ntfy", "/ward-1")
    webhook_sender.start()
    AlertChanges(make_alert_client(own_broker.port), 1).change_all(Change.RAISED)
    eventually(lambda: len(own.accepted) == len(phone.accepted) == 1, 30, "the start")
    assert webhook_sender.stop() == 0
    webhook_sender.start()
    eventually(lambda: len(own.accepted) == len(phone.accepted) == 2, 30, "the continuation")
    assert [request.content["type"] for request in own.accepted] == ["alert.start", "alert.continue"]
    assert len({request.headers["webhook-id"] for request in own.accepted}) == 2
    assert {(request.path, request.content["topic"]) for request in phone.accepted} == {("/", "ward-1")}
    assert phone.accepted[1].content["message"].startswith("Still open: Oxygen saturation low: 82 %")
    assert b"p-0001" in own.accepted[0].body
    assert not any(b"p-0001" in request.body for request in phone.received)
