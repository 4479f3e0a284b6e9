"""HL7 v2: the ER7 encoding, times and acknowledgements. The messages are our own."""

import contextlib
import time
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edges.hl7.acks import Error, Outcome, acknowledge
from edges.hl7.er7 import InvalidMessage, Separators, component_of, parse_message, split_batch
from edges.hl7.times import parse_offset, parse_time
from vitals.local_time import InvalidTime

NOW = datetime(2026, 11, 29, 9, 0, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def message(
    *,
    control_id: str = "N-1",
    accept: str = "",
    application: str = "",
    charset: str = "",
    kind: str = "ORU^R01^ORU_R01",
) -> bytes:
    header = f"MSH|^~\\&|MON|W1|VF|H|20261129095900+0100||{kind}|{control_id}|P|2.6|||{accept}|{application}||{charset}"
    return f"{header}\rPID|||77^^^HOSP^MR~88^^^X\rOBX|1|NM|147842^MDC_ECG_HEART_RATE^MDC||71\r".encode()


def test_fields_repetitions_components_and_subcomponents_have_the_numbers_of_hl7() -> None:
    _, pid, obx = parse_message(message()).segments
    assert [component_of(text, pid.separators, 1) for text in pid.repetitions(3)] == ["77", "88"]
    assert (obx.text(3, 2), obx.text(5), obx.text(40), obx.text(3, 9)) == ("MDC_ECG_HEART_RATE", "71", "", "")
    nested = parse_message(b"MSH|^~\\&|A\rPV1||I|^^Ward 2&B7&0\r").segments[1]
    assert (nested.text(3, 3, 1), nested.text(3, 3, 2)) == ("Ward 2", "B7")


def test_separators_are_those_of_the_header() -> None:
    parsed = parse_message(b"MSH#$%*@#MON#W1\rPV1##I#A*S*1$$B@C*F*\r")
    assert parsed.header.text(3) == "MON"
    assert (parsed.segments[1].text(3), parsed.segments[1].text(3, 3, 2)) == ("A$1", "C#")


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\r\r"])
def test_every_line_end_ends_a_segment(end: bytes) -> None:
    content = b"\x0b" + message().replace(b"\r", end) + b"\x1c\r"
    assert [segment.name for segment in parse_message(content).segments] == ["MSH", "PID", "OBX"]


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("", "utf-8"),
        ("UNICODE UTF-8", "utf-8"),
        ("8859/1", "iso8859-1"),
        ("8859/15", "iso8859-15"),
        ("8859/2", "iso8859-2"),
    ],
)
def test_text_is_decoded_by_msh_18(charset: str, codec: str) -> None:
    parsed = parse_message(message(charset=charset) + "ZZZ|Müller\r".encode(codec))
    assert (parsed.segments[3].text(1), parsed.unfit) == ("Müller", 0)


def test_a_trailing_byte_of_gb_18030_that_looks_like_a_separator_does_not_split() -> None:
    name = "丂丄亅"
    content = message(charset="GB 18030-2000") + f"ZZZ|{name}^2\r".encode("gb18030")
    assert parse_message(content).segments[3].text(1) == name


def test_bytes_outside_the_character_set_are_counted_and_cannot_be_printed() -> None:
    parsed = parse_message(message(charset="UNICODE UTF-8") + b"ZZZ|a\xff\xfeb\r")
    assert parsed.unfit == 2
    assert not parsed.segments[3].text(1).isprintable()


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", 100, "not with MSH"),
        (b"{}", 100, "not with MSH"),
        (b"MSH", 101, "separators"),
        (b"MSH|^^^^|A", 101, "different separators"),
        (b"MSH|abcd|A", 101, "cannot separate"),
        (message() + message(), 100, "second MSH"),
        (message() + b"DSC|1\r", 207, "continue"),
    ],
)
def test_bytes_that_are_no_message_are_refused_with_a_code_and_a_sentence(
    content: bytes, code: int, words: str
) -> None:
    with pytest.raises(InvalidMessage, match=words) as refused:
        parse_message(content)
    assert refused.value.code == code


def test_a_batch_is_split_into_its_messages() -> None:
    first, second = message(control_id="1"), message(control_id="2")
    batch = b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + first + second + b"BTS|2\rFTS|1\r"
    assert split_batch(batch) == [first.strip(), second.strip()]
    assert split_batch(first) == [first.strip()]
    with pytest.raises(InvalidMessage, match="holds 2 messages, but its BTS-1 states '3'"):
        split_batch(batch.replace(b"BTS|2", b"BTS|3"))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escaped_text_is_one_subcomponent_and_comes_back(text: str) -> None:
    for separators in (Separators(), Separators("#", "$", "%", "*", "@")):
        escaped = separators.escape_text(text)
        assert not set(escaped) & set(separators.field + separators.component + separators.subcomponent + "\r\n")
        assert separators.unescape(escaped) == text


