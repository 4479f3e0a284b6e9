"""Logins as the broker's log shows them: refused ones, and users of which no reading arrives."""

from datetime import UTC, datetime, timedelta

import pytest

from mqtt.broker_log import (
    LOG_TOPICS,
    NO_LOGIN,
    BrokerEvent,
    Connected,
    ConnectionFailed,
    Ended,
    LoginRefused,
    NewConnection,
    Subscribed,
    parse_broker_log,
)
from mqtt.logins import MAX_REPORTED, Logins, decode_login_report, encode_login_report

NOTICE, SUBSCRIBE = LOG_TOPICS
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
MINUTE = timedelta(seconds=60)
LOGIN = "1795919739: New client connected from 10.0.0.7:40055 as bed-1.nqlp (p2, c1, k60, u'bed-1')."


@pytest.mark.parametrize(
    ("topic", "line", "expected"),
    [
        (NOTICE, LOGIN, Connected("bed-1.nqlp", "bed-1", "10.0.0.7", "MQTT 3.1.1")),
        (NOTICE, LOGIN.replace("p2", "p5"), Connected("bed-1.nqlp", "bed-1", "10.0.0.7", "MQTT 5")),
        (NOTICE, "1: Client my own disconnected, not authorised.", LoginRefused("my own")),
        (NOTICE, "1: Client bed-1.nqlp disconnected.", Ended("bed-1.nqlp", "")),
        (NOTICE, "1: Client bed-1.nqlp closed its connection.", Ended("bed-1.nqlp", "closed its connection")),
        (
            NOTICE,
            "1: Client bed-1.nqlp has exceeded timeout, disconnecting.",
            Ended("bed-1.nqlp", "has exceeded timeout, disconnecting"),
        ),
        (
            SUBSCRIBE,
            "1: bed-1.nqlp 1 vitalflow/limits/icu 1/bed-1",
            Subscribed("bed-1.nqlp", "vitalflow/limits/icu 1/bed-1"),
        ),
        (NOTICE, "1: New connection from 10.0.0.7:40055 on port 8883.", NewConnection("10.0.0.7")),
        (
            NOTICE,
            "1: Client connection from 10.0.0.7 failed: error:0A0000C1:SSL routines::no shared cipher.",
            ConnectionFailed("10.0.0.7", "no shared cipher"),
        ),
        (NOTICE, "1: Client <unknown> disconnected: Protocol error.", ConnectionFailed("", NO_LOGIN)),
        (NOTICE, "1: mosquitto version 2.0.21 running", None),
        (NOTICE, "", None),
    ],
)
def test_a_line_of_the_log_is_parsed(topic: str, line: str, expected: BrokerEvent | None) -> None:
    assert parse_broker_log(topic, line) == expected


def test_a_client_id_that_imitates_a_line_names_no_other_user() -> None:
    line = "1: New client connected from 10.0.0.7:4 as x (p5, c1, k60, u'bed-9'). (p5, c0, k60, u'bed-1')."
    event = parse_broker_log(NOTICE, line)
    assert isinstance(event, Connected)
    assert event.user == "bed-1"


def test_a_user_without_a_reading_is_reported_once_after_a_minute() -> None:
    logins = Logins()
    logins.take(NOTICE, LOGIN, NOW)
    assert logins.newly_without_readings(NOW + MINUTE / 2) == []
    (found,) = logins.newly_without_readings(NOW + MINUTE)
    assert (found.user, found.connected, logins.without_readings) == ("bed-1", True, 1)
    assert logins.newly_without_readings(NOW + 2 * MINUTE) == []
    logins.note_readings(["bed-1"])
    assert (logins.without_readings, logins.report().without_readings) == (0, [])


def test_reconnections_do_not_postpone_the_report() -> None:
    logins = Logins()
    for second in range(0, 60, 10):
        logins.take(NOTICE, LOGIN, NOW + timedelta(seconds=second))
        logins.take(NOTICE, "1: Client bed-1.nqlp disconnected.", NOW + timedelta(seconds=second + 1))
    (found,) = logins.newly_without_readings(NOW + MINUTE)
    assert (found.since, found.connected) == (NOW, False)


def test_no_user_is_reported_while_readings_wait_at_the_broker() -> None:
    logins = Logins()
    logins.take(NOTICE, LOGIN, NOW)
    logins.behind(NOW + MINUTE)
    assert logins.newly_without_readings(NOW + 1.9 * MINUTE) == []
    assert len(logins.newly_without_readings(NOW + 2 * MINUTE)) == 1


