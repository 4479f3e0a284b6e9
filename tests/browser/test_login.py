"""Log in and out in a real browser, at a broker with users: who may log in, and what each user sees and may do.

ada is of icu-1, grace and the operator of all wards, eve may only look at icu-1.
"""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect

from identity.authority import write_public, write_secret
from identity.ca import new_ca, sign_server
from identity.dynsec import connect_dynsec
from identity.enrolment import revoke
from mqtt.one_shot import connect_once
from tests.fixtures.alerts import AlertClient, MakeAlerts, monitors
from tests.fixtures.browser import MakeScreen
from tests.fixtures.secured import MakeAccounts, Secured
from tests.fixtures.station import MakeStation, StationProcess
from tests.support.factories import make_alert
from vitals.alert import Priority, encode_alert
from vitals.topics import STACK_WARD

NIGHT = "rgb(8, 12, 17)"


@pytest.fixture
def monitor(own_secured: Secured) -> Iterator[Callable[[str], AlertClient]]:
    with monitors(own_secured) as make:
        yield make


@pytest.fixture
def station(own_secured: Secured, make_station: MakeStation, make_alerts: MakeAlerts) -> StationProcess:
    make_alerts(own_secured.url_of("alerts"), mqtt_ca=own_secured.ca, alerts_client_id="alerts")
    return make_station(own_secured.url_of("station"), mqtt_ca=own_secured.ca, station_client_id="station")


def test_signing_in_with_the_keyboard_opens_the_requested_page(
    station: StationProcess, make_screen: MakeScreen, monitor: Callable[[str], AlertClient]
) -> None:
    monitor("bed-1").measure("bed-1", "icu-1", heart_rate=71)
    page = make_screen().page
    page.goto(f"{station.url}/bed?device=bed-1")
    expect(page).to_have_title("Sign in – VitalFlow")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_have_text("Enter your name.")
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type("a guess")
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_have_text("Wrong name or password.")
    assert page.url.endswith("/signin?to=%2Fbed%3Fdevice%3Dbed-1"), "the password stands in no address"
    page.get_by_label("Password", exact=True).fill("word-of-ada")
    page.get_by_role("button", name="Show the password").click()
    expect(page.get_by_label("Password", exact=True)).to_have_attribute("type", "text")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("bed-1")
    expect(page.locator('.strip[data-sign="heart_rate"] .value')).to_have_text("71")
    assert page.evaluate("document.cookie") == "", "no script can read it"
    kept = "JSON.stringify([{...localStorage}, {...sessionStorage}])"
    assert "word-of-ada" not in page.evaluate(kept)
    page.goto(f"{station.url}/signin?to=https://evil.example/")
    expect(page).to_have_url(f"{station.url}/")


def test_a_user_sees_their_own_ward_and_a_read_only_user_no_buttons(
    station: StationProcess, make_screen: MakeScreen, monitor: Callable[[str], AlertClient]
) -> None:
    monitor("bed-1").measure("bed-1", "icu-1", heart_rate=140)
    monitor("bed-9").measure("bed-9", "icu-2", heart_rate=141)
    monitor("bed-9").wait_for("icu-2/bed-9/heart-rate-high", state="active")
    grace, ada, eve = (make_screen(name, f"word-of-{name}") for name in ("grace", "ada", "eve"))
    expect(grace.open(station.url).locator(".tile")).to_have_count(2)
    page = ada.open(station.url)
    expect(page.locator(".tile")).to_have_count(1)
    expect(ada.tile("bed-1")).to_have_attribute("data-priority", "high")
    page.goto(f"{station.url}/alerts")
    expect(page.locator(".alert", has_text="Heart rate high")).to_have_count(1)
    expect(page.locator(".alert", has_text="bed-9")).to_have_count(0)
    expect(page.locator(".alert", has_text="Heart rate high").locator(".primary")).to_be_visible()
    page.goto(f"{station.url}/bed?device=bed-9")
    expect(page.locator(".condition")).to_have_text("Not on the ward")
    page.keyboard.press("n")
    expect(page.get_by_role("dialog")).to_contain_text(
        "You can see icu-1. You can acknowledge alerts, pause the audio and set limits in icu-1."
    )

    page = eve.open(f"{station.url}/bed?device=bed-1")
    expect(page.locator(".alert", has_text="Heart rate high")).to_have_count(1)
    expect(page.locator(".limits tr", has_text="Heart rate high")).to_contain_text("> 120")
    acts = "Acknowledge|Pause|Resume|Change|Admit|Transfer|Discharge"
    assert [text for text in page.locator("main button:visible").all_inner_texts() if re.match(acts, text)] == []
    expect(page.get_by_role("button", name="24 hours")).to_be_visible()
    page.keyboard.press("a")
    expect(page.locator("#notice")).to_have_text("You have read-only access to this ward.")
    page.keyboard.press("n")
    expect(page.get_by_role("dialog")).to_contain_text("You can see icu-1. You have read-only access.")


