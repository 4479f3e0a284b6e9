"""A reading: values that one device measured of one patient at one time.

`codec` encodes it as JSON, `ingest` stores it as a row. The fields of the signs are generated from the table in
`signs`; `values` and `value` access them.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct, defstruct

from vitals.signs import SIGN_KEYS, SIGNS

MAX_TEXT = 200  # characters: more than any hospital's identifiers have
MAX_COUNTER = 2**63 - 1  # PostgreSQL's bigint

Consciousness = Literal["A", "C", "V", "P", "U"]
"""The ACVPU scale: Alert, new Confusion, responds to Voice, to Pain, Unresponsive (RCP, NEWS2, 2017)."""

_encode = msgspec.json.Encoder().encode

if TYPE_CHECKING:
    SignKey = str
else:
    SignKey = Literal[SIGN_KEYS]


class Reading(Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Values of one device at one time. Create it with `reading(...)`, which adds the signs.

    time           time of measurement, with an offset
    boot, seq      unix seconds of the device's start, and 1, 2, 3 ... since then; both 0 if the device does not number
    patient_id     None if the device does not know the patient
    on_oxygen      supplemental oxygen, for NEWS2
    sensor_off     keys of the signs whose sensor is off the patient; such a sign has no value
    """

    time: Annotated[datetime, Meta(tz=True)]
    boot: Annotated[int, Meta(ge=0, le=MAX_COUNTER)] = 0
    seq: Annotated[int, Meta(ge=0, le=MAX_COUNTER)] = 0
    patient_id: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None
    on_oxygen: bool | None = None
    consciousness: Consciousness | None = None
    sensor_off: Annotated[tuple[SignKey, ...], Meta(max_length=len(SIGNS))] = ()

    def value(self, key: str) -> float | None:
        """Return the value of one sign in the unit of `signs`, None without one."""
        value: float | None = getattr(self, key)
        return value

    @property
    def values(self) -> tuple[float | None, ...]:
        """The values of all signs, in the order of `signs.SIGNS`."""
        return sign_values(self)


def _sign_fields() -> Iterable[tuple[str, Any, Any]]:
    for sign in SIGNS:
        yield sign.key, Annotated[float, Meta(ge=sign.low, le=sign.high)] | None, None


FullReading: type[Reading] = cast(
    type[Reading],
    defstruct(
        "FullReading",
        _sign_fields(),
        bases=(Reading,),
        module=__name__,
        kw_only=True,
        frozen=True,
        omit_defaults=True,
        forbid_unknown_fields=True,
        gc=False,
    ),
)
"""`Reading` with a field for every sign, bounded by its plausible range: the wire format."""

sign_values: "attrgetter[tuple[float | None, ...]]" = attrgetter(*SIGN_KEYS)
"""`reading.values` without the call of a property, for the path of every message."""


_NO_VALUES = (None,) * len(SIGNS)


def has_value(reading: Reading) -> bool:
    """Return whether a reading has the value of a sign, consciousness or oxygen."""
    return sign_values(reading) != _NO_VALUES or reading.consciousness is not None or reading.on_oxygen is not None


def stored_seq(reading: Reading) -> int:
    """Return the identifier of a reading within its device, time and boot: its seq, or a digest of its content.

    A device without seqs may send several readings of one moment, one message per sign. Their content
    distinguishes them, and the same reading delivered twice is still one row. The digest has 63 bits and is negative,
    so that counts by number (gaps, completeness) exclude it with `seq > 0`.
    """
    if reading.seq:
        return reading.seq
    content = (reading.patient_id, reading.on_oxygen, reading.consciousness, reading.sensor_off, sign_values(reading))
    digest = int.from_bytes(blake2b(_encode(content), digest_size=8).digest(), "big")
    return -1 - (digest >> 1)


def without_number(reading: Reading) -> Reading:
    """Return the reading of a device that does not number."""
    return msgspec.structs.replace(reading, boot=0, seq=0)


def reading(time: datetime, signs: Mapping[str, float | None], **rest: Any) -> Reading:
    """Create a reading of `signs` (key -> value) at `time`, with any of Reading's other fields.

    Does not validate; data from outside goes through `codec.decode`.
    """
    fields: dict[str, Any] = {**signs, **rest}
    return FullReading(time=time, **fields)
