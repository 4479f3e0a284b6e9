"""The tables [[serial]] of a site: which port is read by which decoder, and whose readings these are."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from edges.config.types import Level, Table, Text
from vitals.signs import BY_KEY

DecoderName = Literal[
    "masimo", "nellcor", "nellcor-n200", "nonin-text", "nonin-1", "nonin-2", "nonin-7", "cms50", "lines", "json"
]
WITH_CLOCK = ("masimo", "nellcor")
SKETCHES = ("lines", "json")

_LINE = re.compile(r"([1-9]\d{1,6})(?: ([78])([NEO])([12]))?")


@dataclass(frozen=True, slots=True)
class LineSettings:
    """Baud rate, data bits, parity (N, E or O) and stop bits."""

    baud: int
    bits: int = 8
    parity: str = "N"
    stop_bits: int = 1

    @classmethod
    def parse(cls, text: str) -> "LineSettings":
        """Return the settings of a text such as 9600 8N1, or a baud rate alone; raises ValueError."""
        found = _LINE.fullmatch(text.strip().upper())
        if found is None:
            raise ValueError("is no line setting such as 9600 8N1")
        bits, parity, stop_bits = found[2] or "8", found[3] or "N", found[4] or "1"
        return cls(int(found[1]), int(bits), parity, int(stop_bits))

    def __str__(self) -> str:
        return f"{self.baud} {self.bits}{self.parity}{self.stop_bits}"


def _check_sign(sign: str) -> str:
    if sign and sign not in BY_KEY:
        raise ValueError(f"{sign[:40]!r} is no sign; known are {', '.join(BY_KEY)}, and an empty text for none")
    return sign


class LinePatternTable(Table):
    """A line of a sketch as a regular expression of Python with groups that are named like signs.

    no_value   numbers that mean "no value"
    """

    pattern: Annotated[str, Field(min_length=1, max_length=1_000)]
    no_value: tuple[float, ...] = (-1, -999)

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, text: str) -> str:
        try:
            groups = set(re.compile(text).groupindex)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"is no regular expression: {error}") from None
        allowed = {"off", "valid", *BY_KEY, *(f"{sign}_valid" for sign in BY_KEY)}
        if unknown := sorted(groups - allowed):
            raise ValueError(f"has the unknown group {unknown[0]}; known are {', '.join(sorted(allowed))}")
        if not groups & (set(BY_KEY) | {"off"}):
            raise ValueError("has no group that is named like a sign, such as (?P<heart_rate>[0-9]+)")
        return text


class SerialPort(Table):
    """A port and the device at it.

    port         its path, at best the one in /dev/serial/by-id
    line         baud rate and frame, such as 9600 8N1; default: that of the decoder
    clock        device: its own clock counts, in the zone of the site
    interval_s   seconds between two readings; without it the alert worker learns it
    labels       of a sketch: label or key -> sign, or an empty text for one that means none
    pattern      of a sketch: the lines that count, instead of labels
    """

    port: Text
    decoder: DecoderName
    ward: Level
    device: Level
    line: Annotated[str, AfterValidator(lambda text: str(LineSettings.parse(text)))] | None = None
    clock: Literal["receipt", "device"] = "receipt"
    interval_s: float | None = Field(default=None, gt=0, le=86_400)
    labels: dict[str, Annotated[str, AfterValidator(_check_sign)]] = Field(default_factory=dict, max_length=100)
    pattern: tuple[LinePatternTable, ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _check(self) -> "SerialPort":
        if self.clock == "device" and self.decoder not in WITH_CLOCK:
            raise ValueError(f'clock = "device" needs one of the decoders {", ".join(WITH_CLOCK)}')
        if (self.labels or self.pattern) and self.decoder not in SKETCHES:
            raise ValueError(f"labels and pattern belong to the decoders {', '.join(SKETCHES)}")
        return self


def check_ports(ports: Iterable[SerialPort], wards: dict[str, str]) -> None:
    """Raise ValueError for a port or a device that is there twice.

    wards   device -> ward, of the site's other tables
    """
    paths: set[str] = set()
    devices: set[str] = set()
    for number, port in enumerate(ports, 1):
        if port.port in paths:
            raise ValueError(f"serial {number}: port {port.port} is there twice")
        if port.device in devices:
            raise ValueError(f"serial {number}: device {port.device!r} is at two ports")
        if wards.setdefault(port.device, port.ward) != port.ward:
            raise ValueError(f"serial {number}: device {port.device!r} is in two wards")
        paths.add(port.port)
        devices.add(port.device)
