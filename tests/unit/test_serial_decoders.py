"""Decoders of serial ports: what devices send, and every byte of it lost, doubled or flipped."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from edges.config.serial_table import SerialPort
from edges.serial import masimo, nellcor, nonin
from edges.serial.decoders import make_decoder
from edges.serial.measurement import Measurement
from edges.serial.simulate import second_of
from vitals.sample import Sample

AT = datetime(2026, 3, 4, 5, 6, 58, tzinfo=UTC)
BOTH = ("heart_rate", "spo2")
NAMES = ["masimo", "nellcor", "nellcor-n200", "nonin-text", "nonin-1", "nonin-2", "nonin-7", "cms50", "lines", "json"]
WITH_SUM = ["nonin-2", "nonin-7"]
OF_FIXED_WIDTH = ["masimo", "nellcor-n200", "nonin-text", *WITH_SUM]


def table(decoder: str) -> SerialPort:
    return SerialPort.model_validate({"port": "/dev/x", "decoder": decoder, "ward": "w", "device": "d"})


def decode(decoder: str, data: bytes, size: int = 100_000) -> list[Measurement]:
    made = make_decoder(table(decoder), from_start=True)
    found = [item for at in range(0, len(data), size) for item in made.feed(data[at : at + size])]
    return [*found, *made.flush()]


def sent(decoder: str, samples: Iterable[Sample]) -> list[bytes]:
    """What a device sends second by second; the Nellcor skips odd seconds."""
    return [
        second_of(sample, decoder, AT + timedelta(seconds=2 * number if decoder == "nellcor" else number))
        for number, sample in enumerate(samples)
    ]


def pairs(found: Iterable[Measurement]) -> set[tuple[float | None, float | None]]:
    return {(item.values.get("heart_rate"), item.values.get("spo2")) for item in found if item.values}


@pytest.mark.parametrize("decoder", NAMES)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_what_a_device_sends_is_decoded_however_it_is_divided(decoder: str, size: int) -> None:
    samples = [
        Sample({"heart_rate": 64.0, "spo2": 99.0}),
        Sample({"heart_rate": 141.0, "spo2": 83.0}),
        Sample({}, BOTH),
        Sample({}),
        Sample({"heart_rate": 203.0, "spo2": 91.0}),
    ]
    found = decode(decoder, b"".join(sent(decoder, samples)), size)
    distinct = [
        (dict(item.values), item.sensor_off)
        for place, item in enumerate(found)
        if place == 0 or item != found[place - 1]
    ]
    off = () if decoder in ("nellcor-n200", "nonin-text") else BOTH  # they have no word for it
    expected: list[tuple[dict[str, float], tuple[str, ...]]] = [
        ({"heart_rate": 64, "spo2": 99}, ()),
        ({"heart_rate": 141, "spo2": 83}, ()),
        ({}, off),
        ({}, ()),
        ({"heart_rate": 203, "spo2": 91}, ()),
    ]
    if not off:
        del expected[3]
    assert distinct == expected


@pytest.mark.parametrize("decoder", NAMES)
def test_a_byte_that_is_lost_costs_one_packet_and_the_next_are_decoded(decoder: str) -> None:
    samples = [Sample({"heart_rate": 60.0 + number, "spo2": 90.0 + number}) for number in range(6)]
    seconds = sent(decoder, samples)
    data, begin = b"".join(seconds), len(seconds[0])
    last = {(60.0 + number, 90.0 + number) for number in range(3, 6)}
    packet = len(seconds[1]) // 3 if decoder in WITH_SUM else 0
    for at in range(begin, begin + (packet or len(seconds[1]))):
        found = pairs(decode(decoder, data[:at] + data[at + 1 :]))
        assert last <= found, at
        if packet:
            assert (61.0, 91.0) in found, "two of three packets of the second are whole"


@pytest.mark.parametrize("decoder", OF_FIXED_WIDTH)
def test_no_byte_that_is_lost_or_doubled_makes_a_wrong_value(decoder: str) -> None:
    seconds = sent(decoder, [Sample({"heart_rate": 100.0 + 11 * number, "spo2": 88.0 + number}) for number in range(4)])
    data = b"".join(seconds)
    right = pairs(decode(decoder, data))
    assert len(right) == 4
    for at in range(len(data)):
        assert pairs(decode(decoder, data[:at] + data[at + 1 :])) <= right, at
        assert pairs(decode(decoder, data[: at + 1] + data[at:])) <= right, at


@pytest.mark.parametrize("damage", ["lost", "doubled", "digit"])
def test_the_first_line_of_nellcor_counts_after_a_second_one_that_agrees(damage: str) -> None:
    seconds = sent(
        "nellcor", [Sample({"heart_rate": 100.0 + 11 * number, "spo2": 88.0 + number}) for number in range(4)]
    )
    data = b"".join(seconds)
    right = pairs(decode("nellcor", data))
    assert len(right) == 4
    for at in range(len(seconds[0])):
        rest = {"lost": data[at + 1 :], "doubled": data[at:], "digit": b"1" + data[at:]}[damage]
        assert pairs(decode("nellcor", data[: at + (damage == "doubled")] + rest)) <= right, at
    live = make_decoder(table("nellcor"))
    assert live.feed(b"noise\r\n" + seconds[0]) + live.flush() == []
    assert pairs(decode("nellcor", seconds[0])) == {(100, 88)}, "a file may have one line"


@pytest.mark.parametrize("decoder", ["nellcor", "nonin-1", "cms50"])
def test_no_byte_that_is_doubled_makes_a_wrong_value(decoder: str) -> None:
    seconds = sent(decoder, [Sample({"heart_rate": 100.0 + 11 * number, "spo2": 88.0 + number}) for number in range(4)])
    data = b"".join(seconds)
    right = pairs(decode(decoder, data))
    begin = len(seconds[0])  # columns are compared with those of the line before
    for at in range(begin, len(data)):
        assert pairs(decode(decoder, data[: at + 1] + data[at:])) <= right, at


@pytest.mark.parametrize("decoder", WITH_SUM)
def test_no_bit_that_flips_makes_a_wrong_value_where_there_is_a_sum(decoder: str) -> None:
    seconds = sent(decoder, [Sample({"heart_rate": 100.0 + 57 * number, "spo2": 88.0 + number}) for number in range(3)])
    data = b"".join(seconds)
    right = pairs(decode(decoder, data))
    middle = len(seconds[0])
    for at in range(middle, middle + len(seconds[1]) // 3):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            assert pairs(decode(decoder, bytes(damaged))) == right, (at, bit)


def test_a_frame_that_is_there_twice_does_not_shift_the_fields_of_a_packet() -> None:
    data = b"".join(sent("nonin-2", [Sample({"heart_rate": 72.0, "spo2": 97.0})] * 2))
    for at in range(0, 125, 5):
        assert pairs(decode("nonin-2", data[: at + 5] + data[at:])) == {(72.0, 97.0)}


def test_the_rate_of_nonin_above_127_has_two_bits_of_the_first_field() -> None:
    [measurement] = {
        str(item): item for item in decode("nonin-2", sent("nonin-2", [Sample({"heart_rate": 259.0, "spo2": 95.0})])[0])
    }.values()
    assert measurement.values == {"heart_rate": 259, "spo2": 95}


@pytest.mark.parametrize(
    ("exceptions", "values", "off"),
    [
        ("000800", {"heart_rate": 66, "spo2": 93}, ()),
        ("000804", {"heart_rate": 66, "spo2": 93}, ()),
        ("000801", {}, BOTH),
        ("820:OffPat,SET", {}, BOTH),
        ("000802", {}, ()),
        ("000808", {}, ()),
        ("000880", {}, ()),
    ],
)
def test_the_exceptions_of_masimo_decide_what_its_numbers_mean(
    exceptions: str, values: dict[str, float], off: tuple[str, ...]
) -> None:
    line = f"03/04/26 05:06:07 SN=0000000001 SPO2=093% BPM=066 PI=00.40% ALARM=0010 EXC={exceptions}\r\n"
    [found] = masimo.decoder(from_start=True).feed(line.encode())
    assert (found.values, found.sensor_off, found.clock) == (values, off, datetime(2026, 3, 4, 5, 6, 7))  # noqa: DTZ001


def test_a_status_of_nellcor_that_is_unknown_damages_its_line() -> None:
    decoder = nellcor.decoder(from_start=True)
    good = b"04-Mar-26 05:06:08   93      66      50    PS LP\r\n04-Mar-26 05:06:10   94      67*     50    PH\r\n"
    assert [item.values for item in decoder.feed(good)] == [{}, {"heart_rate": 67, "spo2": 94}]
    assert decoder.feed(b"04-Mar-26 05:06:12   94      67      50    XX\r\n") == []
    assert decoder.damaged == 1


def test_the_first_line_of_a_port_and_a_line_without_an_end_are_not_used() -> None:
    decoder = nonin.text_decoder()
    assert decoder.feed(b"05:06:07 SPO2=097 HR=071\r\n") == []
    assert decoder.feed(b"x" * 10_000_000) == []
    assert [item.values for item in decoder.feed(b"\n05:06:09 SPO2=096 HR=072*B\r\n")] == [
        {"heart_rate": 72, "spo2": 96}
    ]
    assert decoder.noise > 10_000_000


@pytest.mark.parametrize("flag", [0x20, 0x10, 0x08])
def test_a_packet_with_an_artifact_or_out_of_track_in_one_frame_has_no_value(flag: int) -> None:
    data = bytearray(sent("nonin-2", [Sample({"heart_rate": 72.0, "spo2": 97.0})])[0][:125])
    for at in (61, 64):
        data[at] = (data[at] + flag) & 0xFF
    [found] = decode("nonin-2", bytes(data))
    assert (found.values, found.sensor_off) == ({}, ())


def test_a_value_that_no_sensor_measures_is_not_used() -> None:
    [found] = decode("nonin-1", bytes((0x83, 0x70, 110)))
    assert {item.sign: item.reason.value for item in found.unmeasured} == {
        "heart_rate": "implausible",
        "spo2": "implausible",
    }


def test_of_two_oximeters_on_one_line_the_first_one_counts_until_the_other_sends_alone() -> None:
    first, second = (
        sent("masimo", [Sample({"heart_rate": rate, "spo2": 97.0}) for _ in range(6)]) for rate in (60.0, 140.0)
    )
    second = [line.replace(b"SN=0000012345", b"SN=0000099901") for line in second]
    in_turn = b"".join(line for both in zip(first, second, strict=True) for line in both)
    made = masimo.decoder(from_start=True)
    assert pairs(made.feed(in_turn)) == {(60, 97)}
    assert made.damaged == 6
    assert len(made.feed(b"".join(second))) == 5, "the last one of before, and one more, were not used"
    assert pairs(made.feed(in_turn)) == {(140, 97)}
