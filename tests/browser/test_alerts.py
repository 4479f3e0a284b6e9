"""Alerts in a real browser, with the real alert worker: shown, sounded, acknowledged, and updated on every screen."""

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.fixtures.browser import Ward
from tests.support.factories import make_alert
from tests.support.rule_text import rule
from tests.support.servers import eventually
from vitals.alert import State, encode_alert

HIGH = "icu-1/bed-1/heart-rate-high"
SIGNS = {"saturation": "spo2", "pulse": "heart_rate"}
LATCHING: dict[str, Any] = {"priority": "high", "below": 41, "clear": 43, "for_s": 0, "latching": True}


def test_an_alert_is_shown_and_sounds_and_its_acknowledgement_reaches_every_screen_within_1_s(
    ward: Ward,
) -> None:
    station, ada, person = ward.with_alerts("nurse Ada")
    bob = ward.make_screen("Dr. Bob")
    person.measure(heart_rate=80)
    page, other = ada.open(station.url), bob.open(f"{station.url}/alerts")
    page.get_by_role("button", name="Sound off").click()
    expect(page.get_by_role("button", name="Sound on")).to_be_visible()
    expect(other.locator(".lead")).to_have_text("No open alerts.")
    assert page.evaluate("tones") == 0

    person.measure(heart_rate=140)
    tile = ada.tile("bed-1")
    expect(tile).to_have_attribute("data-priority", "high", timeout=2000)
    expect(tile.locator(".ribbon .what")).to_have_text("!!! Heart rate high")
    expect(tile.locator(".ribbon .since")).to_have_text(re.compile(r"^\d+ s$"))
    expect(tile.locator('.row[data-sign="heart_rate"]')).to_have_attribute("data-alert", "high")
    assert tile.locator(".ribbon").evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(201, 21, 30)"
    # A burst of high priority has ten pulses, each of several tones.
    eventually(lambda: page.evaluate("tones >= 50"), 3, "it sounds")
    assert other.evaluate("tones") == 0, "a sound that is not switched on"
    expect(other.locator(".alert .text")).to_have_text("Heart rate high: 140 /min, limit above 120")

    other.get_by_role("button", name="Acknowledge").click()
    asked = time.monotonic()
    expect(tile).to_have_attribute("data-silenced", "true", timeout=1000)
    assert time.monotonic() - asked < 1
    expect(tile.locator(".ribbon .what")).to_have_text("!!! ✓ Heart rate high")
    expect(other.locator(".alert .state")).to_have_text(re.compile(r"^acknowledged by Dr\. Bob at \d\d:\d\d$"))
    assert person.wait_for(HIGH, state="acknowledged").acknowledged_by == "Dr. Bob"
    expect(page.locator("html")).to_have_attribute("data-sounding", "none")

    person.measure(heart_rate=90)
    expect(tile).not_to_have_attribute("data-priority", "high", timeout=3000)
    expect(other.locator(".alert")).to_have_count(0)


def test_of_two_simultaneous_acknowledgements_the_second_names_the_first_user(ward: Ward) -> None:
    station, ada, person = ward.with_alerts("nurse Ada")
    screens = [ada, ward.make_screen("Dr. Bob")]
    person.measure(heart_rate=140)
    person.wait_for(HIGH, state="active")
    pages = [screen.open(f"{station.url}/alerts") for screen in screens]
    # Both ask in the same moment, before either page can have received the other's change.
    ask = """(at) => {
        const asked = { ward: "icu-1", device: "bed-1", rule: "heart-rate-high", action: "acknowledge" };
        const headers = { "Content-Type": "application/json" };
        const send = async () => {
            const answer = await fetch("/ui/alerts", { method: "POST", headers, body: JSON.stringify(asked) });
            return [answer.status, (await answer.json()).detail ?? ""];
        };
        globalThis.asked = new Promise((done) => setTimeout(done, at - Date.now())).then(send);
        return null;
    }"""
    at = time.time() * 1000 + 500
    for page in pages:
        page.evaluate(ask, at)
    answers = [page.evaluate("asked") for page in pages]
    assert sorted(status for status, _ in answers) == [200, 409], answers
    first = ("nurse Ada", "Dr. Bob")[[status for status, _ in answers].index(200)]
    refused = next(detail for status, detail in answers if status == 409)
    assert refused == f"this alert is already acknowledged by {first}"
    for page in pages:
        row = page.locator(".alert", has_text="Heart rate high")
        expect(row.locator(".state")).to_contain_text(f"acknowledged by {first} at")


