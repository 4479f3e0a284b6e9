"""Trends of a bed in a real browser: zoom and pan by mouse, wheel, keys and buttons, with gaps and alerts drawn."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import psycopg
from playwright.sync_api import Locator, Page, expect

from tests.fixtures.browser import Ward
from tests.support.servers import Db

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
# The pixels with a clear colour in a part of a canvas, between two shares of its width. Axes and grid are grey.
COLOURED = """
(canvas, [from, to]) => {
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const left = Math.round(width * from);
  const { data } = copy.getImageData(left, 0, Math.round(width * to) - left, height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue, alpha] = data.slice(at, at + 4);
    if (alpha > 200 && Math.max(red, green, blue) - Math.min(red, green, blue) > 90) found += 1;
  }
  return found;
}
"""


def store(db: Db) -> None:
    """Two days of heart rate, a reading a minute; nothing from 12 to 9 hours ago. An alert 20 hours ago."""
    with psycopg.connect(db.owner_url) as owner:
        owner.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, patient_id, ward, heart_rate, status, received_at)"
            " SELECT %s - n * interval '1 minute', 'bed-1', 1, n, 'p-1', 'icu-1', 60 + n %% 30, 'NORMAL', now()"
            " FROM generate_series(1, 2880) AS n WHERE n NOT BETWEEN 540 AND 720",
            [NOW],
        )
        raised = NOW - timedelta(hours=20)
        for revision, state, at in ((1, "active", raised), (2, "cleared", raised + timedelta(hours=1))):
            owner.execute(
                "INSERT INTO alert_event (alert_id, revision, rule, priority, kind, state, change, level, ward,"
                " device_id, sign, value, text, since, raised_at, changed_at, latched, received_at, patient_id)"
                " VALUES (md5('x')::uuid, %s, 'heart-rate-high', 'high', 'physiological', %s, 'raised', 1, 'icu-1',"
                " 'bed-1', 'heart_rate', 141, 'Heart rate high: 141/min', %s, %s, %s, false, now(), 'p-1')",
                [revision, state, raised, raised, at],
            )


def shown(url: str) -> tuple[datetime, datetime]:
    """The fixed range in a URL; a range of no length where it has none."""
    query = parse_qs(urlsplit(url).query)
    if "from" not in query:
        return NOW, NOW
    return datetime.fromisoformat(query["from"][0]), datetime.fromisoformat(query["to"][0])


def wait_for_range(page: Page, start: datetime, end: datetime, tolerance: timedelta = timedelta(seconds=2)) -> None:
    """Until the URL has this range, and the answer to it has arrived."""

    def is_shown(url: str) -> bool:
        found = shown(url)
        return abs(found[0] - start) <= tolerance and abs(found[1] - end) <= tolerance

    page.wait_for_url(is_shown, timeout=30_000)
    expect(page.locator(".range .note")).not_to_have_text("Loading …", timeout=30_000)


def opened(ward: Ward, db: Db, start: datetime, end: datetime) -> Page:
    store(db)
    station, screen, person = ward(reader_url=db.reader_url)
    person.measure(heart_rate=70, spo2=97)
    zone = "%Y-%m-%dT%H:%M:%SZ"
    page = screen.open(f"{station.url}/bed?device=bed-1&from={start.strftime(zone)}&to={end.strftime(zone)}")
    expect(page.locator(".range .note")).to_contain_text("Average of each", timeout=30_000)
    return page


def chart(page: Page, sign: str = "heart_rate") -> Locator:
    return page.locator(f'.strip[data-sign="{sign}"] .u-over')


def test_the_mouse_the_wheel_keys_and_buttons_zoom_and_pan_and_the_url_keeps_the_range(ward: Ward, db: Db) -> None:
    start, end = NOW - DAY, NOW - DAY / 2
    page = opened(ward, db, start, end)
    box = chart(page).bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    some_pixels = timedelta(minutes=5)

    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + box["width"] / 4, middle[1], steps=5)
    page.mouse.up()
    wait_for_range(page, start - DAY / 8, end - DAY / 8, some_pixels)

    start, end = shown(page.url)
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + box["width"] / 4, middle[1])
    page.mouse.down()
    page.mouse.move(*middle, steps=5)
    expect(page.locator('.strip[data-sign="heart_rate"] .selection')).to_be_visible()
    page.mouse.up()
    page.keyboard.up("Shift")
    wait_for_range(page, start + DAY / 8, start + DAY / 4, some_pixels)

    start, end = shown(page.url)
    place = page.evaluate("scrollY")
    page.keyboard.down("Control")
    page.mouse.wheel(0, 277)
    page.keyboard.up("Control")
    wait_for_range(page, start - (end - start) / 2, end + (end - start) / 2, some_pixels)
    assert page.evaluate("scrollY") == place

    start, end = shown(page.url)
    page.locator(".strips").focus()
    page.keyboard.press("ArrowLeft")
    start, end = start - (end - start) / 4, end - (end - start) / 4
    wait_for_range(page, start, end)
    page.keyboard.press("+")
    start, end = start + (end - start) / 4, end - (end - start) / 4
    wait_for_range(page, start, end)
    page.get_by_role("button", name="Zoom in").click()
    start, end = start + (end - start) / 4, end - (end - start) / 4
    wait_for_range(page, start, end)
    kept = page.url
    page.reload()
    expect(page.locator(".range .note")).to_contain_text("Average of each", timeout=30_000)
    assert page.url == kept
    page.get_by_role("button", name="24 hours").click()
    page.wait_for_url("**last=86400", timeout=30_000)
    expect(page.get_by_role("button", name="Later")).to_be_disabled()
    page.locator(".strips").focus()
    page.keyboard.press("Home")
    page.wait_for_url("**/bed?device=bed-1", timeout=30_000)
    expect(page.get_by_role("button", name="5 minutes, live")).to_have_attribute("aria-pressed", "true")


def test_times_entered_in_the_form_are_shown_and_contradictory_ones_are_refused(ward: Ward, db: Db) -> None:
    page = opened(ward, db, NOW - DAY, NOW - DAY / 2)
    local = "%Y-%m-%dT%H:%M"
    page.get_by_label("From", exact=True).fill((NOW - 2 * DAY).astimezone().strftime(local))
    wait_for_range(page, NOW - 2 * DAY, NOW - DAY / 2)
    url = page.url
    page.get_by_label("To", exact=True).fill((NOW - 3 * DAY).astimezone().strftime(local))
    expect(page.locator(".range .note")).to_have_text("Enter a beginning in the past, and a later end.")
    assert page.url == url


def test_missing_data_is_a_gap_and_the_alerts_of_the_range_are_drawn(ward: Ward, db: Db) -> None:
    page = opened(ward, db, NOW - DAY, NOW)
    curve = page.locator('.strip[data-sign="heart_rate"] canvas')
    assert curve.evaluate(COLOURED, [0.25, 0.45]) > 100
    # The gap is from 0.5 to 0.625 of the range; the axis takes the left 40 px, so look well within it.
    assert curve.evaluate(COLOURED, [0.55, 0.61]) == 0
    lanes = page.locator(".lanes canvas")
    expect(lanes).to_have_attribute("aria-label", re.compile(": 1$"))
    assert lanes.evaluate(COLOURED, [0.15, 0.26]) > 20
    over = page.locator(".lanes .u-over").bounding_box()
    assert over is not None
    page.mouse.move(over["x"] + over["width"] * 4.5 / 24, over["y"] + 20)
    expect(page.locator(".lanes .tip")).to_contain_text("!!! Heart rate high: 141/min, for 60 min")
    alerts = page.locator("section", has=page.get_by_role("heading", name="Alerts in this range"))
    expect(alerts).to_contain_text("Heart rate high: 141/min")
    expect(alerts).to_contain_text("patient p-1")
    alerts.get_by_role("button").first.click()
    wait_for_range(page, NOW - timedelta(hours=21), NOW - timedelta(hours=18))
    page.get_by_role("button", name="Earlier").click()
    page.get_by_role("button", name="Earlier").click()
    page.get_by_role("button", name="Earlier").click()
    expect(alerts).to_contain_text("None in this range.", timeout=30_000)
    expect(page.locator(".lanes .no-data")).to_be_visible()
