"""Read the numerics of a WFDB record (PhysioNet) by the package `wfdb`, the optional extra "wfdb"."""

import importlib
import math
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from vitals.errors import PermanentError
from vitals.recording.layouts import LAYOUTS, Format, known_names
from vitals.recording.names import plain
from vitals.recording.recognition import Header

SUFFIX = ".hea"
MAX_RATE_HZ = 2.0  # of numerics; a signal RESP of a faster record is a waveform
_CHUNK = 50_000  # samples of each signal


class WfdbRecord:
    """A record, whose cells are texts like those of a CSV; raises PermanentError if it cannot be read.

    has_zone   take the date of the header as the time of the first row, instead of elapsed seconds
    """

    def __init__(self, path: Path, *, has_zone: bool) -> None:
        self._path = path
        if not path.is_file():
            raise PermanentError(f"{path} cannot be read: no such file; expected the header of a WFDB record")
        self._header = header = self._read("rdheader")
        if not header.fs or header.fs > MAX_RATE_HZ:
            raise PermanentError(
                f"{path} has {header.fs:g} samples a second, which are waveforms; expected numerics with at most "
                f"{MAX_RATE_HZ:g}, such as the record of the same name that ends with n"
            )
        signals = tuple(name.strip(" ,") for name in header.sig_name or ())
        self._start = header.base_datetime if has_zone else None
        names = ("elapsed_s" if self._start is None else "time", *signals)
        layout = LAYOUTS[Format.WFDB]
        found = [name for name in signals if plain(name) in known_names(layout)]
        if not found:
            raise PermanentError(f"{path} has the signals {', '.join(signals)[:200]}; expected HR, RESP or SpO2")
        self.header = Header(
            layout,
            1,
            ",",
            names,
            (
                ("elapsed", "s") if self._start is None else ("time", ""),
                *zip(map(plain, signals), header.units, strict=True),
            ),
            f"is the header of a record with the signals {', '.join(found)}",
        )
        self._state = self._states()

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of each sample, from 1, and its cells."""
        for begin in range(0, self._header.sig_len, _CHUNK):
            end = min(begin + _CHUNK, self._header.sig_len)
            values = self._read("rdrecord", sampfrom=begin, sampto=end).p_signal
            if self._states() != self._state:
                raise PermanentError(
                    f"{self._path} or its signals changed while they were read; expected a complete record: copy it "
                    "first"
                )
            for number, row in enumerate(values.tolist(), begin):
                yield number + 1, [self._time(number), *("" if math.isnan(value) else f"{value:.10g}" for value in row)]

    def _time(self, number: int) -> str:
        elapsed_s = round(number / self._header.fs, 6)
        return f"{elapsed_s}" if self._start is None else f"{self._start + timedelta(seconds=elapsed_s)}"

    def _read(self, function: str, **limits: int) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pandas about the import of wfdb
                package = importlib.import_module("wfdb")  # large, and needed only here
            return getattr(package, function)(str(self._path.with_suffix("")), **limits)
        except ModuleNotFoundError:
            raise PermanentError(
                f'{self._path} is a WFDB record, which needs wfdb, the optional extra "wfdb": pip install -e ".[wfdb]"'
            ) from None
        except Exception as error:  # the package has no family of errors
            raise PermanentError(
                f"{self._path} is no WFDB record: {' '.join(str(error).split()) or type(error).__name__}; expected a "
                "header with its signals beside it"
            ) from None

    def _states(self) -> list[tuple[int, ...]]:
        names = [self._path.name, *dict.fromkeys(self._header.file_name or ())]
        files = [self._path.with_name(name) for name in names if name and name != "~"]
        states = [file.stat() for file in files if file.is_file()]
        return [(state.st_ino, state.st_size, state.st_mtime_ns) for state in states]
