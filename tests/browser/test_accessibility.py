"""axe-core finds no serious barrier on any page, in either theme, and a form can be used with it too."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.fixtures.browser import Ward
from tests.support.axe import barriers


@pytest.mark.parametrize("theme", ["night", "day"])
def test_no_page_has_a_serious_barrier(theme: str, axe: Path, ward: Ward) -> None:
    window = {"theme": theme, "reduced_motion": "reduce"}
    station, screen, person = ward.with_alerts(window=window, station_services="absent")
    screen.context.add_init_script(path=axe)
    person.measure("bed-1", heart_rate=140, spo2=97)
    person.measure("bed-2", heart_rate=82, spo2=70, resp_rate=16, temperature=36.8, systolic_bp=121, diastolic_bp=77)
    off = f'{{"time":"{datetime.now(UTC).isoformat()}","heart_rate":70,"sensor_off":["spo2"]}}'
    person.send("vitals/icu-2/bed-3", off.encode())
    person.wait_for("icu-1/bed-1/heart-rate-high", state="active")
    person.wait_for("icu-1/bed-2/spo2-low", priority="high")
    person.command("acknowledge", "icu-1/bed-2/spo2-low")
    page = screen.open(station.url)
    screen.tile("bed-3").wait_for()
    expect(page.locator("#banner")).to_contain_text("The service absent is down.", timeout=8000)
    assert barriers(page) == []
    page.wait_for_selector('[data-condition="SILENT"]', timeout=10_000)
    assert barriers(page) == []
    for key in ("?", "n"):
        page.keyboard.press(key)
        page.get_by_role("dialog").wait_for()
        assert barriers(page) == []
        page.keyboard.press("Escape")  # Chromium closes the dialog later, and until then the dialog takes the next key
        page.get_by_role("dialog").wait_for(state="detached")
    page.keyboard.press("n")
    page.get_by_role("button", name="Change password").click()
    form = page.get_by_role("dialog", name="Change your password")
    form.get_by_role("button", name="Change password").click()
    expect(form.get_by_role("alert")).to_have_text("Enter your current password.")
    assert barriers(page) == []
    page.keyboard.press("Escape")
    form.wait_for(state="detached")
    for path in ("/alerts", "/bed?device=bed-1"):
        page = screen.open(station.url + path)
        page.locator(".alert").first.wait_for()
        assert barriers(page) == []
    page.get_by_role("button", name="Change").click()
    assert barriers(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Admit").click()
    assert barriers(page) == []
    page = ward.make_screen(**window).page
    page.context.add_init_script(path=axe)
    page.goto(station.url)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("Enter your name.").wait_for()
    assert barriers(page) == []
