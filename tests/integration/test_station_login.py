"""Log in at a real station and a real broker with access control: what each user sees and may do.

The people are users of the broker: ada of icu-1, grace and the operator of all wards, eve who may only look at icu-1.
"""

import asyncio
import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psycopg
import pytest

from identity.ca import new_ca, sign_server
from identity.dynsec import connect_dynsec
from identity.enrolment import enroll, revoke
from identity.policy import Kind, User
from mqtt.failover import BrokerOrder
from station.auth import sessions
from station.auth.password_salts import PasswordSalts
from tests.fixtures.alerts import AlertClient, MakeAlerts, monitors
from tests.fixtures.ingest import MakeIngest
from tests.fixtures.secured import Secured
from tests.fixtures.station import MakeStation, StationProcess, basic
from tests.support.servers import Db, eventually
from vitals.backoff import Backoff
from vitals.password import new_salt

HIGH = "icu-1/bed-1/heart-rate-high"


@pytest.fixture
def monitor(shared_secured: Secured) -> Iterator[Callable[[str], AlertClient]]:
    with monitors(shared_secured) as make:
        yield make


def station_of(secured: Secured, make_station: MakeStation, **settings: object) -> StationProcess:
    settings = {"mqtt_ca": secured.ca, "station_client_id": "station", **settings}
    return make_station(secured.url_of("station"), **settings)


def devices(station: StationProcess, name: str) -> list[str]:
    status, answer, _ = station.ask("GET", "/api/ward", Authorization=basic(name, f"word-of-{name}"))
    assert status == 200, answer
    return [bed["device"] for bed in answer["beds"]]