@given(st.binary(max_size=200))
def test_hostile_bytes_raise_nothing_but_the_error_of_the_module(content: bytes) -> None:
    for hostile in (
        content,
        b"MSH" + content,
        message(charset="ISO IR87") + content,
        b"FHS" + content,
        b"FHS|\rMSH" + content,
    ):
        with contextlib.suppress(InvalidMessage):
            for part in split_batch(hostile):
                parsed = parse_message(part)
                for segment in parsed.segments:
                    for field in range(len(segment.fields) + 1):
                        segment.text(field, 2, 2)
                        segment.repetitions(field)
                acknowledge(parsed, Outcome.REJECT, Error(207, "text"), NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("202611291015", "09:15:00"),
        ("20261129101502", "09:15:02"),
        ("20261129101502.25", "09:15:02.250000"),
        ("20261129101502.1106+0530", "04:45:02.110600"),
        ("20261129101502345+0800", "02:15:02.345000"),
        ("20261129101502-0700", "17:15:02"),
    ],
)
def test_a_time_is_read_with_its_offset_or_the_zone(text: str, expected: str) -> None:
    assert parse_time(text, BERLIN).isoformat() == f"2026-11-29T{expected}+00:00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00000000",
        "20261129",
        "2026112910",
        "20261329101500",
        "20261129101500+9900",
        "00010101000000+1400",
        "٢٠٢٦11291015",
    ],
)
def test_a_text_that_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidTime):
        parse_time(text, BERLIN)


def test_an_hour_of_the_change_of_summer_time_is_the_one_nearer_to_the_receipt() -> None:
    """The missing one is of a monitor whose clock was not put forward: its values would be lost for an hour."""
    repeated, missing = "20261025023000", "20260329023000"
    for text, month, day in (repeated, 10, 25), (missing, 3, 29):
        for hour in 0, 1:
            moment = datetime(2026, month, day, hour, 30, tzinfo=UTC)
            assert parse_time(text, BERLIN, near=moment + timedelta(seconds=5)) == moment
    with pytest.raises(InvalidTime, match="exists twice"):
        parse_time(repeated, BERLIN)
    with pytest.raises(InvalidTime, match="does not exist"):
        parse_time(missing, BERLIN)


@given(st.text(max_size=40))
def test_hostile_times_raise_nothing_but_the_error_of_the_module(text: str) -> None:
    parse_offset(text)
    with contextlib.suppress(InvalidTime):
        assert parse_time(text, BERLIN).tzinfo is UTC


def test_the_offset_of_a_time_serves_for_the_others_of_its_message() -> None:
    assert parse_offset("20261129101500-0700") == timezone(timedelta(hours=-7))
    assert parse_offset("20261129101500") is None


@pytest.mark.parametrize(
    ("accept", "application", "outcome", "codes"),
    [
        ("", "", Outcome.ACCEPT, ["AA"]),
        ("", "", Outcome.REJECT, ["AR"]),
        ("AL", "NE", Outcome.ACCEPT, ["CA"]),
        ("NE", "AL", Outcome.ERROR, ["AE"]),
        ("AL", "AL", Outcome.ACCEPT, ["CA", "AA"]),
        ("ER", "SU", Outcome.ACCEPT, ["AA"]),
        ("ER", "SU", Outcome.ERROR, ["CE"]),
        ("NE", "NE", Outcome.ACCEPT, []),
    ],
)
def test_the_header_decides_which_acknowledgements_are_sent(
    accept: str, application: str, outcome: Outcome, codes: list[str]
) -> None:
    answers = acknowledge(parse_message(message(accept=accept, application=application)), outcome, None, NOW)
    assert [parse_message(answer).segments[1].text(1) for answer in answers] == codes


def test_an_acknowledgement_returns_the_control_id_byte_for_byte_and_swaps_the_addresses() -> None:
    content = message(control_id="x", charset="UNICODE UTF-8").replace(b"|x|", b"| \xff\\S\\7 |")
    (answer,) = acknowledge(parse_message(content), Outcome.REJECT, Error(200, "not a report | at all"), NOW)
    header, acknowledgement, error = answer.rstrip(b"\r").split(b"\r")
    assert header.startswith(b"MSH|^~\\&|VF|H|MON|W1|20261129090000+0000||ACK^R01^ACK|")
    assert acknowledgement == b"MSA|AR| \xff\\S\\7 "
    assert error == b"ERR|||200|E||||not a report \\F\\ at all"


def test_a_report_of_a_point_of_care_has_an_answer_of_its_own_event() -> None:
    (answer,) = acknowledge(parse_message(message(kind="ORU^R30^ORU_R30")), Outcome.ACCEPT, None, NOW)
    assert parse_message(answer).header.raw(9) == "ACK^R33^ACK"


def test_an_acknowledgement_is_never_answered() -> None:
    assert acknowledge(parse_message(message(kind="ACK^R01^ACK")), Outcome.ACCEPT, None, NOW) == []


def test_the_text_of_an_error_fits_every_character_set() -> None:
    (answer,) = acknowledge(parse_message(message(charset="8859/1")), Outcome.REJECT, Error(207, "Ω"), NOW)
    assert answer.endswith(b"ERR|||207|E||||?\r")


def test_the_cost_of_escape_sequences_grows_with_the_size_of_the_text() -> None:
    def cost(number: int) -> float:
        text = "\\X41\\" * number
        began = time.thread_time()
        assert Separators().unescape(text) == "A" * number
        return time.thread_time() - began

    # With a copy of the rest for each sequence the ratio was far above that of the sizes, which is 16.
    assert min(cost(160_000) for _ in range(3)) < 64 * min(cost(10_000) for _ in range(3))


def test_an_answer_is_written_even_if_its_character_set_lacks_an_escaped_character() -> None:
    parsed = parse_message(message(charset="ISO IR87", kind="ORU^\\X8E\\^ORU_R01"))
    (answer,) = acknowledge(parsed, Outcome.ACCEPT, None, NOW)
    assert b"MSA|AA|N-1\r" in answer
