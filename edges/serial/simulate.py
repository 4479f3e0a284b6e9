"""What devices at serial ports send: a second of bytes of a heart rate and a saturation. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime

from edges.serial.nellcor import MONTHS
from vitals.sample import Sample

NO_RATE, NO_SPO2 = 511, 127
_DISCONNECTED = 0x40

Values = tuple[int | None, int | None]
"""Heart rate and saturation."""


def second_of(sample: Sample, decoder: str, now: datetime) -> bytes:
    """Return what a device sends in a second, in the format of a decoder."""
    values = sample.values.get("heart_rate"), sample.values.get("spo2")
    rate, spo2 = (None if value is None else round(value) for value in values)
    return _ENCODERS[decoder]((rate, spo2), bool(sample.sensor_off), now)


def _masimo(values: Values, off: bool, now: datetime) -> bytes:
    rate, spo2 = (_three(value) for value in values)
    exceptions = 0x820 if off else 0x808 if None in values else 0x800
    stamp = now.strftime("%m/%d/%y %H:%M:%S")
    rest = "PI=02.50% SPCO=--.-% SPMET=--.-% DESAT=-- PIDELTA=+-- ALARM=0000"
    return f"{stamp} SN=0000012345 SPO2={spo2}% BPM={rate} {rest} EXC={exceptions:06X}\r\n".encode()


def _nellcor(values: Values, off: bool, now: datetime) -> bytes:
    if now.second % 2:
        return b""
    rate, spo2 = ("---" if value is None else str(value) for value in values)
    status = "SD" if off else "PS" if None in values else ""
    stamp = f"{now.day:02}-{MONTHS[now.month - 1]}-{now.year % 100:02} {now:%H:%M:%S}"
    line = f"{stamp}   {spo2:<8}{rate:<7}{'---' if None in values else '100':<6}{status}".rstrip()
    header = ""
    if now.second == 0:
        header = "N-560    VERSION 1.61.00    CRC:0000  SpO2 Limit: 85-100%    PR Limit: 40-170BPM\r\n"
        header += "   ADULT   0SAT-S\r\nTIME                 %SpO2   BPM     PA     Status\r\n"
    return f"{header}{line}\r\n".encode()


def _nellcor_n200(values: Values, off: bool, now: datetime) -> bytes:
    rate, spo2 = (value or 0 for value in values)
    return b"\x02" + f"R{rate:03}S{spo2:03}P{12 if rate else 0:03}     \r\n".encode() + b"\x03"


def _nonin_text(values: Values, off: bool, now: datetime) -> bytes:
    rate, spo2 = (_three(value) for value in values)
    return f"{now:%H:%M:%S} SPO2={spo2} HR={rate}\r\n".encode()


def _nonin_1(values: Values, off: bool, now: datetime) -> bytes:
    rate, spo2 = NO_RATE if values[0] is None else values[0], NO_SPO2 if values[1] is None else values[1]
    return bytes((0x80 | _DISCONNECTED * off | rate >> 7, rate & 127, spo2))


def _nonin_fields(values: Values) -> list[int]:
    rate, spo2 = NO_RATE if values[0] is None else values[0], NO_SPO2 if values[1] is None else values[1]
    high, low = rate >> 7, rate & 127
    fields = [
        high,
        low,
        spo2,
        48,
        0,
        3,
        17,
        0,
        spo2,
        spo2,
        spo2,
        0,
        0,
        high,
        low,
        high,
        low,
        0,
        0,
        high,
        low,
        high,
        low,
    ]
    return [*fields, 0, 0]


def _nonin_frames(values: Values, off: bool, frame: Callable[[int, int, int], bytes]) -> bytes:
    packets = b""
    for packet in range(3):
        for number, field in enumerate(_nonin_fields(values)):
            status = 0x80 | _DISCONNECTED * off | (number == 0)
            packets += frame(status, 100 + (packet * 25 + number) % 60, field)
    return packets


def _with_sum(*values: int) -> bytes:
    return bytes((*values, sum(values) & 0xFF))


def _nonin_2(values: Values, off: bool, now: datetime) -> bytes:
    return _nonin_frames(values, off, lambda status, pleth, field: _with_sum(1, status, pleth, field))


def _nonin_7(values: Values, off: bool, now: datetime) -> bytes:
    return _nonin_frames(values, off, lambda status, pleth, field: _with_sum(status, pleth, pleth ^ 0x55, field))


def _cms50(values: Values, off: bool, now: datetime) -> bytes:
    rate, spo2 = (value or 0 for value in values)
    searching = 0x20 if None in values and not off else 0
    return b"".join(
        bytes((0x80 | 0x10 * off | 5, 40 + number % 60, searching | (rate >> 7) << 6 | 3, rate & 127, spo2))
        for number in range(60)
    )


def _lines(values: Values, off: bool, now: datetime) -> bytes:
    rate, spo2 = (0 if off else -999 if value is None else value for value in values)
    return f"HR:{rate},SpO2:{spo2}\r\n".encode()


def _json(values: Values, off: bool, now: datetime) -> bytes:
    rate, spo2 = ("null" if value is None else value for value in values)
    return f'{{"hr":{rate},"spo2":{spo2},"finger":{"false" if off else "true"}}}\r\n'.encode()


def _three(value: int | None) -> str:
    return "---" if value is None else f"{value:03}"


_ENCODERS: Mapping[str, Callable[[Values, bool, datetime], bytes]] = {
    "masimo": _masimo,
    "nellcor": _nellcor,
    "nellcor-n200": _nellcor_n200,
    "nonin-text": _nonin_text,
    "nonin-1": _nonin_1,
    "nonin-2": _nonin_2,
    "nonin-7": _nonin_7,
    "cms50": _cms50,
    "lines": _lines,
    "json": _json,
}