def test_a_user_of_one_ward_sees_an_alert_about_the_stack_and_only_a_user_of_all_wards_acknowledges_it(
    station: StationProcess, own_secured: Secured, make_screen: MakeScreen, monitor: Callable[[str], AlertClient]
) -> None:
    monitor("bed-1").measure("bed-1", "icu-1", heart_rate=71)
    pages = {
        name: make_screen(name, f"word-of-{name}").open(f"{station.url}/alerts") for name in ("ada", "eve", "grace")
    }
    alert = make_alert(
        ward=STACK_WARD, device="ingest", rule="nothing-stored", kind="technical", priority=Priority.MEDIUM
    )
    topics = own_secured.access.topics
    with connect_once(own_secured.broker("alerts"), [(topics.alerts(), 1)]) as worker:
        worker.publish(topics.alert(alert.ward, alert.device_id, alert.rule), encode_alert(alert), retain=True)
        worker.wait_for_publishes()
    for page in pages.values():
        expect(page.locator(".alert", has_text="ingest")).to_have_count(1)
    pages["grace"].locator(".alert .primary").wait_for()
    for name in ("ada", "eve"):
        expect(pages[name].locator(".alert button:visible")).to_have_count(0)
        pages[name].keyboard.press("n")
        expect(pages[name].get_by_role("dialog")).to_contain_text("You can see icu-1.")
        pages[name].keyboard.press("Escape")
        pages[name].get_by_role("dialog").wait_for(state="detached")
    page = pages["ada"]
    page.get_by_role("button", name="Sound off").click()
    expect(page.locator("html")).to_have_attribute("data-sounding", "medium")
    page.get_by_role("button", name="Pause sound for 2 min").click()
    expect(page.locator("html")).to_have_attribute("data-sounding", "none")


def test_acknowledgements_of_two_users_have_their_names_from_the_broker(
    station: StationProcess, make_screen: MakeScreen, monitor: Callable[[str], AlertClient]
) -> None:
    monitor("bed-1").measure("bed-1", "icu-1", heart_rate=140, spo2=70)
    seen = {"ada": "heart-rate-high", "grace": "spo2-low"}
    for rule in seen.values():
        monitor("bed-1").wait_for(f"icu-1/bed-1/{rule}", priority="high")
    pages = {name: make_screen(name, f"word-of-{name}").open(f"{station.url}/alerts") for name in seen}
    for name, page in pages.items():
        expect(page.locator(".alert", has_text="Heart rate high")).to_have_count(1)
        expect(page.locator(".alert", has_text="Oxygen")).to_have_count(1)
        text = {"ada": "Heart rate high", "grace": "Oxygen"}[name]
        page.evaluate(
            "([text, at]) => void setTimeout(() => [...document.querySelectorAll('.alert')]"
            ".find((row) => row.textContent.includes(text)).querySelector('.primary').click(), at - Date.now())",
            [text, time.time() * 1000 + 400],
        )
    for page in pages.values():
        for name, text in (("ada", "Heart rate high"), ("grace", "Oxygen")):
            row = page.locator(".alert", has_text=text)
            expect(row.locator(".state")).to_contain_text(f"acknowledged by {name} at")
    for name, rule in seen.items():
        assert monitor("bed-1").wait_for(f"icu-1/bed-1/{rule}", state="acknowledged").acknowledged_by == name


def test_a_revoked_user_loses_every_page_at_once(
    station: StationProcess, own_secured: Secured, make_screen: MakeScreen, monitor: Callable[[str], AlertClient]
) -> None:
    monitor("bed-1").measure("bed-1", "icu-1", heart_rate=71)
    screens = [make_screen("ada", "word-of-ada") for _ in range(2)]
    stays = make_screen("grace", "word-of-grace")
    for screen in (*screens, stays):
        screen.open(station.url)
        expect(screen.tile("bed-1")).to_be_visible()
    with connect_dynsec(own_secured.broker("admin")) as dynsec:
        revoke(dynsec, "ada", own_secured.access.topics, by="a test", now=datetime.now(UTC))
    for screen in screens:
        expect(screen.page.locator("#reason")).to_contain_text("your access was revoked", timeout=3000)
        expect(screen.page.locator(".tile")).to_have_count(0)
        screen.page.goto(station.url)
        expect(screen.page).to_have_title("Sign in – VitalFlow")
    expect(stays.tile("bed-1")).to_be_visible()
    expect(stays.page.locator("html")).to_have_attribute("data-link", "live")


def test_signing_out_ends_all_pages_of_the_browser_and_back_shows_no_data(
    station: StationProcess, make_screen: MakeScreen, monitor: Callable[[str], AlertClient]
) -> None:
    monitor("bed-1").measure("bed-1", "icu-1", heart_rate=71)
    screen = make_screen("grace", "word-of-grace")
    screen.open(station.url)
    page = screen.open(f"{station.url}/bed?device=bed-1")
    other = screen.context.new_page()
    other.goto(f"{station.url}/alerts")
    expect(other.locator("html")).to_have_attribute("data-link", "live")
    page.get_by_role("button", name="Signed in as grace").click()
    page.get_by_role("button", name="Sign out").click()
    for one in (page, other):
        expect(one.locator("#reason")).to_have_text("You have signed out.")
    page.go_back()
    expect(page).to_have_title("Sign in – VitalFlow")
    expect(page.locator(".tile")).to_have_count(0)
    page.goto(f"{station.url}/bed?device=bed-1")
    expect(page).to_have_title("Sign in – VitalFlow")


