"""An outage is shown on top within five seconds, stale data is grey, and the page recovers by itself."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import expect

from bench.proxy import Proxy
from stack.servers import BrokerServer, free_port
from tests.fixtures.browser import Ward
from tests.support.servers import eventually


def test_a_broker_outage_is_shown_within_five_seconds_and_ends_by_itself(own_broker: BrokerServer, ward: Ward) -> None:
    station, screen, person = ward(broker=own_broker)
    person.measure("bed-1", heart_rate=80)
    page = screen.open(station.url)
    expect(screen.value("bed-1", "heart_rate")).to_have_text("80")
    expect(page.locator("#banner")).to_have_text("")
    own_broker.kill()
    killed = time.monotonic()
    expect(page.locator("#banner")).to_contain_text("No connection to the monitors", timeout=5000)
    expect(page.locator("html")).to_have_attribute("data-stale", "true")
    assert time.monotonic() - killed < 5
    assert page.locator("#page").evaluate("node => getComputedStyle(node).filter") == "grayscale(1)"
    expect(page.locator("#link")).to_have_text("No data")
    own_broker.start()
    expect(page.locator("#banner")).to_have_text("", timeout=8000)
    expect(page.locator("html")).to_have_attribute("data-stale", "false")
    person = ward.make_client(own_broker)
    person.measure("bed-1", heart_rate=77)
    expect(screen.value("bed-1", "heart_rate")).to_have_text("77", timeout=2000)


def test_the_loss_of_broker_alert_worker_and_station_sounds_until_it_ends_or_is_paused(
    own_broker: BrokerServer, ward: Ward
) -> None:
    alerts = ward.make_alerts(own_broker.url)
    station, screen, person = ward(broker=own_broker, station_services=alerts.client_id)
    person.measure("bed-1", heart_rate=80)
    page = screen.open(station.url)
    expect(page.locator("#banner")).to_have_text("", timeout=8000)
    expect(page.locator("#sound-note")).to_contain_text("alarms are shown, not heard")
    page.get_by_role("button", name="Turn sound on").click()
    expect(page.locator("#sound-note")).to_be_hidden()
    root = page.locator("html")
    expect(root).to_have_attribute("data-sounding", "none")
    for lose, find in ((alerts.kill, alerts.start), (own_broker.kill, own_broker.start)):
        before = page.evaluate("tones")
        lose()
        expect(root).to_have_attribute("data-sounding", "high", timeout=10_000)
        assert page.evaluate("tones") >= before + 50, "a burst of ten pulses"
        page.get_by_role("button", name="Pause sound for 2 min").click()
        expect(root).to_have_attribute("data-sounding", "none")
        expect(page.locator("#sound-note")).to_contain_text("paused on this screen for")
        find()
        expect(page.locator("#banner")).to_have_text("", timeout=15_000)
        expect(page.locator("#sound-note")).to_be_hidden()
    station.kill()
    expect(root).to_have_attribute("data-sounding", "high", timeout=10_000)
    station.start()
    expect(page.locator("#unattended")).to_be_visible(timeout=10_000)
    # The login is lost too: a signal of medium priority, which is three pulses.
    eventually(lambda: page.evaluate("tones >= 15"), 5, "the sign-in page sounds")


def test_the_sign_in_page_asks_for_the_sound_and_unlocks_it(ward: Ward) -> None:
    station, screen, person = ward.with_alerts()
    person.measure(heart_rate=140)
    page = screen.page
    page.goto(station.url)
    assert page.get_by_label("Sound alarms on this screen").is_checked()
    page.get_by_label("Name").fill("nurse Ada")
    page.get_by_label("Password", exact=True).fill("any word")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sound on")).to_be_visible(timeout=8000)
    expect(page.locator("html")).to_have_attribute("data-sounding", "high", timeout=8000)
    expect(page.locator("#sound-note")).to_be_hidden()


def test_a_page_shows_the_loss_of_the_station_and_the_sign_in_page_after_its_restart(ward: Ward) -> None:
    """Who is signed in is in the memory of the station only."""
    station, screen, person = ward()
    person.measure("bed-1", heart_rate=80)
    page = screen.open(f"{station.url}/bed?device=bed-1")
    station.kill()
    expect(page.locator("#banner")).to_contain_text("No connection to the station", timeout=5000)
    expect(page.locator("html")).to_have_attribute("data-stale", "true")
    station.start()
    expect(page.locator("#reason")).to_have_text("Your login has ended. Sign in again.", timeout=10_000)
    page.get_by_label("Name").fill("nurse Ada")
    page.get_by_label("Password", exact=True).fill("any word")
    page.keyboard.press("Enter")
    person.measure("bed-1", heart_rate=81)
    expect(page.locator("h1")).to_have_text("bed-1")
    expect(page.locator('.strip[data-sign="heart_rate"] .value')).to_have_text("81")


def test_a_page_shows_the_loss_of_the_network_and_reconnects(ward: Ward) -> None:
    station, screen, person = ward()
    person.measure("bed-1", heart_rate=80)
    network = Proxy(station.port).start()
    try:
        page = screen.open(f"http://127.0.0.1:{network.port}")
        network.cut()
        expect(page.locator("#banner")).to_contain_text("No connection to the station", timeout=5000)
        expect(page.locator("html")).to_have_attribute("data-stale", "true")
        network.heal()
        expect(page.locator("#banner")).to_have_text("", timeout=10_000)
        person.measure("bed-1", heart_rate=81)
        expect(screen.value("bed-1", "heart_rate")).to_have_text("81")
    finally:
        network.stop()


def test_a_frozen_station_is_shown(ward: Ward) -> None:
    station, screen, person = ward()
    person.measure("bed-1", heart_rate=80)
    page = screen.open(station.url)
    assert station.process is not None
    station.process.send_signal(signal.SIGSTOP)
    try:
        expect(page.locator("#banner")).to_contain_text("No connection to the station", timeout=5000)
    finally:
        station.process.send_signal(signal.SIGCONT)
    expect(page.locator("#banner")).to_have_text("", timeout=5000)


@contextmanager
def silent_server() -> Iterator[int]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        yield server.getsockname()[1]


def test_a_database_that_never_answers_does_not_delay_live_data(ward: Ward) -> None:
    with silent_server() as port:
        url = f"postgresql://vitalflow_reader:x@127.0.0.1:{port}/vitalflow"
        station, screen, person = ward(reader_url=url)
        page = screen.open(f"{station.url}/bed?device=bed-1")
        expect(page.locator("#banner")).to_contain_text("Trends and past alerts are not available now.", timeout=6000)
        page.get_by_role("button", name="24 hours").click()
        for beat in range(60, 70):
            person.measure("bed-1", heart_rate=beat)
            expect(page.locator('.strip[data-sign="heart_rate"] .value')).to_have_text(str(beat), timeout=1000)
        expect(page.locator(".signs-panel .note")).to_have_text(
            "No trends: The stored readings cannot be read now; live values continue.", timeout=10_000
        )
