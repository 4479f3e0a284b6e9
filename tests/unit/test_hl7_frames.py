"""MLLP frames: every message is returned once, however its bytes are split, and every byte is accounted for."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edges.hl7.frames import MAX_FRAME, FrameReader, UnframedReader, frame

FIRST = b"MSH|^~\\&|A|B|||20261129120000+0000||ORU^R01|1|P|2.6\rOBX|1|NM|1||2\r"
SECOND = FIRST.replace(b"|1|P|", b"|2|P|")
MESSAGES = st.binary(max_size=60).map(lambda content: content.replace(b"\x0b", b" ").replace(b"\x1c", b" "))
BETWEEN = st.sampled_from([b"", b"\n", b"\0\0", b" \r\n ", b"GET / HTTP/1.1\r\n\r\n", b"\x1c\r"])
HOSTILE = st.lists(
    st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\x1c\r", b"MSH|", b"x" * 50, b"\n", b"\0"]) | st.binary(max_size=20),
    max_size=60,
)


def pieces(content: bytes, cuts: list[int]) -> list[bytes]:
    """`content` in parts, cut at these positions."""
    marks = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    return [content[begin:end] for begin, end in itertools.pairwise(marks)]


def test_a_frame_split_at_each_position_is_one_message() -> None:
    content = b"\n\0" + frame(FIRST) + b"\r\n" + frame(SECOND) + b"\n"
    for cut in range(len(content) + 1):
        reader = FrameReader()
        found = [message for part in (content[:cut], content[cut:]) for message in reader.feed(part)]
        assert found == [FIRST, SECOND], cut
        assert (reader.noise, reader.incomplete, reader.started) == (5, 0, False), cut
    reader = FrameReader()
    assert [message for byte in content for message in reader.feed(bytes([byte]))] == [FIRST, SECOND]
    assert reader.noise == 5


@given(st.lists(st.tuples(BETWEEN, MESSAGES), max_size=6), st.lists(st.integers(min_value=0), max_size=8))
def test_messages_survive_any_split_and_any_bytes_between_them(
    sent: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    reader = FrameReader()
    content = b"".join(between + frame(message) for between, message in sent)
    found = [message for part in pieces(content, cuts) for message in reader.feed(part)]
    assert found == [message for _, message in sent]
    assert reader.noise == sum(len(between) for between, _ in sent)


@given(HOSTILE, st.lists(st.integers(min_value=0), max_size=8))
def test_each_frame_of_hostile_bytes_is_returned_or_counted_however_they_are_split(
    parts: list[bytes], cuts: list[int]
) -> None:
    content = b"".join(parts)
    whole, split = FrameReader(), FrameReader()
    found = whole.feed(content)
    assert [message for part in pieces(content, cuts) for message in split.feed(part)] == found
    assert (split.noise, split.incomplete, split.started) == (whole.noise, whole.incomplete, whole.started)
    outside = content.split(b"\x0b")[0]
    assert content.count(b"\x0b") == len(found) + whole.incomplete + whole.started
    assert whole.noise >= len(outside)
    assert not any(b"\x0b" in message or b"\x1c\r" in message for message in found)


def test_a_frame_that_begins_before_the_end_of_another_replaces_it() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x0b" + FIRST[:30] + frame(SECOND)) == [SECOND]
    assert (reader.incomplete, reader.noise) == (1, 0)
    assert reader.feed(b"\x0bMSH|\x0bMSH|") == []
    assert reader.feed(b"\x0b") == []
    assert reader.feed(FIRST + b"\x1c\r") == [FIRST]
    assert (reader.incomplete, reader.started) == (3, False)


def test_only_both_end_bytes_end_a_frame() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x0b" + FIRST + b"\x1c") == []
    assert reader.feed(b"\n") == []
    assert reader.feed(b"\r\x1c\r") == [FIRST + b"\x1c\n\r"]


@pytest.mark.parametrize("size", [MAX_FRAME - 1, MAX_FRAME])
def test_a_frame_of_the_maximum_size_is_read(size: int) -> None:
    reader = FrameReader()
    assert [len(message) for message in reader.feed(frame(b"x" * size))] == [size]
    assert reader.oversized == 0


@pytest.mark.parametrize("chunk", [1024, 65536, 4 * MAX_FRAME])
def test_a_larger_frame_is_counted_once_and_dropped_and_the_next_one_is_read(chunk: int) -> None:
    content = frame(b"x" * (2 * MAX_FRAME + 5)) + frame(FIRST)
    reader = FrameReader()
    found: list[bytes] = []
    for begin in range(0, len(content), chunk):
        found += reader.feed(content[begin : begin + chunk])
        assert len(reader._buffer) <= MAX_FRAME + 1
    assert found == [FIRST]
    assert (reader.oversized, reader.incomplete, reader.noise) == (1, 0, 0)


def test_a_frame_that_begins_within_an_oversized_one_is_read() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x0b" + b"x" * (MAX_FRAME + 9)) == []
    assert reader.feed(frame(FIRST)) == [FIRST]
    assert (reader.oversized, reader.incomplete) == (1, 0)


def test_the_cost_of_a_frame_in_small_parts_grows_with_its_size_and_not_with_its_square() -> None:
    def cost(size: int) -> float:
        reader = FrameReader()
        begin = time.process_time()
        reader.feed(b"\x0b")
        for _ in range(size // 64):
            reader.feed(b"x" * 64)
        return time.process_time() - begin

    cost(MAX_FRAME // 16)
    small, large = min(cost(MAX_FRAME // 16) for _ in range(3)), min(cost(MAX_FRAME) for _ in range(3))
    assert large < 16 * 6 * small  # with a search from the beginning: 256


def test_unframed_messages_end_with_the_next_one_or_with_a_silence() -> None:
    content = b"\r\n" + FIRST + SECOND + b"\r\n" + FIRST
    for cut in range(len(content) + 1):
        reader = UnframedReader()
        found = reader.feed(content[:cut]) + reader.feed(content[cut:])
        assert [message.strip() for message in found] == [FIRST.strip(), SECOND.strip()], cut
        assert reader.started, cut
        assert reader.flush() == [FIRST], cut
        assert not reader.started, cut
        assert reader.flush() == [], cut
        assert reader.noise == 2, cut


def test_a_silence_within_a_segment_ends_no_unframed_message() -> None:
    reader = UnframedReader()
    assert reader.feed(FIRST + b"OBX|2|NM|2||12") == []
    assert reader.flush() == []  # the number may go on
    assert reader.feed(b"0\r") == []
    assert reader.flush() == [FIRST + b"OBX|2|NM|2||120\r"]


def test_segments_after_a_silence_are_no_message() -> None:
    reader = UnframedReader()
    assert reader.feed(FIRST) == []
    assert reader.flush() == [FIRST]
    assert reader.feed(b"OBX|3|NM|3||4\r") == []
    assert reader.flush() == []
    assert reader.noise == 14


def test_an_unframed_message_in_a_frame_is_read_too() -> None:
    reader = UnframedReader()
    assert reader.feed(frame(FIRST)) == []
    assert reader.flush() == [b"\x0b" + FIRST + b"\x1c\r"]


@pytest.mark.parametrize("line", [b"OBX|1|NM|1||1\r", b"x" * 1000])
def test_an_oversized_unframed_message_is_counted_once_and_dropped(line: bytes) -> None:
    reader = UnframedReader()
    reader.feed(FIRST)
    for _ in range(2 * MAX_FRAME // len(line)):
        assert reader.feed(line) == []
    assert reader.feed(b"\r" + FIRST + SECOND) == [FIRST]
    assert reader.flush() == [SECOND]
    assert (reader.oversized, reader.noise) == (1, 0)


@settings(max_examples=200)
@given(HOSTILE)
def test_hostile_bytes_without_frames_raise_nothing(parts: list[bytes]) -> None:
    reader = UnframedReader()
    found = [message for part in parts for message in reader.feed(part)]
    found += reader.flush()
    assert sum(map(len, found)) + reader.noise + len(reader._rest) + sum(map(len, reader._message)) == sum(
        map(len, parts)
    )
