"""What sends HL7: written reports are read as the same values, files are sent whole, simulated beds keep their pace."""

import asyncio
import tomllib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from devices.scenario import Scenario
from edges.config.site import Site, read_site
from edges.hl7.acks import Error, Outcome, acknowledge
from edges.hl7.client import Receiver
from edges.hl7.commands import app
from edges.hl7.er7 import parse_message
from edges.hl7.listener import Peer, serve
from edges.hl7.oru import read_report
from edges.hl7.pcd01 import write_report
from edges.hl7.sender import send_files
from edges.hl7.simulate import SimulationStats, simulate, simulated_beds, site_file
from edges.hl7.write import Origin
from edges.listener.access import Access
from edges.observations.observed import Reason
from tests.support.factories import NOW
from vitals.errors import PermanentError
from vitals.reading import reading
from vitals.signs import BY_KEY, SIGNS

ORIGIN = Origin("SIM", "ICU", "01", "HOSP")
MESSAGE = b"MSH|^~\\&|A|B|||20261129120000+0000||ORU^R01|%d|P|2.6\r"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    path = tmp_path_factory.mktemp("site") / "site.toml"
    path.write_text(
        'zone = "UTC"\n[patients]\nauthority = ["HOSP"]\n'
        '[[place]]\nunit = "ICU"\nbed = "01"\nward = "icu-1"\ndevice = "bed-01"\n'
    )
    return read_site(path)


def values(draw: st.DrawFn) -> dict[str, float]:
    keys = draw(st.lists(st.sampled_from([sign.key for sign in SIGNS]), unique=True))
    return {
        key: round(draw(st.floats(BY_KEY[key].low + 2, BY_KEY[key].high)), BY_KEY[key].decimals or None) for key in keys
    }


@given(st.data())
def test_a_written_report_is_read_as_the_same_values(site: Site, data: st.DataObject) -> None:
    measured = data.draw(st.composite(values)())
    assume(measured.get("diastolic_bp", 0) < measured.get("systolic_bp", 1000))  # else a contradiction
    patient = data.draw(st.none() | st.text("pP-|^~\\&01", min_size=1, max_size=20))
    sent = reading(NOW, measured, patient_id=patient)
    message = parse_message(write_report(sent, ORIGIN, "id|1", NOW + timedelta(milliseconds=7)))
    report = read_report(message, site, NOW)
    assert (message.header.text(10), report.outcome, report.error) == ("id|1", Outcome.ACCEPT, None)
    assert {verdict.reason for verdict in report.verdicts} <= {Reason.USED, Reason.HEADER}
    read = [(item.ward, item.device, item.reading.time, item.reading.values) for item in report.readings]
    assert read == ([("icu-1", "bed-01", NOW, sent.values)] if measured else [])
    assert all(item.reading.patient_id == patient for item in report.readings)


def test_a_sign_whose_sensor_is_off_is_sent_without_a_value() -> None:
    content = write_report(reading(NOW, {"heart_rate": 70.0}, sensor_off=("spo2",)), ORIGIN, "1", NOW)
    spo2 = parse_message(content).segments[-1]
    assert (spo2.text(3), spo2.text(5), spo2.text(11)) == ("150456", "", "X")


class Receipts:
    """A receiver that rejects the control ids in `rejected`."""

    def __init__(self, *rejected: str) -> None:
        self.messages: list[bytes] = []
        self._rejected = rejected

    async def handle(self, content: bytes, peer: Peer) -> Sequence[bytes]:
        self.messages.append(content)
        message = parse_message(content)
        if message.header.text(10) in self._rejected:
            return acknowledge(message, Outcome.REJECT, Error(200, "not read"), NOW)
        return acknowledge(message, Outcome.ACCEPT, None, NOW)


def test_the_messages_of_files_are_sent_in_order_and_rejected_ones_are_shown(tmp_path: Path) -> None:
    one, batch = tmp_path / "one.hl7", tmp_path / "batch.hl7"
    one.write_bytes(MESSAGE % 1)
    batch.write_bytes(b"FHS|^~\\&\r" + MESSAGE % 2 + MESSAGE % 3 + b"FTS|1\r")
    receiver, lines = Receipts("2"), list[str]()

    async def story() -> None:
        async with asyncio.timeout(30), serve("127.0.0.1", 0, receiver.handle, Access()) as listener:
            assert await send_files([one, batch], Receiver("127.0.0.1", listener.port), lines.append) == 1

    asyncio.run(story())
    assert [parse_message(content).header.text(10) for content in receiver.messages] == ["1", "2", "3"]
    assert lines == [
        f"{one}, control id '1': AA",
        f"{batch}, control id '2': AR, not read",
        f"{batch}, control id '3': AA",
    ]


@pytest.mark.parametrize("content", [None, b"", b"PID|1\r"])
def test_nothing_is_sent_if_a_file_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    good, bad = tmp_path / "good.hl7", tmp_path / "bad.hl7"
    good.write_bytes(MESSAGE % 1)
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(PermanentError, match=r"bad\.hl7"):
        asyncio.run(send_files([good, bad], Receiver("127.0.0.1", 1), print))


def test_simulated_beds_send_reports_that_their_site_file_places(tmp_path: Path) -> None:
    sources = simulated_beds(3, "icu-1", scenario=Scenario.STABLE, interval_s=0.02)
    path = tmp_path / "site.toml"
    path.write_text(site_file(sources))
    site = read_site(path)
    receiver, stats = Receipts(), SimulationStats()

    async def story() -> None:
        async with asyncio.timeout(30), serve("127.0.0.1", 0, receiver.handle, Access()) as listener:
            to = Receiver("127.0.0.1", listener.port)
            running = asyncio.create_task(simulate(sources, to, stats, print, None))
            while stats.answers["AA"] < 30:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            running.cancel()

    asyncio.run(story())
    reports = [read_report(parse_message(content), site, NOW + timedelta(days=3650)) for content in receiver.messages]
    assert {item.device for report in reports for item in report.readings} == {source.device for source in sources}
    assert not [item.problem for report in reports for item in report.readings if item.problem]
    assert {item.reading.patient_id for report in reports for item in report.readings} == {
        "p-hl7-0001",
        "p-hl7-0002",
        "p-hl7-0003",
    }
    assert all(verdict.reason in (Reason.USED, Reason.HEADER) for report in reports for verdict in report.verdicts)
    assert len({parse_message(content).header.text(10) for content in receiver.messages}) == len(receiver.messages)
    assert len(tomllib.loads(path.read_text())["place"]) == 3


def test_the_printed_site_file_of_the_command_is_valid(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["simulate", "--beds", "2", "--ward", "icu-2", "--print-site"])
    path = tmp_path / "site.toml"
    path.write_text(printed.output)
    assert [place.device for place in read_site(path).place] == ["icu-2-hl7-01", "icu-2-hl7-02"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--to", "here"], "expected HOST:PORT"),
        (["--to", "127.0.0.1:1", "--certificate", "a.crt"], "--ca, --certificate and --key go together"),
        (["--to", "127.0.0.1:1", "--certificate", "a.crt", "--key", "a.key"], "--ca, --certificate and --key"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: list[str], problem: str) -> None:
    file = tmp_path / "one.hl7"
    file.write_bytes(MESSAGE % 1)
    ended = CliRunner().invoke(app, ["send", str(file), *options])
    assert ended.exit_code == 2
    assert problem in ended.output
