"""Split HL7 v2 messages in the ER7 encoding (HL7 v2.6, chapter 2) into segments, fields and components.

The first half of the path of a message: bytes -> `split_batch` -> `parse_message` -> segments. Text from outside may be
hostile: only InvalidMessage is raised, and nothing is nested, so that the depth of a message is bounded.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from msgspec import Struct

MAX_MESSAGE = 1024 * 1024  # bytes

_SEGMENT_END = re.compile(r"[\r\n]+")
_LINE_END = re.compile(rb"[\r\n]+")
_FRAMING = b"\x0b\x1c\r\n\0 \t"  # MLLP, and what senders put between messages
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEADERS = (b"FHS", b"BHS")
_UTF_16 = re.compile(rb"[MFB]\0[SH]\0[HS]")
_TRAILERS = (b"BTS", b"FTS")
_CODECS = {
    "ASCII": "ascii",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "UNICODE UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "UTF-8": "utf-8",
    "GB18030": "gb18030",
    "GB2312": "gb18030",
    "GBK": "gb18030",
    "GB 18030-2000": "gb18030",
    "ISO IR87": "iso2022_jp",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    **dict.fromkeys(("SHIFT_JIS", "SHIFT-JIS", "SJIS"), "cp932"),  # of no table of HL7
}


class InvalidMessage(ValueError):
    """Bytes that are no HL7 v2 message; the text is one sentence.

    code   of HL7 table 0357, for ERR-3 of the answer
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, eq=False)
class Separators:
    """The separators of one message, from MSH-1 and MSH-2; an empty one is not used by the message.

    Messages with the same ones share one object, which is the key of what is kept about their fields.
    """

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    @property
    def encoding(self) -> str:
        """MSH-2."""
        return self.component + self.repetition + self.escape + self.subcomponent

    @cached_property
    def find_mark(self) -> Callable[[str], object | None]:
        """A function that finds one of the characters of MSH-2 in a field; None for a field of a plain text."""
        return re.compile(f"[{re.escape(self.encoding)}]").search

    def unescape(self, text: str) -> str:
        """Return `text` without its escape sequences; one that is unknown or has no end stays as it is."""
        mark = self.escape
        if not mark or mark not in text:
            return text
        done: list[str] = []
        start = 0
        while (at := text.find(mark, start)) >= 0:
            done.append(text[start:at])
            end = text.find(mark, at + 1)
            meaning = self._meaning(text[at + 1 : end]) if end >= 0 else None
            if meaning is None:  # this mark is text; the next one may begin a sequence
                done.append(mark)
                start = at + 1
            else:
                done.append(meaning)
                start = end + 1
        return "".join([*done, text[start:]])

    def escape_text(self, text: str) -> str:
        """Return `text` so that it is one subcomponent: separators and control characters become escape sequences."""
        return "".join(self._sequence(character) for character in text)

    def _sequence(self, character: str) -> str:
        letters = {self.field: "F", self.component: "S", self.subcomponent: "T", self.repetition: "R", self.escape: "E"}
        if character < " " or character == "\x7f":  # ends of lines, and those of MLLP frames
            return f"{self.escape}X{ord(character):02X}{self.escape}" if self.escape else " "
        letter = letters.get(character)
        if letter is None:
            return character
        return f"{self.escape}{letter}{self.escape}" if self.escape else " "

    def _meaning(self, sequence: str) -> str | None:
        match sequence:
            case "F":
                return self.field
            case "S":
                return self.component
            case "T":
                return self.subcomponent
            case "R":
                return self.repetition
            case "E":
                return self.escape
            case "H" | "N":  # highlighting begins and ends
                return ""
            case ".br":
                return "\n"
        if re.fullmatch(r"X(?:[0-9A-Fa-f]{2})+", sequence):
            return bytes.fromhex(sequence[1:]).decode("latin-1")
        return None


