"""Whatever a client publishes is text on the page: never markup, never overlapping its neighbours."""

import json
from datetime import UTC, datetime

import pytest
from paho.mqtt.publish import multiple
from playwright.sync_api import expect

from tests.fixtures.browser import Ward
from tests.support.factories import make_alert
from vitals.alert import encode_alert
from vitals.codec import encode
from vitals.reading import reading

NAMES = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)<",
    'O\'Brien "the" `bed` & ${7*7} {{7*7}}',
    "מיטה ארבע",
    "🛏️🫀 bed",
    "%2e%2e%2fetc",
    "W" * 200,
    "constructor",
    "__proto__",
]
INJECTED = "document.querySelectorAll('main img, main script, main b, main iframe, [onerror], .alert img').length"


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_text_on_every_page(name: str, ward: Ward) -> None:
    station, screen, person = ward(name)
    at = datetime.now(UTC)
    measured = {"time": at.isoformat(), "patient_id": name, "heart_rate": 64, "spo2": 97, "resp_rate": 12}
    person.send(f"vitals/{name}/{name}", json.dumps(measured).encode())
    person.measure("neighbour", heart_rate=61)
    alert = make_alert(
        ward=name, device=name, text=f"{name}: 82 %, limit below 90", acknowledged_by=name, patient_id=name
    )
    person.send(f"alerts/{name}/{name}/{alert.rule}", encode_alert(alert), retain=True)
    page = screen.open(station.url)
    expect(page.locator(".tile")).to_have_count(2)
    mine = page.locator(".tile").filter(has=page.locator('.row[data-sign="heart_rate"] .value', has_text="64"))
    expect(mine.locator(".patient")).to_have_text(name)
    expect(mine.locator(".bed")).to_have_text(name)
    expect(mine.locator(".ward-name")).to_have_text(name)
    expect(page.get_by_label("Ward", exact=True).locator("option")).to_have_count(3)
    assert page.evaluate(INJECTED) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"
    expect(page.locator("#user-name")).to_have_text(name)
    page.keyboard.press("n")
    expect(page.locator("#user-title")).to_have_text(f"Signed in as {name}")
    assert page.evaluate("document.querySelectorAll('dialog script, dialog img').length") == 0
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    mine.locator("a").click()
    expect(page.locator("h1")).to_have_text(name)
    expect(page.locator(".alert .text")).to_have_text(f"{name}: 82 %, limit below 90")
    expect(page.locator('.strip[data-sign="heart_rate"] .value')).to_have_text("64")
    assert page.evaluate(INJECTED) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"
    page.goto(f"{station.url}/alerts")
    expect(page.locator(".alert .text")).to_have_text(f"{name}: 82 %, limit below 90")
    assert page.evaluate(INJECTED) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"


def test_invalid_messages_change_nothing(ward: Ward) -> None:
    station, screen = ward.make_station(ward.broker.url), ward.make_screen()
    screen.open(station.url)
    topics = ("vitals/w/d", "status/w/d", "alerts/w/d/r", "limits/w/d", "services/x", "services/x/rules")
    nonsense = [b"", b"\xff\xfe", b"[" * 50_000, b"{}", b'{"rules":[]}', b"null", b"1e999", b'"' + b"a" * 60_000]
    sent = [(f"vitalflow/{topic}", payload, 1, False) for topic in topics for payload in nonsense]
    sent += [("vitalflow/services/x/rejections", b'{"topic": 1}', 1, False), ("vitalflow/vitals/w", b"{}", 1, False)]
    good = encode(reading(datetime.now(UTC), {"heart_rate": 71}))
    multiple([*sent, ("vitalflow/vitals/icu-1/bed-1", good, 1, False)], port=ward.broker.port)
    expect(screen.value("bed-1", "heart_rate")).to_have_text("71")
    expect(screen.page.locator(".tile")).to_have_count(1)


def test_a_long_name_and_the_longest_words_on_top_do_not_make_a_phone_scroll_sideways(ward: Ward) -> None:
    window = {"viewport": {"width": 360, "height": 640}}
    station, narrow, person = ward("Krankenschwester Adelheid von der Tann", window=window)
    person.measure("bed-1", heart_rate=61)
    page = narrow.open(station.url)
    expect(narrow.tile("bed-1")).to_be_visible()
    # The longest texts, which appear during an outage and while the browser blocks sound.
    page.evaluate(
        "document.getElementById('link').textContent = 'Disconnected';"
        "document.getElementById('sound').textContent = 'Sound blocked, press'"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Signed in as Krankenschwester").click()
    expect(page.locator("#user-title")).to_have_text("Signed in as Krankenschwester Adelheid von der Tann")