def test_audio_is_paused_and_resumed_under_the_signed_in_name(ward: Ward) -> None:
    station, screen, person = ward.with_alerts("nurse Cleo")
    person.measure(heart_rate=140)
    page = screen.open(f"{station.url}/bed?device=bed-1")
    page.locator(".alert").get_by_role("button", name="Pause audio").click()
    expect(page.locator(".alert .state")).to_contain_text("audio paused, 1")
    expect(page.locator("#notice")).to_contain_text("audio paused for two minutes")
    person.wait_for(HIGH, state="audio_paused")
    page.get_by_role("button", name="Resume audio").click()
    expect(page.locator(".alert .state")).to_have_text("active")
    page.keyboard.press("a")
    expect(page.locator(".alert .state")).to_contain_text("acknowledged by nurse Cleo at")


def test_an_action_is_reported_as_failed_while_the_alert_worker_is_down(ward: Ward) -> None:
    alerts = ward.make_alerts(ward.broker.url)
    station, screen, person = ward(station_services=alerts.client_id)
    person.measure(heart_rate=140)
    person.wait_for(HIGH, state="active")
    page = screen.open(f"{station.url}/alerts")
    expect(page.locator(".alert")).to_have_count(1)
    alerts.kill()
    expect(page.locator("#banner")).to_contain_text(
        "The alert service is down. No alarms will sound: watch the patients directly.", timeout=5000
    )
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#notice")).to_have_text(
        "The alert service did not respond; check the alert before trying again.", timeout=5000
    )
    expect(page.locator(".alert .state")).to_have_text("active")
    alerts.start()
    expect(page.locator("#banner")).to_have_text("", timeout=8000)


def test_present_acknowledged_paused_and_ended_alerts_differ_without_colour(ward: Ward) -> None:
    station, screen, person = ward()
    states = (State.ACTIVE, State.ACKNOWLEDGED, State.AUDIO_PAUSED, State.LATCHED)
    for number, state in enumerate(states):
        person.measure(f"bed-{number}", spo2=82, heart_rate=80)
        now = datetime.now(UTC)
        alert = make_alert(device=f"bed-{number}", state=state, raised_at=now - timedelta(minutes=3))
        person.send(f"alerts/icu-1/bed-{number}/spo2-low", encode_alert(alert), retain=True)
    screen.open(station.url)
    seen = []
    for number in range(len(states)):
        ribbon = screen.tile(f"bed-{number}").locator(".ribbon")
        expect(ribbon.locator(".what")).to_contain_text("Oxygen saturation low")
        look = "node => [getComputedStyle(node).borderTopStyle, getComputedStyle(node).borderTopWidth].join()"
        value = screen.value(f"bed-{number}", "spo2").evaluate("node => getComputedStyle(node).outlineStyle")
        seen.append((ribbon.locator(".what").inner_text(), ribbon.locator(".since").inner_text(), value))
        assert ribbon.evaluate(look)
    marks = ["", "✓ ", "‖ ", "◌ "]
    assert [what for what, _, _ in seen] == [f"!!! {mark}Oxygen saturation low" for mark in marks]
    assert [since for _, since, _ in seen] == ["3 min", "3 min", "3 min", "ended"]
    assert [outline for _, _, outline in seen] == ["none", "none", "none", "dashed"]


def test_ended_alerts_are_acknowledged_together_and_a_bed_is_silenced_as_a_whole(ward: Ward, tmp_path: Path) -> None:
    rules = tmp_path / "latching.toml"
    rules.write_text("".join(rule(name, sign, text=name, **LATCHING) for name, sign in SIGNS.items()))
    ward.make_alerts(ward.broker.url, alerts_rules=rules)
    station, screen, person = ward("nurse Ada")
    places = {bed: [f"icu-1/{bed}/{name}" for name in SIGNS] for bed in ("bed-1", "bed-2")}
    for bed, alerts in places.items():
        person.measure(bed, spo2=30, heart_rate=30)
        for place in alerts:
            person.wait_for(place, state="active")
    page = screen.open(f"{station.url}/bed?device=bed-1")
    page.get_by_role("button", name="Pause audio of this bed for 2 minutes").click()
    for place in places["bed-1"]:
        paused = person.wait_for(place, state="audio_paused")
        assert paused.audio_paused_until is not None
        assert 110 < (paused.audio_paused_until - paused.changed_at).total_seconds() < 125
    expect(page.locator("#notice")).to_contain_text("2 of 2 alerts: audio paused")
    for place in places["bed-2"]:
        person.wait_for(place, state="active")

    for bed, alerts in places.items():
        person.measure(bed, spo2=97, heart_rate=80)
        for place in alerts:
            person.wait_for(place, state="latched")
    page = screen.open(f"{station.url}/alerts")
    expect(page.locator(".alert .text").first).to_contain_text("now 80")
    page.get_by_role("button", name="Acknowledge 4 ended").click()
    for place in places["bed-1"] + places["bed-2"]:
        assert person.wait_for(place, state="cleared").acknowledged_by == "nurse Ada"
    expect(page.locator(".alert")).to_have_count(0)
    expect(page.locator("#notice")).to_contain_text("4 of 4 alerts: acknowledged")
