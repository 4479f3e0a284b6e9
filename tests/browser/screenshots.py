"""The pictures in the README and docs/station.md: `make screenshots`. A stack of its own, two minutes of a ward.

Look at them before they are committed: nothing overlaps, nothing is cut.
"""

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from bench.environment import PASSWORD, Environment, environment
from bench.services import running, service
from bench.station import monitors, sign_in
from sql.migrate import READER_ROLE
from stack.binaries import CHECKOUT
from stack.servers import OWNER
from tests.support.chromium import find
from vitals.errors import exit_on_error

FOLDER = CHECKOUT / "docs/images"
WARM_UP = 125.0  # seconds: a whole sparkline, and patients who deteriorate
COLOURS = 200
NURSE = "nurse Ada"
WALL, DESKTOP, PHONE = (1920, 1080), (1440, 900), (390, 844)


def main() -> None:
    """Start everything, wait, take the pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        servers = stack.enter_context(environment())
        port = stack.enter_context(station(servers))
        for name in (("alerts", "run"), ("ingest",)):
            stack.enter_context(running(servers, *name))
        for ward, beds in (("icu-1", 30), ("hdu", 8)):
            stack.enter_context(monitors(servers, beds, ward))
        leaving = ExitStack()
        stack.callback(leaving.close)
        leaving.enter_context(monitors(servers, 2, "icu-2"))
        log(f"waiting {WARM_UP:.0f} s for the ward to live")
        time.sleep(WARM_UP - 25)
        leaving.close()
        time.sleep(25)
        answer_two(port)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox"])
            take(browser, port)
            browser.close()


@contextmanager
def station(servers: Environment) -> Iterator[int]:
    """The station, with history; its port."""
    reader = servers.database.url(OWNER, READER_ROLE, PASSWORD)
    program = service(servers, "station", settings={"VITALFLOW_READER_URL": reader})
    assert program.environ is not None
    assert program.port is not None
    program.environ = {**program.environ, "VITALFLOW_STATION_PORT": str(program.port)}
    program.start()
    try:
        yield program.port
    finally:
        program.stop()


def answer_two(port: int) -> None:
    """The second alert is acknowledged, the audio of the third paused."""
    alerts = [alert for alert in open_alerts(port) if alert["state"] == "active"]
    for alert, action in zip(alerts[1:3], ("acknowledge", "pause_audio"), strict=False):
        place = {key: alert[key] for key in ("ward", "device", "rule")}
        asked = json.dumps({"action": action, **place}).encode()
        headers = {"Content-Type": "application/json", "Cookie": sign_in(port, NURSE)}
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/ui/alerts", asked, headers)).close()


def open_alerts(port: int) -> list[dict[str, Any]]:
    """As the API tells them."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/api/alerts", headers={"Cookie": sign_in(port, NURSE)})
    with urllib.request.urlopen(asked) as answer:
        return list(json.load(answer)["alerts"])


def take(browser: Browser, port: int) -> None:
    """All pictures. The bed is the first one with an alert of its score."""
    alerts = open_alerts(port)
    device = next(alert["device"] for alert in alerts if (alert["rule"], alert["ward"]) == ("news2", "icu-1"))
    bed = f"/bed?device={device}"
    picture(browser, port, "ward-night-wall", "/", WALL)
    picture(browser, port, "ward-day", "/", DESKTOP, theme="day", order="urgency", ward="icu-1")
    picture(browser, port, "bed-night", bed, DESKTOP, full=True)
    picture(browser, port, "bed-day", bed, DESKTOP, theme="day", full=True)
    picture(browser, port, "alerts-night", "/alerts", DESKTOP)
    picture(browser, port, "ward-phone", "/", PHONE, scale=2, ward="hdu")
    picture(browser, port, "alerts-phone", "/alerts", PHONE, scale=2, theme="day")


def picture(
    browser: Browser,
    port: int,
    name: str,
    path: str,
    size: tuple[int, int],
    *,
    theme: str = "night",
    scale: int = 1,
    full: bool = False,
    **kept: str,
) -> None:
    """One picture, in few colours, so that it is small."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, device_scale_factor=scale)
    values = {"theme": theme, "sound": "on", **kept}
    context.add_init_script("".join(f"localStorage.setItem('vitalflow.{key}', '{of}');" for key, of in values.items()))
    name_of_cookie, _, token = sign_in(port, NURSE).partition("=")
    context.add_cookies([{"name": name_of_cookie, "value": token, "url": f"http://127.0.0.1:{port}"}])
    page: Page = context.new_page()
    for _ in range(3):
        page.goto(f"http://127.0.0.1:{port}{path}")
        page.wait_for_timeout(3500)
        if page.evaluate("document.documentElement.dataset.link") == "live":
            break
    page.keyboard.press("Shift")  # the first input lets the page play sound
    page.wait_for_timeout(800)
    image: Any = Image.open(BytesIO(page.screenshot(full_page=full)))
    file = FOLDER / f"station-{name}.png"
    image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    log(f"{file.relative_to(CHECKOUT)}: {image.width} x {image.height}, {Path(file).stat().st_size // 1024} kB")
    context.close()


def log(sentence: str) -> None:
    sys.stdout.write(f"screenshots: {sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with exit_on_error("vitalflow screenshots"):
        main()