class Stream:
    """The events that a page receives."""

    def __init__(self, station: StationProcess, cookie: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", station.port, timeout=10)
        self._connection.request("GET", "/ui/live", headers={"Cookie": cookie})
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.hello = self.next()[1] if self.status == 200 else {}

    def next(self) -> tuple[str, Any]:
        """The next event and its data; "end" where the stream has ended."""
        event = "message"
        while line := self._answer.readline():
            if line.startswith(b"event: "):
                event = line.split()[1].decode()
            elif line.startswith(b"data: "):
                return event, json.loads(line[6:])
        return "end", None

    def until(self, holds: Callable[[str, Any], bool], timeout: float = 10) -> Any:
        """The data of the first event of which that holds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            event, data = self.next()
            if holds(event, data):
                return data
            assert event != "end", "the stream has ended"
        raise AssertionError("it did not come")

    def close(self) -> None:
        self._connection.close()


Listen = Callable[[StationProcess, str], Stream]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Open pages' streams; all of them are closed when the test ends."""
    made: list[Stream] = []

    def make(station: StationProcess, cookie: str) -> Stream:
        made.append(Stream(station, cookie))
        return made[-1]

    yield make
    for stream in made:
        stream.close()


def test_without_a_login_no_page_has_patient_data(shared_secured: Secured, make_station: MakeStation) -> None:
    station = station_of(shared_secured, make_station)
    device_pages = ("/ui/limits?device=b", "/ui/diagnosis?device=b")
    for path in ("/api/ward", "/api/beds/bed-1", "/api/alerts", "/ui/live", "/ui/recent", *device_pages):
        assert station.ask("GET", path)[0] == 401, path
    assert station.ask("GET", "/whatever")[0] == 401
    assert station.ask("GET", "/static/../api/ward")[0] in (401, 404)
    for method, path in (("POST", "/ui/alerts"), ("PUT", "/ui/limits"), ("POST", "/signout")):
        assert station.ask(method, path, {})[0] == 401, path
    for path in ("/", "/alerts", "/review?device=x", "/bed?device=x%26y"):
        status, _, headers = station.ask("GET", path)
        assert status == 303
        assert headers["Location"].startswith("/signin?to=")
    assert headers["Location"] == "/signin?to=%2Fbed%3Fdevice%3Dx%2526y"
    for path in ("/signin", "/static/signin.js", "/healthz", "/metrics", "/openapi.json"):
        assert station.ask("GET", path)[0] == 200, path
    _, _, headers = station.ask("GET", "/api/ward")
    assert headers["WWW-Authenticate"].startswith("Basic")
    _, _, headers = station.ask("GET", "/api/ward", Sec_Fetch_Mode="cors")
    assert headers["WWW-Authenticate"] is None, "a browser would ask in a window of its own"


def test_wrong_password_and_unknown_name_get_the_same_answer_and_a_delay(
    shared_secured: Secured, make_station: MakeStation
) -> None:
    station = station_of(shared_secured, make_station)
    answers = [
        station.ask("POST", "/signin", {"name": name, "password": word})[:2]
        for name, word in (("ada", "a guess"), ("mallory", "a guess"), ("bed-1", "word-of-bed-1"), ("#", "x"), ("", ""))
    ]
    assert answers == [(401, {"detail": "Wrong name or password."})] * 5
    assert station.ask("POST", "/signin", {"name": "admin", "password": "word-of-admin"})[0] == 401, "no person"
    for guess in range(10):  # on a slow machine a second may pass between two of them
        status, answer, headers = station.ask("POST", "/signin", {"name": "ada", "password": f"a guess {guess}"})
        if status != 401:
            break
    wait = int(headers["Retry-After"])
    assert (status, answer["detail"]) == (429, f"Too many attempts; try again in {wait} s.")
    assert station.ask("POST", "/signin", {"name": "ada", "password": "word-of-ada"})[0] == 429, "right or wrong"
    assert station.ask("POST", "/signin", {"name": "grace", "password": "word-of-grace"})[0] == 200, "her it does not"
    time.sleep(wait)
    assert station.ask("POST", "/signin", {"name": "ada", "password": "word-of-ada"})[0] == 200
    station.ask("POST", "/signin", {"name": "word-of-grace", "password": ""})  # in the wrong field
    assert "login failed from 127.0.0.1" in station.said()
    assert "word-of" not in station.said()
    assert "a guess" not in station.said()


def test_the_cookie_is_same_site_and_http_only(shared_secured: Secured, make_station: MakeStation) -> None:
    station = station_of(shared_secured, make_station)
    asked = {"name": "grace", "password": "word-of-grace"}
    _, _, headers = station.ask("POST", "/signin", asked)
    name, *attributes = headers["Set-Cookie"].split("; ")
    assert set(attributes) == {"HttpOnly", "Path=/", "SameSite=strict"}
    assert len(name.partition("=")[2]) >= 43
    _, _, headers = station.ask("POST", "/signin", asked, Origin=f"https://127.0.0.1:{station.port}")
    assert "Secure" in headers["Set-Cookie"], "a proxy before it encrypts"
    assert station.ask("POST", "/signin", asked, Origin="http://evil.example")[0] == 403
    assert station.ask("GET", "/api/ward", Cookie="vitalflow-1=x; vitalflow=y")[0] == 401
    assert station.ask("GET", "/api/ward", Cookie=f"{name}x")[0] == 401
    status, _, headers = station.ask("GET", "/api/ward", Cookie=name)
    assert (status, headers["Cache-Control"]) == (200, "no-store")


def test_a_user_sees_only_their_own_wards_by_every_route(
    shared_secured: Secured,
    db: Db,
    make_alerts: MakeAlerts,
    make_station: MakeStation,
    monitor: Callable[[str], AlertClient],
    listen: Listen,
) -> None:
    make_alerts(shared_secured.url_of("alerts"), mqtt_ca=shared_secured.ca, alerts_client_id="alerts")
    with psycopg.connect(db.owner_url) as owner:
        # bed-1 was in the other ward until three hours ago, with another patient.
        owner.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, patient_id, ward, heart_rate, status, received_at)"
            " SELECT now() - n * interval '10 minutes', 'bed-1', 1, n, 'p', CASE WHEN n > 18 THEN 'icu-2'"
            " ELSE 'icu-1' END,"
            " CASE WHEN n > 18 THEN 200 ELSE 60 END, 'NORMAL', now() FROM generate_series(1, 60) AS n"
        )
    station = station_of(shared_secured, make_station, reader_url=db.reader_url)
    early = listen(station, station.sign_in("ada", "word-of-ada"))
    assert early.hello["user"] == {"name": "ada", "viewable": [], "actionable": []}, "no ward is known yet"
    monitor("bed-1").measure("bed-1", "icu-1", heart_rate=140)
    monitor("bed-9").measure("bed-9", "icu-2", heart_rate=141)
    monitor("bed-9").wait_for("icu-2/bed-9/heart-rate-high", state="active")
    monitor("bed-1").wait_for(HIGH, state="active")
    hello = early.until(lambda event, _: event == "hello")
    assert hello["user"] == {"name": "ada", "viewable": ["icu-1"], "actionable": ["icu-1"]}

    def ask(name: str, path: str) -> tuple[int, Any]:
        return station.ask("GET", path, Authorization=basic(name, f"word-of-{name}"))[:2]

    def alerts(name: str) -> set[str]:
        return {alert["device"] for alert in ask(name, "/api/alerts")[1]["alerts"]}

    eventually(lambda: alerts("grace") == {"bed-1", "bed-9"}, 10, "the station has both alerts")
    assert alerts("ada") == {"bed-1"}

    def devices_of(stream: Stream) -> set[str]:
        frame = stream.until(lambda event, frame: event == "message" and frame.get("snapshot") and frame.get("alerts"))
        return {bed["device"] for bed in frame["beds"]} | {alert["device"] for alert in frame["alerts"]}

    eventually(lambda: devices(station, "ada") == ["bed-1"], 10, "the broker says what ada sees")
    assert devices(station, "eve") == ["bed-1"]
    assert devices(station, "grace") == ["bed-1", "bed-9"]
    ada = listen(station, station.sign_in("ada", "word-of-ada"))
    assert devices_of(ada) == {"bed-1"}
    monitor("bed-9").measure("bed-9", "icu-2", heart_rate=142)
    monitor("bed-1").measure("bed-1", "icu-1", heart_rate=139)
    frame = ada.until(lambda event, frame: event == "message" and frame.get("beds"))
    assert [bed["device"] for bed in frame["beds"]] == ["bed-1"]
    grace = listen(station, station.sign_in("grace", "word-of-grace"))
    assert grace.hello["user"] == {"name": "grace", "viewable": None, "actionable": None}
    assert devices_of(grace) == {"bed-1", "bed-9"}
    assert ask("ada", "/api/ward?ward=icu-2")[1]["beds"] == []
    for path in ("", "/series", "/alerts", f"/report?day={datetime.now(UTC):%Y-%m-%d}"):
        assert ask("ada", f"/api/beds/bed-9{path}")[0] == 404
    assert ask("grace", "/api/beds/bed-9")[0] == 200
    rates = {name: ask(name, "/api/beds/bed-1/series")[1]["signs"]["heart_rate"]["max"] for name in ("ada", "grace")}
    assert max(rate for rate in rates["grace"] if rate is not None) == 200
    assert {rate for rate in rates["ada"] if rate is not None} == {60}
    year = (datetime.now(UTC) - timedelta(days=365)).strftime("%Y-%m-%dT%H:%M:%SZ")
    coarse = ask("ada", f"/api/beds/bed-1/series?from={year}&points=2")[1]["signs"]["heart_rate"]
    assert {rate for rate in coarse["max"] if rate is not None} == {60}, "a point of half a year covers both wards"
    start = (datetime.now(UTC) - timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    end = (datetime.now(UTC) - timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert ask("ada", f"/api/beds/bed-1/series?from={start}&to={end}")[1]["time"] == []
    hours = [
        hour
        for ago in (0, 1)
        for hour in ask("ada", f"/api/beds/bed-1/report?day={datetime.now(UTC) - timedelta(days=ago):%Y-%m-%d}")[1][
            "hours"
        ]
    ]
    assert {hour["ward"] for hour in hours} == {"icu-1"}
    assert {hour["signs"]["heart_rate"]["max"] for hour in hours} == {60}
    cookie = station.sign_in("ada", "word-of-ada")
    assert set(station.ask("GET", "/ui/recent", Cookie=cookie)[1]) == {"bed-1"}
    assert station.ask("GET", "/ui/limits?device=bed-9", Cookie=cookie)[1]["own"] is None


def test_a_user_acknowledges_under_their_own_name_and_a_read_only_user_may_not(
    shared_secured: Secured, make_alerts: MakeAlerts, make_station: MakeStation, monitor: Callable[[str], AlertClient]
) -> None:
    make_alerts(shared_secured.url_of("alerts"), mqtt_ca=shared_secured.ca, alerts_client_id="alerts")
    station = station_of(shared_secured, make_station)
    cookies = {name: station.sign_in(name, f"word-of-{name}") for name in ("ada", "grace", "eve")}
    for device, ward in (("bed-1", "icu-1"), ("bed-9", "icu-2")):
        monitor(device).measure(device, ward, heart_rate=80)
        monitor(device).measure(device, ward, heart_rate=140)
        monitor(device).wait_for(f"{ward}/{device}/heart-rate-high", state="active")

    def act(name: str, action: str, device: str = "bed-1", ward: str = "icu-1", **more: str) -> tuple[int, Any]:
        asked = {"ward": ward, "device": device, "rule": "heart-rate-high", "action": action, **more}
        return station.ask("POST", "/ui/alerts", asked, Cookie=cookies[name])[:2]

    eventually(lambda: devices(station, "eve") == ["bed-1"], 5, "the broker says what eve sees")
    eventually(lambda: len(devices(station, "grace")) == 2, 5, "both are there")
    status, answer = act("eve", "acknowledge")
    assert (status, answer["detail"][:28]) == (403, "you have read-only access to")
    limits = {"device": "bed-1", "limits": {"heart-rate-high": [150.0]}}
    assert station.ask("PUT", "/ui/limits", limits, Cookie=cookies["eve"])[0] == 403
    assert act("ada", "acknowledge", "bed-9", "icu-2") == (409, {"detail": "this alert has ended"})
    assert station.ask("PUT", "/ui/limits", limits | {"device": "bed-9"}, Cookie=cookies["ada"])[0] == 404
    assert act("ada", "pause_audio") == (200, {"state": "audio_paused"})
    assert act("ada", "acknowledge", by="grace") == (200, {"state": "acknowledged"})
    assert monitor("bed-1").wait_for(HIGH, state="acknowledged").acknowledged_by == "ada", "whatever the request says"
    status, answer = act("grace", "acknowledge")
    assert status == 409
    assert answer["detail"] == "this alert is already acknowledged by ada"
    script = station.ask("POST", "/ui/alerts", {}, Authorization=basic("grace", "word-of-grace"))
    assert script[0] == 401, "scripts read"
    assert station.ask("PUT", "/ui/limits", limits, Cookie=cookies["ada"])[:2] == (200, {"set": True})
    eventually(
        lambda: (
            (station.ask("GET", "/ui/limits?device=bed-1", Cookie=cookies["ada"])[1]["own"] or {}).get("by") == "ada"
        ),
        5,
        "the limits come back with her name",
    )
    forget(shared_secured)


def forget(secured: Secured) -> None:
    """What the test has left at the broker that others use too."""
    with connect_dynsec(secured.broker("admin")) as dynsec:
        dynsec.publish([("vitalflow/limits/icu-1/bed-1", b"", True)])


def test_the_station_shows_the_patient_assigned_to_a_bed(shared_secured: Secured, make_station: MakeStation) -> None:
    station, topic = station_of(shared_secured, make_station), "vitalflow/assignments/icu-1/bed-1"

    def patient() -> object:
        return station.ask("GET", "/api/beds/bed-1", Authorization=basic("ada", "word-of-ada"))[1].get("patient_id", "")

    with connect_dynsec(shared_secured.broker("admin")) as dynsec:
        dynsec.publish([(topic, b'{"patient_id":"p-1","by":"a test"}', True)])
        eventually(lambda: patient() == "p-1", 5, "the assigned patient is shown")
        dynsec.publish([(topic, b"", True)])
        eventually(lambda: patient() is None, 5, "no patient is shown")


def test_a_revoked_user_is_signed_out_and_a_restart_of_the_broker_ends_no_session(
    own_secured: Secured, make_station: MakeStation, listen: Listen
) -> None:
    station = station_of(own_secured, make_station)
    cookies = {name: station.sign_in(name, f"word-of-{name}") for name in ("ada", "grace")}
    assert station.ask("GET", "/api/ward", Authorization=basic("ada", "word-of-ada"))[0] == 200
    own_secured.server.kill()
    eventually(lambda: station.ask("GET", "/healthz")[1]["outages"] == ["broker"], 6, "it is away")
    assert station.ask("GET", "/api/ward", Cookie=cookies["ada"])[0] == 200
    status, answer, _ = station.ask("POST", "/signin", {"name": "eve", "password": "word-of-eve"})
    assert status == 503
    assert answer["detail"].startswith("Signing in is not possible now: there is no connection to the monitors")
    own_secured.server.start()
    eventually(lambda: station.ask("GET", "/healthz")[1]["outages"] == [], 10, "it is back")
    streams = {name: listen(station, cookie) for name, cookie in cookies.items()}
    assert {stream.status for stream in streams.values()} == {200}
    time.sleep(2.5)  # both are at the broker again
    with connect_dynsec(own_secured.broker("admin")) as dynsec:
        revoke(dynsec, "ada", own_secured.access.topics, by="a test", now=datetime.now(UTC))
    revoked = time.monotonic()
    why = streams["ada"].until(lambda event, _: event == "logged_out", 5)
    assert time.monotonic() - revoked < 2
    assert why.startswith("Your login has ended: your access was revoked")
    assert streams["ada"].next()[0] == "end"
    assert station.ask("GET", "/api/ward", Cookie=cookies["ada"])[0] == 401
    assert station.ask("GET", "/api/ward", Authorization=basic("ada", "word-of-ada"))[0] == 401
    assert station.ask("GET", "/api/ward", Cookie=cookies["grace"])[0] == 200
    with connect_dynsec(own_secured.broker("admin")) as dynsec:
        users = [User("grace", Kind.PERSON, "icu-1", "another word")]
        enroll(dynsec, users, own_secured.access.topics, by="a test", now=datetime.now(UTC), rotate_password=True)
    streams["grace"].until(lambda event, _: event == "logged_out", 5)


def test_signing_out_ends_the_session_of_this_browser_only(
    shared_secured: Secured, make_station: MakeStation, listen: Listen
) -> None:
    station = station_of(shared_secured, make_station)
    here, there = (station.sign_in("grace", "word-of-grace") for _ in range(2))
    pages = [listen(station, cookie) for cookie in (here, there)]
    assert "vitalflow_station_sessions 2.0" in station.ask("GET", "/metrics")[1]
    status, _, headers = station.ask("POST", "/signout", {}, Cookie=here)
    assert status == 200
    assert "Max-Age=0" in headers["Set-Cookie"]
    assert pages[0].until(lambda event, _: event == "logged_out") == "You have signed out."
    assert station.ask("GET", "/api/ward", Cookie=here)[0] == 401
    assert station.ask("GET", "/api/ward", Cookie=there)[0] == 200
    pages[1].until(lambda event, frame: event == "message" and not frame.get("snapshot"))
    asked = {"name": "ada", "password": "word-of-ada"}
    assert station.ask("POST", "/signin", asked, Cookie=there)[0] == 200
    assert pages[1].until(lambda event, _: event == "logged_out") == "You have signed out.", (
        "or it acts in another's name"
    )
    assert station.ask("GET", "/api/ward", Cookie=there)[0] == 401


def test_frequent_requests_of_a_script_make_one_connection_to_the_broker(
    shared_secured: Secured, make_station: MakeStation
) -> None:
    station = station_of(shared_secured, make_station)
    for _ in range(10):
        assert station.ask("GET", "/api/ward", Authorization=basic("grace", "word-of-grace"))[0] == 200
    assert "vitalflow_station_login_attempts_total 1.0" in station.ask("GET", "/metrics")[1]
    for header in (
        "Basic",
        "Basic !",
        "Basic bm9jb2xvbg==",
        "Bearer x",
        basic("grace", "word-of-ada"),
        basic("ünï", "wörd"),
    ):
        status, answer, headers = station.ask("GET", "/api/ward", Authorization=header)
        assert status == 401, header
        assert headers["WWW-Authenticate"].startswith("Basic")
        assert "word" not in answer["detail"].replace("password", "")


def test_with_a_certificate_it_serves_https_and_reloads_a_renewed_one(
    shared_secured: Secured, make_station: MakeStation, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    authority = new_ca("a ca", now)
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    certificate, key = tmp_path / "ward.crt", tmp_path / "ward.key"

    def make() -> None:
        pair = sign_server(authority, ["localhost", "127.0.0.1"], now)
        key.touch(0o600)
        key.write_bytes(pair.key)
        certificate.write_bytes(pair.certificate)

    make()
    pair = {"station_certificate": certificate, "station_key": key}
    station = station_of(shared_secured, make_station, **pair)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    address = f"https://127.0.0.1:{station.port}"
    body = json.dumps({"name": "grace", "password": "word-of-grace"}).encode()
    request = urllib.request.Request(f"{address}/signin", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        assert "Secure" in answer.headers["Set-Cookie"]
    assert f"the ward is at {address}" in station.said()
    shown = ssl.get_server_certificate(("127.0.0.1", station.port))
    make()
    eventually(lambda: ssl.get_server_certificate(("127.0.0.1", station.port)) != shown, 10, "the new one is shown")
    key.chmod(0o644)
    refused = make_station(shared_secured.url_of("station"), wait=False, mqtt_ca=shared_secured.ca, **pair)
    assert refused.process is not None
    assert refused.process.wait(20) == 2
    assert f"chmod 600 {key}" in refused.said()
    certificate.write_text("nothing")
    key.chmod(0o600)
    refused = make_station(shared_secured.url_of("station"), wait=False, mqtt_ca=shared_secured.ca, **pair)
    assert refused.process is not None
    assert refused.process.wait(20) == 2
    assert "are no pair; give a certificate and its own key, as PEM" in refused.said()


def test_a_station_with_a_client_certificate_is_rejected_with_the_setting_to_change(
    shared_secured: Secured, make_station: MakeStation
) -> None:
    refused = make_station(
        shared_secured.url, wait=False, mqtt_certificate=shared_secured.ca, mqtt_key=shared_secured.ca
    )
    assert refused.process is not None
    assert refused.process.wait(20) == 2
    assert "people sign in with passwords at the same port of the broker" in refused.said()


def test_the_diagnosis_of_a_device_shows_its_rejections_to_users_of_its_ward_only(
    shared_secured: Secured, make_station: MakeStation, monitor: Callable[[str], AlertClient]
) -> None:
    station = station_of(shared_secured, make_station)
    cookies = {name: station.sign_in(name, f"word-of-{name}") for name in ("ada", "grace")}
    path = "/ui/diagnosis?device=bed-9&seconds=4"
    with ThreadPoolExecutor(3) as threads:
        pages = {name: threads.submit(station.ask, "GET", path, Cookie=cookie) for name, cookie in cookies.items()}
        while not all(page.done() for page in pages.values()):
            monitor("bed-9").send("vitals/icu-2/bed-9", b"HR=72")
            time.sleep(0.2)
    (status, ada, _), (_, grace, _) = (pages[name].result() for name in ("ada", "grace"))
    assert status == 200
    assert "not_json" not in ada
    assert "WRONG: no reading in 4 s" in ada
    assert "rejected whole  not_json" in grace
    assert "send one JSON object per message" in grace


def test_sign_ins_and_refused_ones_are_in_the_audit_record_without_a_password(
    own_secured: Secured, db: Db, make_ingest: MakeIngest, make_station: MakeStation
) -> None:
    ingest = make_ingest(own_secured.url_of("ingest"), db, mqtt_ca=own_secured.ca, ingest_client_id="ingest")
    station = station_of(own_secured, make_station)
    station.sign_in("grace", "word-of-grace")
    assert station.ask("GET", "/api/ward", Authorization=basic("ada", "word-of-ada"))[0] == 200
    for name, word in (("grace", "a wrong password"), ("word-of-grace", "")):
        assert station.ask("POST", "/signin", {"name": name, "password": word})[0] == 401
    query = "SELECT actor, action, ward, device_id, detail FROM audit_event WHERE topic LIKE '%%/sign-in'"
    detail = {"address": "127.0.0.1", "count": 1}
    eventually(lambda: db.count("audit_event") == 4, 30, "all four")
    rows = db.rows(query)
    for row in (
        ("grace", "signed_in", None, None, detail),
        ("ada", "signed_in", None, None, detail),
        ("grace", "sign_in_refused", None, None, detail),
        (None, "sign_in_refused", None, None, detail),
    ):
        assert row in rows
    stored = str(db.rows("SELECT * FROM audit_event"))
    assert "word" not in stored
    assert ingest.stop() == 0


def test_guesses_that_wait_for_a_processor_delay_no_connection_of_another_user(
    shared_secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Semaphore(0), threading.Event()

    def held(password: str, _salt: str) -> str:
        begun.release()
        may_end.wait(60)
        return password

    monkeypatch.setattr(sessions, "derive_secret", held)

    async def story() -> None:
        topics = shared_secured.access.topics
        salts = PasswordSalts(topics)
        salts.take(topics.password_salt("eve"), json.dumps(new_salt()).encode())
        salts.complete()
        order = BrokerOrder(shared_secured.broker(), Backoff(1.0, 1.0))
        manager = sessions.SessionManager(order, topics, salts, lambda: [])
        guesses = [asyncio.create_task(manager.verify("eve", f"guess {n}", f"10.0.0.{n}")) for n in range(4)]
        try:
            for _ in range(sessions.MAX_CONCURRENT_DERIVATIONS):
                assert await asyncio.to_thread(begun.acquire, timeout=30)
            ada = await manager.verify("ada", "word-of-ada", "10.0.0.9")
            assert ada.is_verified
        finally:
            may_end.set()
            await asyncio.gather(*guesses, return_exceptions=True)
            await manager.close()

    asyncio.run(story())
