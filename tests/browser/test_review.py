"""The alarm review in a real browser, over alerts in a real database: filter, pages, CSV."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import expect

from tests.fixtures.browser import Ward
from tests.support.axe import barriers
from tests.support.factories import make_alert
from tests.support.rows import store_alert
from tests.support.servers import Db, eventually
from vitals.alert import Change, Kind, Priority, State

NOW = datetime.now(UTC)
HOSTILE = "<img src=x onerror=alert(1)>" + "W" * 90
RULES: list[tuple[str, str, Priority, Kind]] = [
    ("spo2-low", "Oxygen saturation low: 82 %, limit below 90", Priority.HIGH, "physiological"),
    ("heart-rate-high", "Heart rate high: 131 /min, limit above 130", Priority.MEDIUM, "physiological"),
    ("no-data", "No readings", Priority.LOW, "technical"),
]


def store_alerts(db: Db, count: int) -> None:
    """Alerts of three beds, one every ten minutes, the newest ten minutes ago; the first is acknowledged and over."""
    for number in range(count):
        rule, text, priority, kind = RULES[number % 3]
        raised = NOW - timedelta(minutes=10 * (number + 1))
        alert = make_alert(
            device=f"bed-{number % 3}", rule=rule, text=text, priority=priority, kind=kind, unit="%",
            sign="spo2" if rule == "spo2-low" else None, limit=90.0 if rule == "spo2-low" else None,
            raised_at=raised, changed_at=raised, alert_id=f"00000000-0000-0000-0000-{number:012}",
            first_value=82.0, first_value_at=raised, worst_value=79.0, worst_value_at=raised + timedelta(minutes=2),
        )  # fmt: skip
        store_alert(db, alert)
        if number == 0:
            over: dict[str, Any] = {"revision": 2, "change": Change.CLEARED, "state": State.CLEARED}
            over |= {"acknowledged_by": HOSTILE, "changed_at": raised + timedelta(minutes=3)}
            fields = {name: getattr(alert, name) for name in alert.__struct_fields__} | over
            store_alert(db, type(alert)(**fields))


def write_signs(db: Db, device: str, raised: datetime) -> None:
    """Readings of a desaturation from three minutes before an alert to three minutes after it."""
    with psycopg.connect(db.owner_url) as connection:
        connection.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, patient_id, heart_rate, spo2, resp_rate,"
            " temperature, status, received_at)"
            " SELECT %(raised)s + n * interval '2 seconds', %(device)s, 1, n + 100, 'icu-1', 'p-0001',"
            " 88 + abs(n) %% 5, 94 - greatest(0, 20 - abs(n)) * 0.6, 18 + n %% 3, 36.9, 'NORMAL', %(raised)s"
            " FROM generate_series(-90, 90) AS n",
            {"raised": raised, "device": device},
        )


def test_alerts_of_all_beds_are_filtered_and_shown_in_pages(db: Db, ward: Ward) -> None:
    store_alerts(db, 75)
    station, screen, person = ward(reader_url=db.reader_url)
    person.measure("bed-0", heart_rate=80)
    page = screen.open(station.url)
    screen.tile("bed-0").wait_for()
    page.keyboard.press("r")
    expect(page.locator("h1")).to_have_text("Alarm review")
    rows = page.locator(".reviewed .alert")
    expect(page.locator(".lead")).to_have_text("50 alerts, the newest first; there are older ones.")
    first = rows.first
    expect(first.locator(".badge")).to_have_text("!!! high")
    expect(first.locator(".text")).to_contain_text("Oxygen saturation low: 82 %, limit below 90, worst 79 at")
    expect(first.locator(".state")).to_contain_text(f"acknowledged by {HOSTILE} at")
    expect(first.locator(".when")).to_contain_text("for 3 min")
    expect(rows.nth(2).locator(".badge")).to_have_text("[!] low")
    assert page.evaluate("document.querySelectorAll('.reviewed img, [onerror]').length") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"

    page.get_by_role("button", name="Show older alerts").click()
    expect(page.locator(".lead")).to_have_text("75 alerts, the newest first.")
    expect(page.get_by_role("button", name="Show older alerts")).to_be_hidden()
    times = [str(node.get_attribute("datetime")) for node in rows.locator("time").all()]
    assert times == sorted(set(times), reverse=True)

    page.get_by_label("Bed", exact=True).select_option("bed-1 (icu-1)")
    page.get_by_label("Alert", exact=True).select_option("Heart rate high")
    page.get_by_label("Priority", exact=True).select_option("medium")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".lead")).to_have_text("25 alerts, the newest first.")
    page.reload()
    expect(page.locator(".lead")).to_have_text("25 alerts, the newest first.")
    expect(page.get_by_label("Bed", exact=True)).to_have_value("bed-1")
    page.get_by_label("Priority", exact=True).select_option("high")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".lead")).to_have_text("No alerts in this time.")
    page.get_by_label("Priority", exact=True).select_option("All")
    page.get_by_label("From", exact=True).fill((NOW - timedelta(minutes=45)).astimezone().strftime("%Y-%m-%dT%H:%M"))
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".lead")).to_have_text("1 alert, the newest first.")


def test_the_csv_has_what_the_list_shows(db: Db, ward: Ward, tmp_path: Path) -> None:
    store_alerts(db, 75)
    station, screen, _ = ward(reader_url=db.reader_url)
    page = screen.open(f"{station.url}/review?rule=no-data")
    expect(page.locator(".lead")).to_have_text("25 alerts, the newest first.")
    expect(page.get_by_label("Alert", exact=True)).to_have_value("no-data")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    assert download.value.suggested_filename == "alerts.csv"
    download.value.save_as(tmp_path / "alerts.csv")
    with (tmp_path / "alerts.csv").open(encoding="utf-8-sig", newline="") as file:
        exported = list(csv.DictReader(file))
    shown = [datetime.fromisoformat(str(at.get_attribute("datetime"))) for at in page.locator(".reviewed time").all()]
    assert [datetime.fromisoformat(row["raised_at"]) for row in exported] == shown
    assert {row["rule"] for row in exported} == {"no-data"}


def test_the_signs_around_an_alert_are_shown_although_its_readings_are_dropped(db: Db, ward: Ward) -> None:
    raised = NOW - timedelta(days=50)
    store_alert(db, make_alert(device="bed-1", raised_at=raised, changed_at=raised, limit=90.0, sign="spo2", unit="%"))
    now = datetime.now(UTC)  # later than NOW by all the tests before: after two minutes the signs would be kept
    store_alert(db, make_alert(device="bed-2", raised_at=now, changed_at=now, rule="new"))
    write_signs(db, "bed-1", raised)
    with psycopg.connect(db.ingest_url, autocommit=True) as ingest:
        ingest.execute("SELECT take_alert_snapshots(100)")
        ingest.execute("SELECT drop_old_readings()")
    assert db.count() == 0
    station, screen, _ = ward(reader_url=db.reader_url)
    page = screen.open(f"{station.url}/review?from=2020-01-01T00:00:00Z")
    rows = page.locator(".reviewed .alert")
    expect(rows).to_have_count(2)
    signs = rows.nth(1).get_by_role("button", name="Signs: bed-1")
    signs.click()
    strips = rows.nth(1).locator(".snapshot .strip")
    expect(strips).to_have_count(4)
    expect(rows.nth(1).locator(".snapshot .note")).to_have_text("Two minutes before the alert to two minutes after it.")
    labels = [chart.get_attribute("aria-label") for chart in strips.locator("canvas").all()]
    assert labels[1] == "Oxygen saturation from two minutes before the alert to two minutes after it"
    drawn = "node => [...node.getContext('2d').getImageData(0, 0, node.width, node.height).data].filter(Boolean).length"
    eventually(lambda: strips.nth(1).locator("canvas").evaluate(drawn) > 2000, 30, "a curve")
    signs.press("Enter")
    expect(strips).to_have_count(0)
    expect(signs).to_have_attribute("aria-expanded", "false")
    rows.first.get_by_role("button", name="Signs: bed-2").click()
    expect(rows.first.locator(".snapshot .note")).to_have_text(
        "The signs are kept with the alert two minutes after it. Open it again then."
    )


def test_a_database_that_is_down_is_reported_in_the_list_and_the_export(ward: Ward) -> None:
    station, screen, _ = ward(reader_url="postgresql://u:p@127.0.0.1:1/x")
    page = screen.open(f"{station.url}/review")
    expect(page.locator(".lead")).to_have_text(
        "No alerts are shown: The stored readings cannot be read now; live values continue."
    )
    page.get_by_role("button", name="Export CSV").click()
    expect(page.locator("#notice")).to_contain_text("Nothing was exported: The stored readings cannot be read now")


@pytest.mark.parametrize(("theme", "width"), [("night", 1280), ("day", 390), ("day", 1920)])
def test_the_review_has_no_serious_barrier_and_fits_every_screen(
    theme: str, width: int, db: Db, ward: Ward, axe: Path
) -> None:
    store_alerts(db, 6)
    for number in range(6):
        write_signs(db, f"bed-{number % 3}", NOW - timedelta(minutes=10 * (number + 1)))
    with psycopg.connect(db.ingest_url) as ingest:
        ingest.execute("SELECT take_alert_snapshots(100)")
    window = {"theme": theme, "viewport": {"width": width, "height": 844}, "reduced_motion": "reduce"}
    station, screen, person = ward(reader_url=db.reader_url, window=window)
    screen.context.add_init_script(path=axe)
    person.measure("bed-0", heart_rate=80)
    page = screen.open(f"{station.url}/review")
    expect(page.locator(".reviewed .alert")).to_have_count(6)
    page.get_by_role("button", name="Signs: bed-0").last.click()
    strips = page.locator(".snapshot .strip")
    expect(strips).to_have_count(4)
    boxes = [box for box in (strip.bounding_box() for strip in strips.all()) if box is not None]
    for one in boxes:
        for other in boxes:
            apart = one["x"] + one["width"] <= other["x"] or one["y"] + one["height"] <= other["y"]
            apart = apart or other["x"] + other["width"] <= one["x"] or other["y"] + other["height"] <= one["y"]
            assert apart or one is other, "two charts overlap"
    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"