class Segment(Struct, frozen=True):
    """One segment; numbers of fields, repetitions and components are those of HL7 and begin at 1.

    A field that the segment does not have is empty, as in HL7.
    """

    fields: tuple[str, ...]
    separators: Separators

    @property
    def name(self) -> str:
        """Name of the segment, such as OBX."""
        return self.fields[0]

    def raw(self, field: int) -> str:
        """Return a field as it was sent."""
        return self.fields[field] if field < len(self.fields) else ""

    def repetitions(self, field: int) -> list[str]:
        """Return the repetitions of a field, each as it was sent; none for an empty field."""
        text = self.raw(field)
        if not text or not self.separators.find_mark(text):
            return [text] if text else []
        return _split(text, self.separators.repetition)

    def text(self, field: int, component: int = 1, subcomponent: int = 1) -> str:
        """Return a subcomponent of the first repetition, unescaped; empty where there is none."""
        text = self.fields[field] if field < len(self.fields) else ""
        if not text:
            return ""
        if not self.separators.find_mark(text):
            return text.strip() if component == subcomponent == 1 else ""
        first = _split(text, self.separators.repetition)[0]
        return component_of(first, self.separators, component, subcomponent)


def component_of(repetition: str, separators: Separators, component: int, subcomponent: int = 1) -> str:
    """Return a subcomponent of one repetition, unescaped and without surrounding space; empty where there is none."""
    part = _item(_split(repetition, separators.component), component)
    return separators.unescape(_item(_split(part, separators.subcomponent), subcomponent)).strip()


def element_of(repetition: str, separators: Separators, component: int) -> str:
    """Return a component that has one subcomponent, unescaped; one of several stays as it was sent."""
    return value_of(_item(_split(repetition, separators.component), component), separators)


def value_of(repetition: str, separators: Separators) -> str:
    """Return a repetition that has one component, unescaped; one of several stays as it was sent."""
    if not separators.find_mark(repetition):
        return repetition.strip()
    repetition = repetition.rstrip(separators.component + separators.subcomponent)  # empty components are none
    if any(mark and mark in repetition for mark in (separators.component, separators.subcomponent)):
        return repetition.strip()
    return separators.unescape(repetition).strip()


@dataclass(frozen=True, slots=True)
class Message:
    """A message in segments; the first one is MSH.

    codec      Python's name of the character set; `encode` with the error handler surrogateescape restores the bytes
    unfit      number of bytes that do not fit the character set; each is one lone surrogate in the text, which no
               identifier may hold, because it cannot be printed
    """

    segments: tuple[Segment, ...]
    codec: str
    unfit: int

    @property
    def header(self) -> Segment:
        """The segment MSH."""
        return self.segments[0]


def split_batch(content: bytes) -> list[bytes]:
    """Return the messages of a batch (FHS, BHS, BTS, FTS; HL7 v2.6, 2.10.3), or those that follow each other.

    Raises InvalidMessage where a batch does not hold the number of messages that its BTS-1 states.
    """
    content = _unframed(content)
    if not content.startswith(_HEADERS):
        begin = content[:8]  # the header's name and the separators, which one sender does not change
        if content.count(begin) < 2 or not begin.startswith(b"MSH"):
            return [content]
        return re.split(rb"[\r\n]+(?=%b)" % re.escape(begin), content)
    messages: list[list[bytes]] = []
    in_batch = 0  # messages since the last BHS or FHS
    for line in _LINE_END.split(content):
        name = line[:3]
        if name == b"MSH":
            messages.append([line])
            in_batch += 1
        elif name in _HEADERS:
            in_batch = 0
        elif name in _TRAILERS:
            stated = line[4:].split(line[3:4])[0].strip() if line[3:4] else b""
            if name == b"BTS" and stated.isdigit() and (len(stated) > 9 or int(stated) != in_batch):
                raise InvalidMessage(101, f"the batch holds {in_batch} messages, but its BTS-1 states {_show(stated)}")
        elif line and not messages:
            raise InvalidMessage(100, "the batch holds a segment before its first MSH")
        elif line:
            messages[-1].append(line)
    if not messages:
        raise InvalidMessage(100, "the batch holds no message")
    return [b"\r".join(lines) for lines in messages]


