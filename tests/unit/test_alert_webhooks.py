"""Alerts over HTTP: the shapes of messages, signatures, what an answer means, and the table [[receiver]]."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from edges.alert_webhooks.client import MAX_RETRY_AFTER_S, Result, judge, read_target
from edges.alert_webhooks.commands import message_for
from edges.alert_webhooks.signing import parse_key, signature_headers
from edges.alert_webhooks.templates import Style, write_body, write_open
from edges.config.receiver_table import Receiver, Template
from edges.config.site import read_site
from edges.outgoing.alert_reports import AlertReports, Phase, Report, phase_of
from tests.support.factories import NOW, make_alert
from vitals.alert import Alert, Change, Priority, State
from vitals.errors import PermanentError

TEMPLATES: tuple[Template, ...] = get_args(Template)
PUBLIC: tuple[Template, ...] = ("ntfy", "slack", "teams", "alertmanager")
SECRET, OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BERLIN = ZoneInfo("Europe/Berlin")


def body(alert: Alert, template: Template, phase: Phase | None = None, *, repeated: bool = False, **style: Any) -> Any:
    report = Report(alert, phase or phase_of(alert.change), repeated)
    return json.loads(write_body(report, Style(template, **style), NOW))


@pytest.mark.parametrize("change", Change)
@pytest.mark.parametrize("template", PUBLIC)
def test_a_message_of_a_public_service_states_bed_sign_value_priority_and_time_and_no_person(
    template: Template, change: Change
) -> None:
    alert = make_alert(change=change, acknowledged_by="nurse-ada", worst_value=79.5, state=State.ACKNOWLEDGED)
    text = json.dumps(body(alert, template, zone=BERLIN), ensure_ascii=False)
    assert not any(person in text for person in ("p-0001", "nurse-ada"))
    for stated in ("icu-1", "bed-01", "Oxygen saturation low: 82 %", "worst value 79.5 %", "2026-11-22 10:59:48 CET"):
        assert stated in text
    assert ("high" in text) != (template != "alertmanager" and change is Change.CLEARED)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_number_of_the_patient_is_stated_if_the_site_says_so(template: Template) -> None:
    text = json.dumps(body(make_alert(), template, patient=True))
    assert "p-0001" in text
    assert "p-0001" not in json.dumps(body(make_alert(), template))


def test_the_own_shape_has_the_names_of_the_alert_over_mqtt() -> None:
    alert = make_alert(change=Change.ESCALATED)
    content = body(alert, "json", patient=True)
    assert (content["type"], content["timestamp"]) == ("alert.escalate", "2026-11-22T09:59:48Z")
    assert content["data"].keys() == set(Alert.__struct_fields__)
    assert (content["data"]["value"], content["data"]["unit"]) == (82.0, "%")
    assert body(alert, "json", Phase.CONTINUE, repeated=True)["timestamp"] == "2026-11-22T10:00:00Z"


@pytest.mark.parametrize(
    ("priority", "level", "severity"),
    [(Priority.HIGH, 5, "critical"), (Priority.MEDIUM, 4, "warning"), (Priority.LOW, 3, "info")],
)
def test_priorities_are_those_of_the_receiver(priority: Priority, level: int, severity: str) -> None:
    alert = make_alert(priority=priority)
    assert body(alert, "ntfy", topic="t")["priority"] == level
    assert body(alert, "ntfy", Phase.END)["priority"] == 2
    assert body(alert, "alertmanager")[0]["labels"]["severity"] == severity


def test_text_that_names_links_or_people_is_only_text() -> None:
    alert = make_alert(text="<!channel> & <http://x|y> @all\x1b[2J")
    assert "&lt;!channel&gt; &amp; &lt;http://x|y&gt; @\u200ball?[2J" in body(alert, "slack")["text"]
    (attachment,) = body(alert, "teams")["attachments"]
    assert {part["type"] for block in attachment["content"]["body"] for part in block["inlines"]} == {"TextRun"}


def changes_at_alertmanager(*alerts: Alert) -> list[list[dict[str, Any]]]:
    reports = AlertReports([])
    found = [reports.take(alert, NOW, retained=False) for alert in alerts]
    return [json.loads(write_body(report, Style("alertmanager"), NOW)) for report in found if report]


def is_firing(entry: dict[str, Any]) -> bool:
    return datetime.fromisoformat(entry["endsAt"]) > NOW + timedelta(days=30)


def test_alertmanager_resolves_an_alert_that_is_cleared_and_no_other() -> None:
    first = make_alert()
    acknowledged = make_alert(revision=2, change=Change.ACKNOWLEDGED, state=State.ACKNOWLEDGED)
    cleared = make_alert(revision=3, change=Change.CLEARED, state=State.CLEARED, level=0)
    (start,), (update,), (end,) = changes_at_alertmanager(first, acknowledged, cleared)
    assert start["labels"] == update["labels"] == end["labels"]
    assert [is_firing(entry) for entry in (start, update, end)] == [True, True, False]
    assert end["endsAt"] >= end["startsAt"] == start["startsAt"]


@pytest.mark.parametrize("change", [{"priority": Priority.MEDIUM}, {"ward": "icu-2"}])
def test_alertmanager_resolves_what_an_alert_was_if_its_labels_change(change: dict[str, Any]) -> None:
    first = make_alert()
    (start,), (old, new) = changes_at_alertmanager(first, make_alert(revision=2, change=Change.MOVED, **change))
    assert old["labels"] == start["labels"] != new["labels"]
    assert [is_firing(old), is_firing(new)] == [False, True]


def test_a_time_ahead_of_the_clock_makes_no_end_before_the_begin() -> None:
    ahead = NOW + timedelta(hours=1)
    alert = make_alert(raised_at=ahead, changed_at=ahead, change=Change.CLEARED, state=State.CLEARED)
    (end,) = body(alert, "alertmanager")
    assert end["startsAt"] == end["endsAt"] == "2026-11-22T10:00:00Z"


def test_all_open_alerts_are_stated_with_the_labels_of_their_reports() -> None:
    alerts = [make_alert(device=f"bed-{number}") for number in range(3)]
    stated = json.loads(write_open(alerts, Style("alertmanager"), NOW))
    assert [entry["labels"] for entry in stated] == [body(alert, "alertmanager")[0]["labels"] for alert in alerts]
    assert all(is_firing(entry) for entry in stated)


@given(st.binary(max_size=200), st.integers(-60, 60))
def test_each_secret_verifies_a_signature_and_no_other(content: bytes, ahead_s: int) -> None:
    content = json.dumps({"x": content.hex()}).encode()
    stamp = int(datetime.now(UTC).timestamp()) + ahead_s
    headers = signature_headers([parse_key(SECRET), parse_key(OTHER)], "a_1", stamp, content)
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(content, headers)
    headers = signature_headers([parse_key(OTHER)], "a_1", stamp, content)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(content, headers)


@pytest.mark.parametrize("secret", ["", "abc", SECRET.removeprefix("whsec_"), "whsec_", "whsec_AAAA", "whsec_%%%%"])
def test_a_secret_that_is_none_is_refused_without_its_text(secret: str) -> None:
    with pytest.raises(ValueError, match="is no secret of Standard Webhooks") as caught:
        parse_key(secret)
    assert "%%%%" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "expected", "concerns_all"),
    [
        *((status, Result.ACCEPTED, False) for status in (200, 202, 204)),
        *((status, Result.REJECTED, False) for status in (400, 401, 403, 404, 410, 422)),
        *((status, Result.FAILED, False) for status in (301, 302, 308, 408, 425, 500, 502, 504, 100, 799)),
        *((status, Result.FAILED, True) for status in (429, 503)),
    ],
)
def test_a_status_accepts_rejects_or_may_pass(status: int, expected: Result, concerns_all: bool) -> None:
    answer = judge(status, b"no\nsuch \xff bed", "", NOW)
    assert (answer.result, answer.concerns_all) == (expected, concerns_all)
    assert expected is not Result.REJECTED or answer.reason == "no such \N{REPLACEMENT CHARACTER} bed"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0),
        ("999999", MAX_RETRY_AFTER_S),
        ("Sun, 22 Nov 2099 09:00:00 GMT", MAX_RETRY_AFTER_S),
        *((text, None) for text in ("", "soon", "-1", "1e9", "9" * 400, "\N{ARABIC-INDIC DIGIT ONE}")),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert judge(503, b"", text, NOW).retry_after_s == seconds


def test_the_id_of_a_message_is_stable_and_all_alerts_of_a_rule_are_one_series(tmp_path: Path) -> None:
    target = read_target(Receiver(name="a", template="slack", url="https://x.example/hook"), make_site(tmp_path))
    reports = AlertReports([])
    alert = make_alert()
    report = reports.take(alert, NOW, retained=False)
    assert report is not None
    messages = [message_for(target, report, NOW + timedelta(seconds=number)) for number in range(2)]
    assert {item.id for item in messages} == {f"{alert.alert_id}_1"}
    later = make_alert(ago=-60.0)
    assert later.alert_id != alert.alert_id
    assert message_for(target, Report(later, Phase.START), NOW).series == messages[0].series


def make_site(folder: Path, text: str = "") -> Any:
    path = folder / "site.toml"
    path.write_text(f'zone = "UTC"\n{text}')
    return read_site(path)


BASE = '[[receiver]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('template = "json"\nurl = "https://x.example/"\n', "secret_file is missing"),
        ('template = "slack"\n', "needs url or url_file, and not both"),
        ('template = "slack"\nurl = "https://x.example/"\nurl_file = "/u"\n', "needs url or url_file, and not both"),
        ('template = "slack"\nurl = "ftp://x.example/"\n', "http:// or https://"),
        ('template = "slack"\nurl = "https://:0/"\n', "http:// or https://"),
        ('template = "slack"\nurl = "https://x.example:99999/"\n', "cannot be read"),
        ('template = "slack"\nurl = "https://me:word@x.example/"\n', "belongs into token_file"),
        ('template = "ntfy"\nurl = "https://x.example/"\n', "that of a topic"),
        ('template = "ntfy"\nurl = "https://x.example/a/b"\n', "that of a topic"),
        ('template = "discord"\nurl = "https://x.example/"\n', "template"),
        ('template = "json"\nsecret_file = "/s"\nurl = "http://x.example/"\n', "unencrypted"),
        ('template = "slack"\nurl = "https://x.example/"\nsecret_file = []\n', "secret_file"),
        (
            f'template = "slack"\nurl = "https://x.example/"\n{BASE}template = "slack"\nurl = "https://y/"\n',
            "same",
        ),
    ],
)
def test_a_mistake_in_the_table_is_named(tmp_path: Path, table: str, problem: str) -> None:
    with pytest.raises(PermanentError, match=problem) as caught:
        make_site(tmp_path, BASE + table)
    assert "word" not in str(caught.value)


def test_files_of_a_receiver_are_read_and_a_mistake_in_them_states_no_secret(tmp_path: Path) -> None:
    site, secret, url = make_site(tmp_path), tmp_path / "secret", tmp_path / "url"
    for path, text in ((secret, SECRET), (url, "https://ntfy.example/very-secret-topic\n")):
        path.touch(0o600)
        path.write_text(text)
    receiver = Receiver(name="a", template="ntfy", url_file=url, secret_file=(secret, secret), token_file=secret)
    target = read_target(receiver, site)
    assert (target.url, target.style.topic, target.token) == ("https://ntfy.example/", "very-secret-topic", SECRET)
    assert target.keys == (parse_key(SECRET),) * 2
    url.write_text("ftp://very-secret-topic\n")
    with pytest.raises(PermanentError, match="receiver a: the URL is not") as caught:
        read_target(receiver, site)
    assert "very-secret" not in str(caught.value)
    secret.write_text("whsec_very-secret")
    url.write_text("https://ntfy.example/topic\n")
    with pytest.raises(PermanentError, match="is no secret") as caught:
        read_target(receiver, site)
    assert "very-secret" not in str(caught.value)
    url.chmod(0o644)
    with pytest.raises(PermanentError, match="chmod 600"):
        read_target(receiver, site)
