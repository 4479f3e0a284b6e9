"""Admit, transfer and discharge a patient on the page of a bed, and what the ward shows of it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from mqtt.endpoint import BrokerEndpoint
from mqtt.one_shot import connect_once
from tests.fixtures.alerts import AlertClient
from tests.fixtures.browser import Ward
from tests.support.servers import eventually
from vitals.status import Status, encode_status


def unnamed(person: AlertClient, device: str, **signs: float) -> None:
    person.measure(device, "icu-1", None, patient=None, **signs)


def admit(page: Page, number: str, group: str) -> None:
    page.get_by_role("button", name="Admit").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Patient number").fill(number)
    form.get_by_label("Age group").select_option(label=group)
    form.get_by_role("button", name="Admit").click()


def test_a_patient_is_admitted_transferred_and_discharged_on_the_pages(ward: Ward) -> None:
    station, screen, person = ward.with_alerts("nurse Ada")
    for device in ("bed-1", "bed-2"):
        unnamed(person, device, heart_rate=80, spo2=97)
    page = screen.open(f"{station.url}/bed?device=bed-1")
    panel = page.locator(".patient-panel")
    expect(panel).to_contain_text("No patient is admitted.")
    expect(panel.get_by_role("button")).to_have_text(["Admit"])

    page.get_by_role("button", name="Admit").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Patient number").fill("p-7")
    form.get_by_label("Date of birth, if known").fill("2200-01-01")
    expect(form.get_by_role("alert")).to_have_text("Check the date of birth: it must be in the last 130 years.")
    form.get_by_label("Date of birth, if known").fill(f"{datetime.now(UTC).year - 3}-01-01")
    expect(form.get_by_label("Age group")).to_have_value("child-1-4")
    expect(form.get_by_label("NEWS2 scale for saturation")).to_be_hidden()
    form.get_by_role("button", name="Admit").click()
    expect(form).to_have_count(0)
    expect(panel).to_contain_text("p-7 1 to 4 years")
    expect(page.get_by_text("NEWS2 applies from 16 years.")).to_be_visible()
    expect(panel).to_contain_text("Admitted by nurse Ada")
    expect(page.locator(".bedhead .lead")).to_contain_text("p-7")

    page.get_by_role("button", name="Correct").click()
    form.get_by_label("Age group").select_option(label="16 years or older")
    form.get_by_label("NEWS2 scale for saturation").select_option("2")
    form.get_by_role("button", name="Correct").click()
    expect(panel).to_contain_text("p-7 16 years or older, SpO2 scale 2")

    unnamed(person, "bed-1", spo2=70)
    expect(page.locator(".alert .text")).to_have_text("Oxygen saturation low: 70 %, limit below 80")
    page.get_by_role("button", name="Transfer").click()
    form.get_by_label("To the bed").select_option("bed-2")
    form.get_by_role("button", name="Transfer").click()
    expect(form).to_have_count(0)
    expect(panel).to_contain_text("No patient.")
    expect(page.locator(".alert")).to_have_count(0)
    expect(page.locator(".bedhead .condition")).to_have_text("No patient")

    page = screen.open(station.url)
    expect(screen.tile("bed-2").locator(".patient")).to_have_text("p-7")
    expect(screen.tile("bed-1")).to_have_attribute("data-condition", "VACANT")
    expect(screen.tile("bed-1").locator(".ribbon")).to_have_text("No patient")

    page = screen.open(f"{station.url}/bed?device=bed-2")
    page.get_by_role("button", name="Discharge").click()
    form = page.get_by_role("dialog")
    expect(form).to_contain_text("Patient p-7 leaves this bed.")
    form.get_by_role("button", name="Discharge").click()
    expect(page.locator(".bedhead .condition")).to_have_text("No patient")
    expect(page.locator(".patient-panel .note")).to_contain_text("Last discharge by nurse Ada")
    unnamed(person, "bed-2", spo2=70)
    expect(page.locator(".alert .text")).to_have_text("Oxygen saturation low: 70 %, limit below 80")
    expect(page.locator(".bedhead .condition")).to_contain_text("Live")


def test_the_slower_of_two_people_is_told_and_finds_the_patient_on_the_page(ward: Ward) -> None:
    station, ada, person = ward("ada")
    unnamed(person, "bed-1", heart_rate=80)
    unnamed(person, "bed-2", heart_rate=80)
    grace = ward.make_screen("grace")
    pages = [screen.open(f"{station.url}/bed?device=bed-1") for screen in (ada, grace)]
    for page in pages:
        page.get_by_role("button", name="Admit").click()
    for page, number in zip(pages, ("p-1", "p-2"), strict=True):
        form = page.get_by_role("dialog")
        form.get_by_label("Patient number").fill(number)
        form.get_by_label("Age group").select_option("adult")
        form.get_by_role("button", name="Admit").click()
        if number == "p-1":
            expect(form).to_have_count(0)
    slower = pages[1]
    expect(slower.locator("dialog .problem")).to_have_text(
        "Patient p-1 was admitted to bed-1 by ada in the meantime; check the patient and the bed."
    )
    slower.get_by_role("button", name="Cancel").click()
    expect(slower.locator(".patient-panel")).to_contain_text("p-1 16 years or older")
    page = grace.open(f"{station.url}/bed?device=bed-2")
    admit(page, "p-1", "16 years or older")
    expect(page.locator("dialog .problem")).to_contain_text("transfer the patient from there, or check the number")


@pytest.mark.parametrize("number", ["<img src=x onerror=alert(1)>", "מטופל 4", "W" * 200])
def test_a_hostile_number_is_text_and_makes_no_page_wider(number: str, ward: Ward) -> None:
    station, screen, person = ward(window={"viewport": {"width": 390, "height": 800}})
    unnamed(person, "bed-1", heart_rate=80)
    page = screen.open(f"{station.url}/bed?device=bed-1")
    admit(page, number, "16 years or older")
    expect(page.locator(".patient-panel bdi").first).to_have_text(number)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"
    page.get_by_role("button", name="Discharge").click()
    expect(page.get_by_role("dialog").locator("bdi")).to_have_text(number)
    assert page.evaluate("document.querySelectorAll('main img, dialog img').length") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"


def test_a_patient_whom_the_monitor_names_can_be_admitted_and_discharged_too(ward: Ward) -> None:
    station, screen, person = ward.with_alerts()
    person.measure("bed-1", heart_rate=140)
    page = screen.open(f"{station.url}/bed?device=bed-1")
    panel = page.locator(".patient-panel")
    expect(panel).to_contain_text("p-bed-1 as the monitor reports")
    expect(page.locator(".alert")).to_have_count(1, timeout=30_000)
    page.get_by_role("button", name="Admit").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Patient number")).to_have_value("p-bed-1")
    form.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Discharge").click()
    form.get_by_role("button", name="Discharge").click()
    expect(page.locator(".alert")).to_have_count(0, timeout=30_000)
    expect(page.locator(".bedhead .condition")).to_have_text("No patient", timeout=30_000)
    expect(panel).to_contain_text("No patient.")


def test_a_bed_that_was_discharged_stays_vacant_after_a_restart_of_the_station(ward: Ward) -> None:
    station, screen, person = ward()
    person.send("status/icu-1/bed-1", encode_status(Status(state="offline", boot=1)), retain=True)
    discharged = {"patient_id": None, "by": "ada", "time": datetime.now(UTC).isoformat()}
    person.send("assignments/icu-1/bed-1", json.dumps(discharged).encode(), retain=True)
    screen.open(station.url)
    expect(screen.tile("bed-1")).to_have_attribute("data-condition", "VACANT")
    station.kill()
    station.start()
    screen.open(station.url)
    expect(screen.tile("bed-1").locator(".ribbon")).to_have_text("No patient")


def retained(ward: Ward, topic: str) -> dict[str, Any]:
    """The retained message on a topic."""
    with connect_once(BrokerEndpoint.parse(ward.broker.url), [(f"vitalflow/{topic}", 1)]) as client:
        while (message := client.next(0.5)) is not None:
            if message.topic:
                found: dict[str, Any] = json.loads(message.payload)
                return found
    return {}


def test_a_discharged_bed_that_is_in_use_again_is_silent_and_not_vacant_after_a_restart(ward: Ward) -> None:
    station, screen, person = ward()
    person.send("status/icu-1/bed-1", encode_status(Status(state="online", boot=1)), retain=True)
    discharged = {"patient_id": None, "by": "ada", "time": datetime.now(UTC).isoformat()}
    person.send("assignments/icu-1/bed-1", json.dumps(discharged).encode(), retain=True)
    page = screen.open(station.url)
    expect(screen.tile("bed-1")).to_have_attribute("data-condition", "VACANT")
    person.measure("bed-1", heart_rate=81)
    expect(screen.value("bed-1", "heart_rate")).to_have_text("81")
    eventually(lambda: "in_use_since" in retained(ward, "assignments/icu-1/bed-1"), 30, "the discharge states the use")
    assert retained(ward, "assignments/icu-1/bed-1")["by"] == "ada", "the user who discharged it"
    station.kill()
    station.start()
    page = screen.open(station.url)
    screen.tile("bed-1").wait_for()
    expect(page.locator('[data-condition="VACANT"]')).to_have_count(0)
