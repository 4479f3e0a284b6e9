"""Alerts in a real browser, with the real alert worker: shown, sounded, acknowledged, and updated on every screen."""

import re
import time

from playwright.sync_api import expect

from tests.fixtures.browser import Ward
from tests.support.servers import eventually

HIGH = "icu-1/bed-1/heart-rate-high"


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
    expect(tile.locator(".ribbon")).to_have_text("!!! Heart rate high")
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
    expect(tile.locator(".ribbon")).to_have_text("!!! ✓ Heart rate high")
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
    page.get_by_role("button", name="Pause audio").click()
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
