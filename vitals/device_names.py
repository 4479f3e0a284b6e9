"""Names of devices for the files of recordings. Pure."""

import re
from collections.abc import Sequence
from pathlib import Path


def device_name(path: Path) -> str:
    """Make a device name from a file name: `bidmc_01_Numerics.csv` becomes `bidmc-01`."""
    stem = re.sub(r"_numerics$", "", path.stem, flags=re.IGNORECASE)
    name = re.sub(r"[^\w.]+|_+", "-", stem).strip("-.").lower()
    return name or "recording"


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the names with -2, -3 ... appended to repeated ones."""
    given: set[str] = set(names)
    seen: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 2
        while candidate in seen or (candidate != name and candidate in given):
            candidate = f"{name}-{number}"
            number += 1
        seen.add(candidate)
        result.append(candidate)
    return result
