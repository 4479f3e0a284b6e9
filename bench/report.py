"""What all measurements share: the type of their progress log and the base class of their results."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

Log = Callable[[str], None]
"""Takes one line about the progress of a measurement."""


class Result:
    """The figures of one run. A subclass is a dataclass."""

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for --json."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    def text(self) -> str:
        """Format the figures for a terminal."""
        raise NotImplementedError
