"""The decoders by name, with the line settings of their devices. Pure."""

import re
from collections.abc import Callable, Mapping

from edges.config.serial_table import DecoderName, LineSettings, SerialPort
from edges.serial import cms50, masimo, nellcor, nonin
from edges.serial.measurement import Decoder
from edges.serial.sketch import LinePattern, SketchDecoder
from edges.serial.sketch_labels import Labels

_MAKE: Mapping[str, Callable[..., Decoder]] = {
    "masimo": masimo.decoder,
    "nellcor": nellcor.decoder,
    "nellcor-n200": nellcor.n200_decoder,
    "nonin-text": nonin.text_decoder,
    "nonin-1": nonin.decoder_1,
    "nonin-2": nonin.decoder_2,
    "nonin-7": nonin.decoder_7,
    "cms50": cms50.decoder,
}
_LINES = {"nellcor-n200": "2400 7E1", "cms50": "19200 8O1", "lines": "115200 8N1", "json": "115200 8N1"}


def make_decoder(port: SerialPort, *, from_start: bool = False) -> Decoder:
    """Return a new decoder for a port.

    from_start   whether the bytes may begin with a whole line, as those of a file
    """
    if port.decoder in _MAKE:
        return _MAKE[port.decoder](from_start=from_start)
    patterns = [LinePattern(re.compile(item.pattern), frozenset(item.no_value)) for item in port.pattern]
    return SketchDecoder(Labels(port.labels), patterns, from_start=from_start)


def line_settings(port: SerialPort) -> LineSettings:
    """Return the line settings of a port: its own, or those of the decoder."""
    return LineSettings.parse(port.line) if port.line else default_line(port.decoder)


def default_line(decoder: DecoderName) -> LineSettings:
    """Return the line settings that the devices of a decoder have when they are delivered."""
    return LineSettings.parse(_LINES.get(decoder, "9600 8N1"))