def test_a_user_that_subscribes_as_no_device_does_is_not_reported() -> None:
    logins = Logins()
    logins.take(NOTICE, LOGIN, NOW)
    logins.take(SUBSCRIBE, "1: bed-1.nqlp 1 vitalflow/receipts/icu-1/bed-1", NOW)
    assert len(logins.newly_without_readings(NOW + MINUTE)) == 1
    reader = LOGIN.replace("bed-1", "ada")
    logins.take(NOTICE, reader, NOW)
    logins.take(SUBSCRIBE, "1: ada.nqlp 1 vitalflow/alerts/icu-1/#", NOW)
    logins.take(NOTICE, reader, NOW)  # reconnects to its session, without another SUBSCRIBE
    assert logins.newly_without_readings(NOW + MINUTE) == []


def test_refused_logins_are_counted_by_client_id_and_logged_at_intervals() -> None:
    logins = Logins()
    line = "1: Client bed-2.abcd disconnected, not authorised."
    sentences = [logins.take(NOTICE, line, NOW + timedelta(seconds=second)) for second in range(300)]
    assert "'bed-2.abcd' (1 so far)" in (sentences[0] or "")
    assert sentences[1:] == [None] * 299
    assert "601" not in (logins.take(NOTICE, line, NOW + timedelta(minutes=11)) or "")
    (refused,) = logins.report().refused
    assert (logins.refused, refused.count) == (301, 301)


def test_failed_connections_are_counted_and_logged_with_address_and_advice_at_intervals() -> None:
    logins = Logins()
    line = "1: Client connection from 10.0.0.7 failed: error:0A00009C:SSL routines::http request."
    sentences = [logins.take(NOTICE, line, NOW + timedelta(seconds=second)) for second in range(300)]
    advice = "the client does not use TLS; it must connect with mqtts"
    assert sentences[0] == f"a connection from 10.0.0.7 failed (http request): {advice}"
    assert sentences[1:] == [None] * 299
    assert logins.take(NOTICE, line, NOW + timedelta(minutes=11)) == sentences[0]
    assert logins.failed == 301


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("wrong version number", "does not use TLS"),
        ("tlsv1 alert unknown ca", "does not trust the broker's certificate: give it ca.crt"),
        ("sslv3 alert certificate unknown", "does not trust the broker's certificate"),
        ("unsupported protocol", "needs TLS 1.2 or later"),
        ("peer did not return a certificate", "this port requires a device certificate"),
        ("certificate verify failed", "expired, revoked or of another CA"),
        ("something that OpenSSL adds", "see docs/identity.md"),
    ],
)
def test_each_reason_of_a_failed_connection_has_advice(reason: str, advice: str) -> None:
    line = f"1: Client connection from 10.0.0.8 failed: error:0A000418:SSL routines::{reason}."
    sentence = Logins().take(NOTICE, line, NOW) or ""
    assert sentence.startswith(f"a connection from 10.0.0.8 failed ({reason}): ")
    assert advice in sentence


def test_a_failed_connection_of_an_unknown_address_names_the_newest_one() -> None:
    logins = Logins()
    logins.take(NOTICE, "1: New connection from 10.0.0.8:40055 on port 8883.", NOW)
    sentence = logins.take(NOTICE, "1: Client <unknown> disconnected: Protocol error.", NOW) or ""
    assert sentence.startswith(
        "a connection failed (protocol error before the login); the newest one was from 10.0.0.8: "
    )
    assert "does not trust the broker's certificate" in sentence


def test_failed_connections_from_many_addresses_use_bounded_memory() -> None:
    logins = Logins()
    for number in range(10 * MAX_REPORTED):
        logins.take(NOTICE, f"1: Client connection from 10.0.{number}.7 failed: error:1:SSL::no shared cipher.", NOW)
    assert len(logins._failed_at) <= MAX_REPORTED


def test_invented_client_ids_use_bounded_memory() -> None:
    logins = Logins()
    for number in range(10 * MAX_REPORTED):
        logins.take(NOTICE, f"1: Client {'x' * 5000}{number} disconnected, not authorised.", NOW)
        logins.take(NOTICE, f"1: Client y{number} disconnected, not authorised.", NOW)
    report = logins.report()
    assert len(report.refused) == MAX_REPORTED
    assert len(encode_login_report(report)) < 64 * 1024


def test_a_new_process_continues_with_the_report_of_the_last_one() -> None:
    before, after = Logins(), Logins()
    before.take(NOTICE, LOGIN, NOW)
    before.newly_without_readings(NOW + MINUTE)
    report = decode_login_report(encode_login_report(before.report()))
    assert report is not None
    after.restore(report)
    assert after.newly_without_readings(NOW + 2 * MINUTE) == []
    assert after.without_readings == 1
    assert decode_login_report(b"") is None
