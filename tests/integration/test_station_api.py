"""The JSON API of a running station: what it answers is what /openapi.json says, with and without a database."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import psycopg

from stack.servers import BrokerServer
from station import api_models
from tests.fixtures.alerts import AlertClient, MakeAlerts
from tests.fixtures.station import MakeStation, StationProcess, basic
from tests.support.servers import Db, eventually
from vitals.version import VERSION

MakePerson = Callable[[int], AlertClient]


def get(station: StationProcess, path: str, **headers: str) -> tuple[int, Any]:
    status, answer, _ = station.ask("GET", path, Authorization=basic("a script"), **headers)
    return status, answer


def test_every_answer_matches_the_openapi_description(
    broker: BrokerServer, db: Db, make_alerts: MakeAlerts, make_station: MakeStation, make_alert_client: MakePerson
) -> None:
    make_alerts(broker.url)
    with psycopg.connect(db.owner_url) as owner:
        owner.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, patient_id, ward, heart_rate, status, received_at)"
            " SELECT now() - n * interval '1 minute', 'bed-1', 1, n, 'p-1', 'icu-1', 60 + n, 'NORMAL', now()"
            " FROM generate_series(1, 60) AS n"
        )
    station, person = make_station(broker.url, reader_url=db.reader_url), make_alert_client(broker.port)
    person.measure("bed-1", heart_rate=140, spo2=97)
    person.measure("bed-2", "icu-2", heart_rate=70)
    person.wait_for("icu-1/bed-1/heart-rate-high", state="active")
    eventually(lambda: len(get(station, "/api/alerts")[1]["alerts"]) == 1, 5, "the alert is answer")

    ward = api_models.Ward.model_validate(get(station, "/api/ward")[1])
    assert [bed.device for bed in ward.beds] == ["bed-1", "bed-2"]
    assert ward.beds[0].condition == "CRITICAL"
    assert ward.beds[0].values["heart_rate"].value == 140
    assert ward.beds[0].values["heart_rate"].unit == "/min"
    assert ward.beds[0].news2 is not None
    assert ward.beds[0].news2.parts == {"spo2": 0, "heart_rate": 3}
    assert [alert.rule for alert in ward.beds[0].alerts] == ["heart-rate-high"]
    assert [bed["device"] for bed in get(station, "/api/ward?ward=icu-2")[1]["beds"]] == ["bed-2"]
    assert api_models.BedResource.model_validate(get(station, "/api/beds/bed-2")[1]).patient_id == "p-bed-2"
    assert get(station, "/api/beds/unknown") == (404, {"detail": "there is no bed 'unknown'; /api/ward lists them"})
    for name in ("%00", "%00/alerts", "%00/series?from=2026-11-22T00:00:00Z"):
        assert get(station, f"/api/beds/{name}")[0] == 404
    alerts = api_models.Alerts.model_validate(get(station, "/api/alerts?ward=icu-1")[1])
    assert (alerts.alerts[0].priority, alerts.alerts[0].state, alerts.alerts[0].limit) == ("high", "active", 120)
    assert get(station, "/api/alerts?ward=icu-2")[1]["alerts"] == []

    series = api_models.Series.model_validate(get(station, "/api/beds/bed-1/series?points=100")[1])
    assert sum(series.readings) == 60
    assert sum(series.signs["heart_rate"].n) == 60
    assert len(series.time) == len(series.signs["spo2"].avg)
    start = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert get(station, f"/api/beds/bed-1/series?from={start}")[0] == 200
    assert get(station, "/api/beds/bed-1/series?from=2026-01-01T00:00:00")[0] == 422
    status, answer = get(station, "/api/beds/unknown/series")
    assert (status, answer["detail"]) == (422, "unknown device 'unknown'")
    assert get(station, "/api/beds/bed-1/series?points=0")[0] == 422
    assert api_models.PastAlerts.model_validate(get(station, "/api/beds/bed-1/alerts")[1]).alerts == []
    assert get(station, "/api/beds/bed-1/alerts?from=2026-01-01T00:00:00")[0] == 422


def test_trends_reach_as_far_back_as_data_is_kept_in_a_bounded_number_of_points(
    broker: BrokerServer, db: Db, make_station: MakeStation
) -> None:
    long_ago = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=400)
    with psycopg.connect(db.owner_url) as owner:
        for start in (long_ago, long_ago + timedelta(days=360)):
            owner.execute(
                "INSERT INTO patient_vitals (time, device_id, boot, seq, ward, heart_rate, status, received_at)"
                " SELECT %s + n * interval '1 minute', 'bed-1', 1, n, 'icu-1', 60, 'NORMAL', now()"
                " FROM generate_series(0, 119) AS n",
                [start],
            )
    station = make_station(broker.url, reader_url=db.reader_url)

    def series(start: datetime, span: timedelta, points: int) -> api_models.Series:
        query = urlencode({"from": start.isoformat(), "to": (start + span).isoformat(), "points": points})
        return api_models.Series.model_validate(get(station, f"/api/beds/bed-1/series?{query}")[1])

    # After raw_retention (30 days) the finest data are minutes, after minute_retention (a year) hours.
    for start, step_s, points in ((long_ago, 3600, 2), (long_ago + timedelta(days=360), 60, 120)):
        found = series(start, timedelta(hours=2), 5000)
        assert (found.step_s, len(found.time), sum(found.readings)) == (step_s, points, 120)
    whole = series(long_ago, timedelta(days=400), 90)
    assert (whole.step_s, len(whole.time), sum(whole.readings)) == (5 * 86_400, 2, 240)


def test_the_alerts_of_a_range_are_those_open_in_it(broker: BrokerServer, db: Db, make_station: MakeStation) -> None:
    noon = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=50)
    hours = [("before", 0, 1), ("until", 0, 4), ("within", 5, 6), ("since", 7, 20), ("after", 12, 13)]
    with psycopg.connect(db.owner_url) as owner:
        for rule, raised, cleared in (*hours, ("open", 1, None)):
            for revision, state, hour in ((1, "active", raised), (2, "cleared", cleared)):
                if hour is None:
                    continue
                event = owner.execute(
                    "INSERT INTO alert_event (alert_id, revision, rule, priority, kind, state, change, level, ward,"
                    " device_id, text, since, raised_at, changed_at, latched, received_at)"
                    " VALUES (md5(%(rule)s)::uuid, %(revision)s, %(rule)s, 'high', 'physiological', %(state)s,"
                    " 'raised', 1, 'icu-1', 'bed-1', 'x', %(raised)s, %(raised)s, %(changed)s, false, now())"
                    " RETURNING alert_id",
                    {
                        "rule": rule,
                        "revision": revision,
                        "state": state,
                        "raised": noon + timedelta(hours=raised),
                        "changed": noon + timedelta(hours=hour),
                    },
                ).fetchone()
                assert event is not None
                owner.execute(
                    "INSERT INTO alert_latest (device_id, rule, alert_id, revision, state, changed_at)"
                    " VALUES ('bed-1', %s, %s, %s, %s, now()) ON CONFLICT (device_id, rule)"
                    " DO UPDATE SET revision = excluded.revision, state = excluded.state",
                    [rule, event[0], revision, state],
                )
    station = make_station(broker.url, reader_url=db.reader_url)
    query = {"from": (noon + timedelta(hours=2)).isoformat(), "to": (noon + timedelta(hours=10)).isoformat()}

    def alerts(**more: object) -> api_models.PastAlerts:
        answer = get(station, f"/api/beds/bed-1/alerts?{urlencode({**query, **more})}")[1]
        return api_models.PastAlerts.model_validate(answer)

    assert [alert.rule for alert in alerts().alerts] == ["since", "within", "open", "until"]
    newest = alerts(limit=1)
    assert (newest.total, [alert.rule for alert in newest.alerts]) == (4, ["since"])


def test_openapi_has_every_path_and_no_page_loads_a_foreign_resource(
    broker: BrokerServer, make_station: MakeStation
) -> None:
    station = make_station(broker.url)
    described = get(station, "/openapi.json")[1]
    assert set(described["paths"]) == {
        "/api/ward",
        "/api/beds/{device}",
        "/api/beds/{device}/series",
        "/api/beds/{device}/report",
        "/api/beds/{device}/alerts",
        "/api/alerts",
        "/api/alerts/history",
        "/api/alerts/history.csv",
        "/api/alerts/{alert_id}/snapshot",
        "/healthz",
        "/metrics",
    }
    assert all("get" in methods and len(methods) == 1 for methods in described["paths"].values()), "it is read-only"
    status, answer = get(station, "/api/beds/bed-1/series")
    assert (status, answer["detail"]) == (503, "this station keeps no history")
    for path in ("/", "/signin"):
        status, page, _ = station.ask("GET", path, Cookie=station.sign_in("nurse Ada"))
        assert status == 200
        assert "<html" in page
        assert "//" not in page
    health = get(station, "/healthz")[1]
    assert health == {"status": "ok", "reason": None, "version": VERSION, "outages": [], "reasons": {}}
    metrics = station.ask("GET", "/metrics")[1]
    assert "vitalflow_station_mqtt_connections_total 1.0" in metrics
    assert "database_connected" not in metrics, "it has no database to connect to"
    assert get(station, "/api/ward", Host="evil.example")[0] == 421


def test_a_second_station_with_the_same_client_id_exits_while_the_first_runs(
    broker: BrokerServer, make_station: MakeStation
) -> None:
    first = make_station(broker.url, station_client_id="station-x")
    second = make_station(broker.url, wait=False, station_client_id="station-x")
    assert second.process is not None
    assert second.process.wait(20) == 2
    assert "a station with the client id 'station-x' is already running" in second.said()
    assert first.stop() == 0
    third = make_station(broker.url, station_client_id="station-x")
    assert third.process is not None
    assert third.process.poll() is None


def test_a_port_in_use_is_reported_in_one_sentence(broker: BrokerServer, make_station: MakeStation) -> None:
    first = make_station(broker.url)
    second = make_station(broker.url, wait=False, station_port=first.port)
    assert second.process is not None
    assert second.process.wait(20) == 2
    assert f"cannot listen on 127.0.0.1:{first.port}: Address already in use" in second.said()
    assert "Traceback" not in second.said()


def test_a_stopped_station_exits_within_4_s(broker: BrokerServer, db: Db, make_station: MakeStation) -> None:
    station = make_station(broker.url, reader_url=db.reader_url)
    eventually(lambda: get(station, "/healthz")[1]["outages"] == [], 10, "broker and database")
    asked = time.monotonic()
    assert station.stop() == 0
    assert time.monotonic() - asked < 4, "it waited the five seconds that are for what hangs"


def test_a_report_has_the_hours_of_a_day_of_the_ward_for_each_patient(
    broker: BrokerServer, db: Db, make_station: MakeStation, make_alert_client: MakePerson
) -> None:
    # New York is at UTC-5: the day begins at 05:00 UTC. The second patient comes at 07:30 UTC.
    midnight = datetime(2026, 3, 3, 5, tzinfo=UTC)
    with psycopg.connect(db.owner_url) as owner:
        owner.execute("INSERT INTO time_zone_setting (ward, time_zone) VALUES ('icu-1', 'America/New_York')")
        owner.execute(
            "INSERT INTO patient_vitals (time, device_id, boot, seq, patient_id, ward, heart_rate, resp_rate, status,"
            " received_at)"
            " SELECT %s + n * interval '1 minute', 'bed-1', 1, n, CASE WHEN n < 150 THEN 'p-1' ELSE 'p-2' END, 'icu-1',"
            " 60 + n %% 60, CASE WHEN n BETWEEN 60 AND 65 THEN 30 ELSE 16 END, 'NORMAL', now()"
            " FROM generate_series(-60, 239) AS n WHERE n NOT BETWEEN 10 AND 19",
            [midnight],
        )
    station, person = make_station(broker.url, reader_url=db.reader_url), make_alert_client(broker.port)
    person.measure("bed-1", heart_rate=70)
    eventually(lambda: get(station, "/api/beds/bed-1")[0] == 200, 10, "the station knows the bed and its ward")
    report = api_models.Report.model_validate(get(station, "/api/beds/bed-1/report?day=2026-03-03")[1])
    assert (report.time_zone, report.start, report.end) == (
        "America/New_York",
        midnight,
        midnight + timedelta(hours=24),
    )
    hours = [((hour.time - midnight) // timedelta(hours=1), hour.patient_id, hour.minutes) for hour in report.hours]
    assert hours == [(0, "p-1", 50), (1, "p-1", 60), (2, "p-1", 30), (2, "p-2", 30), (3, "p-2", 60)]
    second = report.hours[1]
    assert second.signs["heart_rate"] == api_models.Spread(avg=89.5, min=60, max=119)
    assert second.signs["spo2"] == api_models.Spread(avg=None, min=None, max=None)
    # Respiratory rate 30: 3 points; heart rate 60 to 65: none.
    assert [hour.news2 for hour in report.hours] == [2, 3, None, None, 2]
    assert get(station, "/api/beds/bed-1/report?day=2026-03-05")[1]["hours"] == []
    for day in ("2999-01-01", "0001-01-01", "x", ""):
        assert get(station, f"/api/beds/bed-1/report?day={day}")[0] == 422
    assert get(station, "/api/beds/%00/report?day=2026-03-05")[0] == 404
