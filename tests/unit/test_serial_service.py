"""What becomes of measurements: the entries of the inbox, one a second, and the command that shows a file."""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from edges.__main__ import app
from edges.config.serial_table import SerialPort
from edges.config.site import Site
from edges.inbox.inbox import Inbox
from edges.serial.intake import Intake, entry_of
from edges.serial.measurement import Measurement, measured, off
from edges.serial.placing import Sampler
from edges.service.metrics import Metrics
from vitals.reading import Reading

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
SITE = """
zone = "Europe/Berlin"
[[serial]]
port = "/dev/serial/by-id/usb-a"
decoder = "masimo"
ward = "icu-1"
device = "rad8-1"
clock = "device"
[[serial]]
port = "/dev/serial/by-id/usb-b"
decoder = "lines"
ward = "icu-1"
device = "sketch-1"
labels = { "Skin" = "temperature" }
"""


def table(**more: object) -> SerialPort:
    content = {"port": "/dev/x", "decoder": "masimo", "ward": "icu-1", "device": "bed-1", **more}
    return SerialPort.model_validate(content)


def rate(value: float) -> Measurement:
    return measured({"heart_rate": value, "spo2": 97.0})


def test_one_measurement_a_second_is_taken_the_newest() -> None:
    sampler = Sampler()
    assert sampler.choose([rate(70), rate(71), rate(72)], 100.0) == [rate(72)]
    assert sampler.choose([rate(73)], 100.4) == []
    assert sampler.choose([rate(74)], 100.95) == [rate(74)], "a device that sends once a second is early sometimes"


def test_signs_that_a_device_states_one_by_one_do_not_keep_each_other_away() -> None:
    sampler = Sampler()
    heart, oxygen = measured({"heart_rate": 70.0}), measured({"spo2": 97.0})
    assert [len(sampler.choose([item], 0.5 * number)) for number, item in enumerate([heart, oxygen] * 4)] == [1] * 8
    assert sampler.choose([heart, oxygen], 10.0) == [heart, oxygen]


def test_a_packet_without_a_value_does_not_keep_away_the_value_after_it() -> None:
    sampler = Sampler()
    none = measured({"heart_rate": None, "spo2": None})
    chosen = [sampler.choose([item], number / 3) for number, item in enumerate([none, rate(70), none, none, rate(71)])]
    assert chosen == [[none], [rate(70)], [], [none], [rate(71)]]


def test_an_entry_has_the_time_of_receipt_and_counts_what_has_no_value() -> None:
    entry = entry_of([rate(70), measured({"heart_rate": None}), off()], table(interval_s=1), AT, ZoneInfo("UTC"))
    assert entry.key is None
    assert [(item.reading.time, item.reading.sensor_off, item.device) for item in entry.readings] == [
        (AT, (), "bed-1"),
        (AT, ("heart_rate", "spo2"), "bed-1"),
    ]
    assert [(item.code, item.reason) for item in entry.unused] == [
        ("heart_rate", "no_value"),
        ("heart_rate", "no_value"),
        ("spo2", "no_value"),
    ]
    assert entry.interval_s == 1


def test_the_clock_of_a_device_is_in_the_zone_of_the_site() -> None:
    measurement = measured({"heart_rate": 70.0}, datetime(2026, 7, 4, 12))  # noqa: DTZ001  it knows no zone
    [placed] = entry_of([measurement], table(clock="device"), AT, ZoneInfo("Europe/Berlin")).readings
    assert placed.reading.time == datetime(2026, 7, 4, 10, tzinfo=UTC)


def test_measurements_wait_while_the_inbox_cannot_be_written(tmp_path: Path) -> None:
    kept: list[Reading] = []

    async def run() -> None:
        inbox = Inbox(tmp_path / "inbox.db", 1000, lambda line: None)
        inbox.begin(Site(zone="UTC"), time.time())
        inbox.on_kept = lambda bed, reading: kept.append(reading)
        inbox.start()
        intake = Intake(table(), ZoneInfo("UTC"), inbox, Metrics())
        running = asyncio.create_task(intake.run())
        database = inbox._database
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(400):
            intake.put([rate(60 + number % 100)])
        async with asyncio.timeout(30):
            while not inbox.problem:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        database.execute("PRAGMA max_page_count = 100000")
        async with asyncio.timeout(30):
            while len(kept) < 400:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        intake.stop()
        await running
        await inbox.close()
        assert intake.dropped == 0

    asyncio.run(run())
    assert [reading.seq for reading in kept] == list(range(1, 401))