def parse_message(content: bytes) -> Message:
    """Split one message, with or without its MLLP framing; raises InvalidMessage."""
    content = _unframed(content)
    if len(content) > MAX_MESSAGE:
        raise InvalidMessage(207, f"the message has {len(content)} bytes; at most {MAX_MESSAGE} are read")
    message = _split_segments(content)
    others = message.segments[1:]
    if any(segment.name == "MSH" for segment in others):
        raise InvalidMessage(100, "a second MSH follows without FHS or BHS; which segments belong together is unclear")
    if message.header.raw(14) or any(segment.name in ("ADD", "DSC") for segment in others):
        raise InvalidMessage(207, "the message continues another one or is continued (MSH-14, ADD, DSC); not supported")
    return message


def parse_header(content: bytes) -> Message:
    """Return the header of a message that `parse_message` rejects, to acknowledge it; raises InvalidMessage."""
    return _split_segments(_LINE_END.split(_unframed(content), maxsplit=1)[0])


def _unframed(content: bytes) -> bytes:
    """Return a message without its framing; one in UTF-16 as UTF-8."""
    found = content.strip(_FRAMING)
    if header := _UTF_16.search(content, 0, 16):
        is_big = content[: header.start()].endswith(b"\0")
        found = content[header.start() - is_big :].rstrip(_FRAMING)
        found += b"\0" * (len(found) % 2)  # half of the last character, if it is not framing
        found = found.decode("utf-16-be" if is_big else "utf-16-le", "replace").encode()
    return found.strip(_FRAMING).removeprefix(_BYTE_ORDER_MARK).strip(_FRAMING)


def _split_segments(content: bytes) -> Message:
    if not content.startswith(b"MSH"):
        raise InvalidMessage(100, f"the message begins with {_show(content[:3])}, not with MSH")
    first = _LINE_END.split(content, maxsplit=1)[0].decode("latin-1")
    separators = _separators(first)
    charsets = Segment(_header_fields(first, separators), separators).repetitions(18)
    charset = "ISO IR87" if "ISO IR87" in charsets else next(iter(charsets), "").strip()
    text, codec, unfit = _decode(content, charset)
    lines = [line for line in _SEGMENT_END.split(text) if line.strip()]
    header = Segment(_header_fields(lines[0], separators), separators)
    others = [_segment(line, separators) for line in lines[1:]]
    return Message((header, *others), codec, unfit)


def _segment(line: str, separators: Separators) -> Segment:
    fields = line.split(separators.field)
    fields[0] = fields[0].strip().upper()
    return Segment(tuple(fields), separators)


def _separators(line: str) -> Separators:
    field = line[3:4]
    return _separators_of(field, line[4:].split(field)[0] if field else "")


@lru_cache(maxsize=64)
def _separators_of(field: str, encoding: str) -> Separators:
    characters = field + encoding[:4]
    if len(encoding) not in (1, 2, 3, 4, 5) or len(set(field + encoding)) <= len(encoding):
        raise InvalidMessage(101, "MSH-1 and MSH-2 do not state different separators, such as |^~\\&")
    if any(character.isalnum() or not character.isascii() or not "!" <= character <= "~" for character in characters):
        raise InvalidMessage(101, "MSH-1 and MSH-2 hold characters that cannot separate, such as letters")
    return Separators(field, *(encoding[at : at + 1] for at in range(4)))


def _header_fields(line: str, separators: Separators) -> tuple[str, ...]:
    name, *fields = line.split(separators.field)
    return (name, separators.field, *fields)  # MSH-1 is the separator itself


def _decode(content: bytes, charset: str) -> tuple[str, str, int]:
    """Return the text, the codec and the number of bytes that do not fit it."""
    codec = _CODECS.get(charset.upper(), "ascii")
    if codec == "ascii":  # also if MSH-18 is empty or unknown; many senders leave it out and send UTF-8
        codec = "utf-8"
    try:
        text = content.decode(codec, "surrogateescape")
    except UnicodeDecodeError:  # a broken sequence of bytes below 0x80, which the handler does not replace
        codec = "ascii"
        text = content.decode(codec, "surrogateescape")
    return text, codec, sum("\udc80" <= character <= "\udcff" for character in text) if not text.isascii() else 0


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else [text]


def _item(parts: list[str], number: int) -> str:
    return parts[number - 1] if number <= len(parts) else ""


def _show(content: bytes) -> str:
    return ascii(content[:20].decode("latin-1"))