def test_a_stopped_broker_is_reported_at_sign_in_and_ends_no_session(
    station: StationProcess, own_secured: Secured, make_screen: MakeScreen
) -> None:
    page, late = make_screen("grace", "word-of-grace").open(station.url), make_screen().page
    late.goto(station.url)
    own_secured.server.kill()
    expect(page.locator("#banner")).to_contain_text("No connection to the monitors", timeout=5000)
    late.get_by_label("Name").fill("ada")
    late.get_by_label("Password", exact=True).fill("word-of-ada")
    late.get_by_role("button", name="Sign in").click()
    expect(late.locator("#problem")).to_contain_text(
        "Signing in is not possible now: there is no connection to the monitors", timeout=10_000
    )
    own_secured.server.start()
    expect(page.locator("#banner")).to_have_text("", timeout=10_000)
    expect(page.locator("html")).to_have_attribute("data-link", "live")
    late.get_by_role("button", name="Sign in").click()
    expect(late.locator("h1")).to_have_text("Ward", timeout=10_000)


@pytest.mark.parametrize("theme", ["night", "day"])
def test_the_sign_in_page_fits_a_phone_and_follows_the_theme(
    theme: str, station: StationProcess, make_screen: MakeScreen
) -> None:
    phone = {"width": 360, "height": 640}
    page = make_screen(theme=theme, viewport=phone, has_touch=True).page
    page.goto(station.url)
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (ground == NIGHT) == (theme == "night")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.get_by_label("Name").get_attribute("autocomplete") == "username"
    assert page.get_by_label("Password", exact=True).get_attribute("autocomplete") == "current-password"
    box = page.get_by_role("button", name="Sign in").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 640


def test_over_https_the_page_is_live_and_its_cookie_is_secure(
    own_secured: Secured, make_station: MakeStation, make_screen: MakeScreen, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    pair = sign_server(new_ca("a ca", now), ["127.0.0.1"], now)
    write_public(tmp_path / "ward.crt", pair.certificate)
    write_secret(tmp_path / "ward.key", pair.key)
    made = make_station(
        own_secured.url_of("station"),
        mqtt_ca=own_secured.ca,
        station_certificate=tmp_path / "ward.crt",
        station_key=tmp_path / "ward.key",
        station_client_id="station",
    )
    # This browser knows no CA of ours; that the certificate fits is tried in integration/test_station_login.py.
    screen = make_screen(ignore_https_errors=True)
    page = screen.page
    page.goto(f"https://127.0.0.1:{made.port}/alerts")
    page.get_by_label("Name").fill("grace")
    page.get_by_label("Password", exact=True).fill("word-of-grace")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Open alerts")
    expect(page.locator("html")).to_have_attribute("data-link", "live")
    (cookie,) = screen.context.cookies()
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")


def test_a_user_changes_the_password_in_the_account_dialog(
    station: StationProcess, make_screen: MakeScreen, make_accounts: MakeAccounts
) -> None:
    make_accounts()
    page = make_screen().page
    page.goto(station.url)
    page.get_by_label("Name").fill("eve")
    page.get_by_label("Password", exact=True).fill("word-of-eve")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Signed in as eve").click()
    page.get_by_role("button", name="Change password").click()
    form = page.get_by_role("dialog", name="Change your password")
    submit, problem = form.get_by_role("button", name="Change password"), form.get_by_role("alert")
    expect(form.get_by_label("Current password")).to_be_focused()
    submit.click()
    expect(problem).to_have_text("Enter your current password.")
    for old, new, again, text in (
        ("word-of-eve", "short", "short", "Use 12 characters or more for the new password."),
        ("word-of-eve", "correct horse battery", "x", "The two new passwords differ. Enter the same one twice."),
        ("word-of-eve", "Password2026!", "Password2026!", "The new password is a common one or easy to guess"),
        ("a wrong one", "correct horse battery", "correct horse battery", "The current password is wrong."),
    ):
        form.get_by_label("Current password").fill(old)
        form.get_by_label("New password, 12 characters or more").fill(new)
        form.get_by_label("New password again").fill(again)
        submit.click()
        expect(problem).to_contain_text(text)
    form.get_by_label("Current password").fill("word-of-eve")
    submit.click()
    expect(page.locator("#notice")).to_have_text("Your password is changed. Your other logins have ended.")
    expect(form).to_have_count(0)
    expect(page.locator("html")).to_have_attribute("data-link", "live")
    assert station.ask("POST", "/signin", {"name": "eve", "password": "correct horse battery"})[0] == 200
    expect(page.get_by_role("button", name="Signed in as eve")).to_be_visible()
