"""One bed in a real browser: its limits, which the alert worker obeys, and its history from a real database."""

import json
from datetime import UTC, datetime, timedelta

import psycopg
from playwright.sync_api import expect

from tests.fixtures.browser import Ward
from tests.support.servers import Db


def test_contradictory_limits_are_rejected_and_valid_ones_apply(ward: Ward) -> None:
    station, screen, person = ward.with_alerts("Dr. Adams")
    person.measure(heart_rate=110, spo2=97)
    page = screen.open(f"{station.url}/bed?device=bed-1")
    row = page.locator(".limits tr", has_text="Heart rate high")
    expect(row).to_contain_text("> 120")
    page.get_by_role("button", name="Change").click()
    form = page.get_by_role("dialog")
    words = form.locator(".field", has_text="Oxygen saturation low").locator(".level small")
    assert words.all_inner_texts() == ["medium", "high"]
    form.get_by_label("Oxygen saturation low, medium, below").fill("70")
    form.get_by_role("button", name="Set limits").click()
    expect(form.locator(".problem")).to_have_text(
        "Nothing was changed. Oxygen saturation low: the limit for high priority (80) must be below"
        " that for medium priority (70)."
    )
    form.get_by_label("Oxygen saturation low, medium, below").fill("ninety")
    form.get_by_role("button", name="Set limits").click()
    expect(form.locator(".problem")).to_contain_text("enter numbers only")
    form.get_by_label("Oxygen saturation low, medium, below").fill("")
    form.get_by_label("Heart rate high, high, above").fill("105")
    form.get_by_role("button", name="Set limits").click()
    expect(form).to_have_count(0)
    expect(row).to_contain_text("> 105 •")
    expect(page.locator("section", has_text="Limits").locator(".note").last).to_contain_text("Dr. Adams for p-bed-1")
    person.measure(heart_rate=110)
    assert person.wait_for("icu-1/bed-1/heart-rate-high", state="active").limit == 105
    page.get_by_role("button", name="Change").click()
    page.get_by_role("button", name="Reset to defaults").click()
    expect(row).to_contain_text("> 120")


def test_history_comes_from_the_database_and_the_score_has_its_parts(db: Db, ward: Ward) -> None:
    start = datetime.now(UTC) - timedelta(hours=6)
    with psycopg.connect(db.owner_url) as owner:
        owner.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, patient_id, ward, heart_rate, status, received_at)"
            " SELECT %s + n * interval '1 minute', 'bed-1', 1, n, 'p-1', 'icu-1', 60 + n %% 30, 'NORMAL', now()"
            " FROM generate_series(1, 300) AS n",
            [start],
        )
    station, screen, person = ward(reader_url=db.reader_url)
    at = datetime.now(UTC).isoformat()
    reading = {"time": at, "heart_rate": 118, "spo2": 93, "resp_rate": 22, "on_oxygen": True, "consciousness": "V"}
    person.send("vitals/icu-1/bed-1", json.dumps(reading).encode())
    page = screen.open(f"{station.url}/bed?device=bed-1")
    expect(page.locator(".bedhead .score")).to_have_text("NEWS2 ≥ 11")
    parts = [row.inner_text().split("\t") for row in page.locator(".parts tbody tr").all()]
    assert [(label, points) for label, _, points in parts] == [
        ("Respiratory rate", "2"),
        ("Oxygen saturation", "2"),
        ("Systolic blood pressure", "–"),
        ("Heart rate", "2"),
        ("Body temperature", "–"),
        ("Oxygen", "2"),
        ("Consciousness", "3"),
    ]
    page.get_by_role("button", name="24 hours").click()
    expect(page.locator(".signs-panel .note")).to_have_text(
        "Average of each 5 min, with the band from minimum to maximum."
    )
    drawn = "node => [...node.getContext('2d').getImageData(0, 0, node.width, node.height).data].filter(Boolean).length"
    chart = page.locator('.strip[data-sign="heart_rate"] canvas')
    assert chart.evaluate(drawn) > page.locator('.strip[data-sign="systolic_bp"] canvas').evaluate(drawn) + 1000
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.85, box["y"] + 30)
    expect(page.locator('.strip[data-sign="heart_rate"] .tip')).to_contain_text("/min (")
    page.get_by_role("button", name="30 days").click()
    expect(page.locator(".signs-panel .note")).to_have_text(
        "Average of each 1 h, with the band from minimum to maximum."
    )
    expect(page.locator("section", has_text="Alerts in this range").last).to_contain_text("None in this range.")
    page.get_by_role("button", name="5 minutes, live").click()
    expect(page.locator("section", has_text="Past alerts").last).to_contain_text("None in the last 30 days.")
