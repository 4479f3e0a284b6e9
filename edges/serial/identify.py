"""Find the serial ports of this machine, and the decoder that knows what one sends."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from serial.tools.list_ports import comports

from edges.config.serial_table import DecoderName, LineSettings, SerialPort
from edges.serial.console import find_console
from edges.serial.decoders import default_line, make_decoder
from edges.serial.port import Port, PortGone
from vitals.errors import PermanentError, TransientError

_BY_ID = Path("/dev/serial/by-id")
_SAME = {"json": "lines"}  # one decoder with two names


@dataclass(frozen=True, slots=True)
class Found:
    """A port.

    by_id         its name that stays when it is plugged into another socket; empty without one
    description   what it states to be
    """

    port: str
    by_id: str
    description: str


def find_ports() -> list[Found]:
    """Return the ports of this machine."""
    names = {str(link.resolve()): str(link) for link in _BY_ID.iterdir()} if _BY_ID.is_dir() else {}
    found = []
    for port in sorted(comports()):
        description = port.description if port.description not in (None, "n/a") else ""
        found.append(Found(port.device, names.get(port.device, ""), description))
    return found


def guess_decoder(data: bytes, line: LineSettings) -> str | None:
    """Return the decoder that knows these bytes best, among those of a line setting; None without one."""
    best, most = None, 0.0
    for name in get_args(DecoderName):
        if name in _SAME or default_line(name) != line:
            continue
        decoder = make_decoder(SerialPort(port="-", decoder=name, ward="-", device="-"))
        measurements = [*decoder.feed(data), *decoder.flush()]
        known = 1 - (decoder.noise / len(data) if data else 1)
        score = len(measurements) / (len(measurements) + decoder.damaged) * known if measurements else 0.0
        if score > most:
            best, most = name, score
    return best if most >= 0.5 else None


def listen(path: Path, seconds: float) -> str:
    """Return in a sentence what a port sends: which decoder knows it, with which line setting. Nothing is written."""
    lines = dict.fromkeys(default_line(name) for name in get_args(DecoderName))
    received = 0
    for line in lines:
        try:
            port = Port(path, line)
        except (PermanentError, TransientError) as error:
            return str(error)
        try:
            data = b""
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                data += port.read()
                time.sleep(0.05)
        except PortGone as gone:
            return f"it is gone: {gone}"
        finally:
            port.close()
        received += len(data)
        if shown := find_console(data):
            return f"a login console, as it shows {shown!a}; leave it alone"
        if decoder := guess_decoder(data, line):
            return f"decoder {decoder}, line {line}"
    if not received:
        return "nothing was received; is the device switched on, and does it send by itself?"
    return f"{received} bytes, and no decoder knows them"