def run_try(folder: Path, content: bytes, *options: str) -> tuple[int, dict[str, Any]]:
    (folder / "site.toml").write_text(SITE)
    (folder / "capture").write_bytes(content)
    arguments = ["serial", "try", str(folder / "capture"), "--site", str(folder / "site.toml"), "--json", *options]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, json.loads(result.stdout) if result.stdout.startswith("{") else {}


def test_try_shows_each_measurement_with_its_device_and_what_is_not_used(tmp_path: Path) -> None:
    line = "07/04/26 12:00:0{} SN=0000000001 SPO2={}% BPM=066 PI=01.00% ALARM=0000 EXC=00080{}\r\n"
    lines = [line.format(1, "093", 0), line.format(2, "093", 0), line.format(3, "---", 8)]
    code, shown = run_try(tmp_path, "".join(lines).encode(), "--decoder", "masimo")
    assert code == 0
    first, _, third = shown["messages"]
    [reading] = first["readings"]
    assert (reading["ward"], reading["device"]) == ("icu-1", "rad8-1")
    assert reading["reading"] == {"time": "2026-07-04T10:00:01Z", "heart_rate": 66.0, "spo2": 93.0}
    assert (first["device_time"], first["times"]) == ("2026-07-04T12:00:01", 1)
    assert third["readings"] == third["without_device"] == []
    assert [(item["code"], item["reason"], item["detail"]) for item in third["not_used"]] == [
        ("heart_rate", "no_value", "it searches the pulse"),
        ("spo2", "no_value", "it searches the pulse"),
    ]


def test_try_joins_equal_neighbours_and_uses_the_labels_of_the_port(tmp_path: Path) -> None:
    content = b"HR:64,SpO2:95,Skin:36.1\r\n" * 3
    code, shown = run_try(tmp_path, content, "--port", "/dev/serial/by-id/usb-b")
    [message] = shown["messages"]
    assert (code, message["times"], shown["measurements"]) == (0, 3, 3)
    assert message["readings"][0]["reading"]["temperature"] == 36.1


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (b"HR:64\r\n", ["--decoder", "cms50"], 2),
        (b"gateway login: ", ["--decoder", "lines"], 2),
        (b"HR:64\r\n", ["--decoder", "none"], 2),
        (b"HR:64\r\n", [], 2),
        (b"{}\r\n", ["--decoder", "json"], 2),
        (b"", ["--decoder", "lines"], 2),
        (b"HR:64\r\n", ["--decoder", "lines"], 0),
        (b'{"hr":64}\r\n', ["--decoder", "json"], 0),
    ],
)
def test_try_fails_with_a_sentence_where_nothing_is_found(
    tmp_path: Path, content: bytes, options: list[str], expected: int
) -> None:
    code, _ = run_try(tmp_path, content, *options)
    assert code == expected


def test_readings_without_a_port_in_the_site_have_no_device(tmp_path: Path) -> None:
    _, shown = run_try(tmp_path, b'{"hr":64}\r\n', "--decoder", "json")
    [message] = shown["messages"]
    assert message["readings"] == []
    assert message["without_device"][0]["problem"].startswith("no port of the site has the decoder json")
    _, shown = run_try(tmp_path, b'{"hr":64}\r\n', "--decoder", "json", "--ward", "w", "--device", "d")
    assert shown["messages"][0]["readings"][0]["device"] == "d"


def test_the_site_counts_ports_and_refuses_one_that_is_there_twice(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(SITE)
    assert "2 serial ports" in CliRunner().invoke(app, ["check", str(site)]).stdout
    for old, new in (("usb-b", "usb-a"), ("sketch-1", "rad8-1")):
        site.write_text(SITE.replace(old, new))
        assert CliRunner().invoke(app, ["check", str(site)]).exit_code == 2
