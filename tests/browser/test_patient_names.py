"""Names of patients on the pages of a site that stores them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.fixtures.browser import Ward
from tests.support.axe import barriers
from tests.support.servers import Db

BORN = "1987-05-17"


def settings_of(db: Db) -> dict[str, Any]:
    return {"reader_url": db.reader_url, "names_url": db.names_url, "patient_names": True}


def admit(page: Page, number: str, name: str) -> None:
    page.get_by_role("button", name="Admit").click()
    form = page.get_by_role("dialog")
    expect(form).to_contain_text("Name and date of birth are stored, and shown to users who may act in this ward.")
    form.get_by_label("Patient number").fill(number)
    form.get_by_label("Name, if known").fill(name)
    form.get_by_label("Date of birth, if known").fill(BORN)
    expect(form.get_by_label("Age group")).to_have_value("adult")
    form.get_by_role("button", name="Admit").click()
    expect(form).to_have_count(0)


@pytest.mark.parametrize("theme", ["night", "day"])
def test_a_name_is_entered_shown_and_corrected(theme: str, ward: Ward, db: Db, axe: Path) -> None:
    station, screen, person = ward(window={"theme": theme, "reduced_motion": "reduce"}, **settings_of(db))
    screen.context.add_init_script(path=axe)
    person.measure("bed-1", "icu-1", None, patient=None, heart_rate=80, spo2=97)
    page = screen.open(f"{station.url}/bed?device=bed-1")
    admit(page, "p-7", "Ida Noyce")
    panel = page.locator(".patient-panel")
    expect(panel).to_contain_text(f"Ida Noyce, born {BORN}")
    expect(page.locator(".bedhead .lead")).to_contain_text("Name Ida Noyce")
    assert barriers(page) == []
    other = ward.make_screen("grace", theme=theme)
    overview = other.open(station.url)
    expect(other.tile("bed-1").locator(".patient")).to_have_text("Ida Noyce")

    page.get_by_role("button", name="Correct").click()
    form = page.get_by_role("dialog", name="Correct the patient")
    expect(form.get_by_label("Name, if known")).to_have_value("Ida Noyce")
    expect(form.get_by_label("Date of birth, if known")).to_have_value(BORN)
    assert barriers(page) == []
    form.get_by_label("Name, if known").fill("Ida Noyce-King")
    form.get_by_role("button", name="Correct").click()
    expect(panel).to_contain_text("Ida Noyce-King")
    expect(other.tile("bed-1").locator(".patient")).to_have_text("Ida Noyce-King", timeout=30_000)
    assert [text for text in (overview.url, page.url, overview.title(), page.title()) if "Ida" in text] == []
    assert page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})").find("Ida") == -1

    page.get_by_role("button", name="Discharge").click()
    page.get_by_role("dialog").get_by_role("button", name="Discharge").click()
    expect(page.locator("dialog")).to_have_count(0)
    expect(panel).not_to_contain_text("Ida")
    expect(other.tile("bed-1").locator(".patient")).to_have_text("")


def test_a_hostile_name_is_text_and_makes_no_page_wider(ward: Ward, db: Db) -> None:
    station, screen, person = ward(window={"viewport": {"width": 390, "height": 800}}, **settings_of(db))
    person.measure("bed-1", "icu-1", None, patient=None, heart_rate=80)
    page = screen.open(f"{station.url}/bed?device=bed-1")
    admit(page, "p-7", "Ida Noyce")
    overview = screen.context.new_page()
    overview.goto(station.url)
    for name in ("<img src=x onerror=alert(1)>", "מטופל כהן (4", "W" * 200):
        page.get_by_role("button", name="Correct").click()
        form = page.get_by_role("dialog")
        form.get_by_label("Name, if known").fill(name)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the form is too wide"
        form.get_by_role("button", name="Correct").click()
        expect(page.locator(".patient-panel .patient-name")).to_have_text(name)
        expect(overview.locator(".tile .patient")).to_have_text(name)
        for shown in (page, overview):
            assert shown.evaluate("document.querySelectorAll('main img, dialog img').length") == 0
            assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"


def test_the_report_of_a_bed_has_the_names_of_its_patients(ward: Ward, db: Db) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with psycopg.connect(db.owner_url) as owner:
        owner.execute(
            "INSERT INTO assignment (device_id, ward, patient_id, from_time, patient_since)"
            " VALUES ('bed-1', 'icu-1', 'p-7', %(day)s, %(day)s)",
            {"day": today},
        )
        owner.execute(
            "INSERT INTO names.patient_name (patient_id, name, birth_date, changed_by)"
            " VALUES ('p-7', 'Ida Noyce', %s, 'x')",
            [BORN],
        )
    station, screen, person = ward(window={"timezone_id": "UTC"}, **settings_of(db))
    person.measure("bed-1", heart_rate=80)
    page = screen.open(f"{station.url}/report?device=bed-1&from={today:%Y-%m-%d}&to={today:%Y-%m-%d}")
    expect(page.locator(".sheet")).to_contain_text(f"Assigned: p-7 (Ida Noyce, born {BORN})", timeout=30_000)


def test_a_site_without_names_says_so_on_the_form(ward: Ward) -> None:
    station, screen, person = ward()
    person.measure("bed-1", "icu-1", None, patient=None, heart_rate=80)
    page = screen.open(f"{station.url}/bed?device=bed-1")
    page.get_by_role("button", name="Admit").click()
    form = page.get_by_role("dialog")
    expect(form).to_contain_text("A date of birth selects it and is not stored. This site stores no names.")
    expect(form.get_by_label("Name, if known")).to_have_count(0)
