"""Write Parquet with pyarrow: lines of CSV in, row groups out."""

from collections.abc import Sequence
from typing import IO

import pyarrow  # type: ignore[import-untyped]
import pyarrow.csv  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]

from vitals.signs import SIGN_KEYS

_TIME = pyarrow.timestamp("us", tz="UTC")
_TYPES = {
    "time": _TIME,
    "received_at": _TIME,
    "on_oxygen": pyarrow.bool_(),
    "boot": pyarrow.int64(),
    "seq": pyarrow.int64(),
    **dict.fromkeys(SIGN_KEYS, pyarrow.float64()),  # as float32 36.1 is read as 36.099998
    "bucket": _TIME,
    **dict.fromkeys(("readings", "minutes", "critical", *(f"{key}_n" for key in SIGN_KEYS)), pyarrow.int64()),
    **{f"{key}_{part}": pyarrow.float64() for key in SIGN_KEYS for part in ("avg", "min", "max", "off")},
}
_REPEATED = ("ward", "device_id", "patient_id", "consciousness", "sensor_off", "status")


class ParquetWriter:
    """Writes one row group for each call."""

    def __init__(self, file: IO[bytes], names: Sequence[str]) -> None:
        self._schema = pyarrow.schema([(name, _TYPES.get(name, pyarrow.string())) for name in names])
        self._read = pyarrow.csv.ReadOptions(column_names=list(names), use_threads=False)
        self._convert = pyarrow.csv.ConvertOptions(
            column_types=self._schema,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        self._parquet = pyarrow.parquet.ParquetWriter(
            file, self._schema, compression="zstd", use_dictionary=[name for name in names if name in _REPEATED]
        )

    def write(self, rows: Sequence[bytes]) -> None:
        """Write whole lines."""
        table = pyarrow.csv.read_csv(
            pyarrow.py_buffer(b"".join(rows)), read_options=self._read, convert_options=self._convert
        )
        self._parquet.write_table(table, row_group_size=len(rows))

    def close(self) -> None:
        """Write the footer; the file stays open."""
        self._parquet.close()
