"""The printed report of a bed: a light page for each day, with what is missing said."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.fixtures.browser import Ward
from tests.support.axe import barriers
from tests.support.servers import Db

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
SECOND, FIRST = TODAY - 2 * DAY, TODAY - 4 * DAY  # nothing is stored of the day between them
ALERTS = 60


def store(db: Db) -> None:
    """Two days of two patients, without the third hour; on the second day many alerts."""
    signs = "heart_rate, spo2, resp_rate, systolic_bp, diastolic_bp, temperature"
    with psycopg.connect(db.owner_url) as owner:
        for day in (FIRST, SECOND):
            owner.execute(
                "INSERT INTO patient_vitals (time, device_id, boot, seq, patient_id, ward,"  # noqa: S608
                f" {signs}, status, received_at)"
                " SELECT %s + n * interval '1 minute', 'bed-1', 1, n, CASE WHEN n < 750 THEN 'p-1' ELSE 'p-2' END,"
                " 'icu-1', 60 + n %% 60, 97, 16, 122, 78, 36.8, 'NORMAL', now()"
                " FROM generate_series(0, 1439) AS n WHERE n NOT BETWEEN 120 AND 179",
                [day],
            )
        for number in range(ALERTS):
            raised = SECOND + number * timedelta(minutes=20)
            for revision, state, at in ((1, "active", raised), (2, "cleared", raised + timedelta(minutes=3))):
                owner.execute(
                    "INSERT INTO alert_event (alert_id, revision, rule, priority, kind, state, change, level, ward,"
                    " device_id, sign, value, text, since, raised_at, changed_at, latched, received_at, patient_id)"
                    " VALUES (md5(%(id)s)::uuid, %(revision)s, 'heart-rate-high', %(priority)s, 'physiological',"
                    " %(state)s, 'raised', 1, 'icu-1', 'bed-1', 'heart_rate', 141, 'Heart rate high: 141/min',"
                    " %(raised)s, %(raised)s, %(at)s, false, now(), 'p-1')",
                    {
                        "id": str(number),
                        "revision": revision,
                        "priority": "high" if number == 7 else "low",
                        "state": state,
                        "raised": raised,
                        "at": at,
                    },
                )


def opened(ward: Ward, db: Db, theme: str = "night", script: Path | None = None) -> Page:
    store(db)
    station, screen, person = ward(reader_url=db.reader_url, window={"theme": theme, "timezone_id": "UTC"})
    if script is not None:
        screen.context.add_init_script(path=script)
    person.measure(heart_rate=70, spo2=97)
    page = screen.open(f"{station.url}/report?device=bed-1&from={FIRST:%Y-%m-%d}&to={SECOND:%Y-%m-%d}")
    expect(page.get_by_role("button", name="Print")).to_be_enabled(timeout=30_000)
    return page


def test_a_report_prints_one_page_a_day_and_says_what_is_missing(ward: Ward, db: Db) -> None:
    page = opened(ward, db)
    sheets = page.locator(".sheet")
    expect(sheets).to_have_count(3)
    first, between, second = sheets.all()
    expect(first.locator("h2")).to_contain_text(f"{FIRST:%A}")
    expect(first).to_contain_text("Recorded: 1380 of 1440 minutes have a reading (95 %).")
    expect(first.locator("tbody tr")).to_have_count(24 + 2 + 1)  # hours, headings of patients, the hour of both
    assert first.locator(".stay").all_inner_texts() == ["Patient p-1, ward icu-1", "Patient p-2, ward icu-1"]
    row = first.get_by_role("row", name=re.compile("^04:00"))
    expect(row).to_contain_text("60 / 90 / 119")
    expect(row).to_contain_text("≥ 2")
    expect(first.get_by_role("row", name=re.compile("^02:00"))).to_contain_text("No readings")
    expect(first).to_contain_text("None.")
    expect(between).to_contain_text("Recorded: 0 of 1440 minutes have a reading (0 %).")
    expect(between).to_contain_text("No readings are stored for this day.")
    expect(second.locator("li")).not_to_have_count(0)
    expect(second.locator("li", has_text="!!!")).to_contain_text("02:20")
    expect(second).to_contain_text(re.compile(rf"These are \d+ of {ALERTS} alerts, the most urgent\."))
    for number, sheet in enumerate((first, between, second), 1):
        expect(sheet.locator("footer")).to_contain_text(
            re.compile(rf"Printed by nurse Ada, .*\(UTC\).*Sheet {number} of 3\.")
        )

    page.emulate_media(media="print")
    expect(page.locator("#top")).to_be_hidden()
    expect(page.locator(".report-tools")).to_be_hidden()
    colours = first.evaluate("node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]")
    assert colours == ["rgb(255, 255, 255)", "rgb(14, 24, 34)"], "light, whatever the theme of the screen is"
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 3


def test_the_days_of_a_report_are_chosen_on_its_page(ward: Ward, db: Db) -> None:
    page = opened(ward, db)
    page.get_by_label("From", exact=True).fill(f"{SECOND:%Y-%m-%d}")
    expect(page.locator(".sheet")).to_have_count(1)
    page.wait_for_url(f"**from={SECOND:%Y-%m-%d}&to={SECOND:%Y-%m-%d}", timeout=30_000)
    page.get_by_role("link", name="Bed").click()
    expect(page.get_by_role("link", name="Report")).to_have_attribute(
        "href", re.compile(r"/report\?device=bed-1&from=")
    )


@pytest.mark.parametrize("theme", ["night", "day"])
def test_a_report_has_no_serious_barrier(ward: Ward, db: Db, theme: str, axe: Path) -> None:
    page = opened(ward, db, theme, axe)
    assert barriers(page) == []
