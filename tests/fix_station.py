"""The station for tests: the real program, and real browsers that look at it."""

import base64
import contextlib
import json
import os
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from stack.servers import free_port
from tests.browser import chromium
from tests.browser.watching import COUNT_TONES
from tests.fix_process import ServiceProcess
from vitals.errors import PermanentError

DESK = {"width": 1280, "height": 800}
# What this machine does to its network is not the page's fault; the page comes back by itself.
# And of a refusal, which the page tells its person, Chromium tells the console too.
NOT_OURS = (
    "ERR_NETWORK_CHANGED",
    "ERR_CONNECTION_REFUSED",
    "ERR_INCOMPLETE_CHUNKED",
    "ERR_EMPTY_RESPONSE",
    "status of 401",
    "status of 403",
    "status of 409",
    "status of 429",
    "ERR_CONNECTION_RESET",
    "status of 503",
)


def pytest_report_header(config: pytest.Config) -> str:
    try:
        path = chromium.find()
    except PermanentError as missing:
        return f"browser: NONE, so tests/browser will fail: {missing}"
    return f"browser: {chromium.version(path)} ({path})"


ANY = "any word"  # at a broker that lets everybody in
Answer = tuple[int, Any, Message]


class StationProcess(ServiceProcess):
    """`vitalflow station` on a port of its own. It misses no service unless told to."""

    def __init__(self, mqtt_url: str, folder: Path, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {
            **os.environ,
            "VITALFLOW_MQTT_URL": mqtt_url,
            "VITALFLOW_STATION_PORT": str(self.port),
            "VITALFLOW_STATION_CLIENT_ID": f"station-{uuid.uuid4().hex[:8]}",
            "VITALFLOW_STATION_SERVICES": "",
            **{f"VITALFLOW_{key.upper()}": str(value) for key, value in settings.items()},
        }
        super().__init__(["station"], environment, folder / f"station-{uuid.uuid4().hex[:6]}.log")

    def ask(self, method: str, path: str, content: object = None, **headers: str) -> Answer:
        """One request; status, JSON or text, and headers. Redirections are not followed."""
        body = None if content is None else json.dumps(content).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        told = ({"Content-Type": "application/json"} if body is not None else {}) | given
        request = urllib.request.Request(self.url + path, body, told, method=method)
        try:
            with urllib.request.build_opener(_Stays).open(request, timeout=15) as answer:
                return answer.status, _read(answer), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _read(error), error.headers

    def sign_in(self, name: str, password: str = ANY) -> str:
        """The Cookie header of one who has signed in."""
        status, told, headers = self.ask("POST", "/signin", {"name": name, "password": password})
        assert status == 200, told
        return headers["Set-Cookie"].partition(";")[0]


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _read(answer: Any) -> Any:
    text = answer.read().decode()
    return json.loads(text) if "json" in (answer.headers["Content-Type"] or "") else text


def basic(name: str, password: str = ANY) -> str:
    """The Authorization header of a script."""
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


class Screen:
    """One person's browser: a page, and all that went wrong on it. `open` signs in with name and password."""

    def __init__(self, context: BrowserContext, name: str, password: str) -> None:
        self.context = context
        self.name, self.password = name, password
        self.page: Page = context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", self._refuse)

    def open(self, address: str) -> Page:
        """Sign in where that is not done yet, go there, and wait until the page is told."""
        self.sign_in(address)
        for _ in range(3):
            self.page.goto(address)
            with contextlib.suppress(Exception):
                self.page.wait_for_selector('html[data-link="live"]', timeout=8000)
                return self.page
        raise AssertionError(f"{address} does not become live: {self.wrong}")

    def sign_in(self, address: str) -> None:
        """As the page for it would do."""
        parts = urlsplit(address)
        origin = f"{parts.scheme}://{parts.netloc}"
        if self.context.request.get(f"{origin}/ui/me").ok:
            return
        content = {"name": self.name, "password": self.password}
        answer = self.context.request.post(f"{origin}/signin", data=content, headers={"Origin": origin})
        assert answer.ok, answer.text()

    def tile(self, device: str) -> Any:
        """The tile of a device."""
        return self.page.locator(f'.tile[data-device="{device}"]')

    def value(self, device: str, sign: str) -> Any:
        """The numeral of a sign on a tile."""
        return self.tile(device).locator(f'.row[data-sign="{sign}"] .value')

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(word in message.text for word in NOT_OURS):
            self.wrong.append(f"{message.type}: {message.text}")

    def _refuse(self, dialog: Any) -> None:
        self.wrong.append(f"a dialog of {dialog.type}: {dialog.message}")
        dialog.dismiss()


MakeStation = Callable[..., StationProcess]
MakeScreen = Callable[..., Screen]


@pytest.fixture
def make_station(tmp_path: Path) -> Iterator[MakeStation]:
    """Start stations; all of them are gone when the test ends."""
    made: list[StationProcess] = []

    def make(mqtt_url: str, *, wait: bool = True, **settings: object) -> StationProcess:
        station = StationProcess(mqtt_url, tmp_path, **settings)
        made.append(station)
        station.start(wait=wait)
        return station

    yield make
    for station in made:
        if station.process is not None and station.process.poll() is None:
            station.kill()
        sys.stdout.write(station.said())  # pytest shows it where the test failed


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a module; each test has its own windows in it.

    Not for the whole session: Playwright keeps an event loop running in this thread for as long as it is there, and
    then no test can have one of its own.
    """
    with sync_playwright() as playwright:
        # No sandbox: a container's root may not make one, and the only pages are our own.
        started = playwright.chromium.launch(executable_path=chromium.find(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def make_screen(browser: Browser) -> Iterator[MakeScreen]:
    """Windows as of different persons: they share no storage. A test fails where one of them complains."""
    made: list[Screen] = []

    def make(name: str = "nurse Ada", password: str = ANY, *, theme: str = "night", **options: Any) -> Screen:
        context = browser.new_context(**{"viewport": DESK, **options})
        context.add_init_script(
            f"localStorage.getItem('vitalflow.theme') ?? localStorage.setItem('vitalflow.theme', {theme!r});"
        )
        context.add_init_script(COUNT_TONES)
        made.append(Screen(context, name, password))
        return made[-1]

    yield make
    wrong = [sentence for screen in made for sentence in screen.wrong]
    for screen in made:
        screen.context.close()
    assert wrong == []
