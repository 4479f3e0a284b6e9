"""Values out of a rule file, and the mistakes in them: each said once, with its line. Used by `rulefile` alone."""

import math
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from alerts.rulefile.positions import Positions
from vitals.reading import MAX_TEXT

LONGEST_S = 86_400.0  # a delay of more than a day is a mistake


class Diagnostics:
    """What is wrong with a file. `section` and `name` say what is being read; `level` is a level's place in a rule."""

    def __init__(self, where: str, lines: Positions) -> None:
        self.lines = lines
        self.section: int | tuple[str, int] | None = None
        self.name = ""
        self._where = where
        self._found: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._found)

    def as_lines(self) -> list[str]:
        """The mistakes in the order of their lines."""
        return [text for _, text in sorted(self._found)]

    def add(self, key: str, text: str, level: int | None = None) -> None:
        """Note a mistake at `key`."""
        line = self.lines.of(self.section, key, level)
        kind = "profile" if isinstance(self.section, tuple) else "rule"
        where = "" if self.section is None else f" {kind} {self.name[:60]!r}:"
        mistake = (line, f"{self._where}, line {line}:{where} {text}")
        if mistake not in self._found:
            self._found.append(mistake)

    def invalid_value(self, key: str, value: object, allowed: str, level: int | None = None) -> None:
        """Note a value that is not allowed, or missing."""
        found = f"no {key}" if value is None else f"{key} = {repr(value)[:80]}"
        self.add(key, f"{found}; allowed is {allowed}", level)

    def unknown(self, table: Mapping[str, Any], known: tuple[str, ...], level: int | None = None) -> None:
        """Note every key of the table that is none of the known ones."""
        for key in table:
            if key not in known:
                self.add(
                    key, f"unknown key {key[:80]!r}{did_you_mean(key, known)}; known are {', '.join(known)}", level
                )

    def text(self, table: Mapping[str, Any], key: str, level: int | None = None) -> str:
        """A text, or an empty one where there is none."""
        value = table.get(key)
        if isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable():
            return value
        self.invalid_value(key, value, f"a text of 1 to {MAX_TEXT} printable characters", level)
        return ""

    def number(self, table: Mapping[str, Any], key: str, level: int | None, default: float) -> float:
        """A number; the default where there is none or a wrong one."""
        value = table.get(key, default)
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
        self.invalid_value(key, value, "a number", level)
        return default

    def seconds(
        self, table: Mapping[str, Any], key: str, level: int | None, default: float, least: float = 0.0
    ) -> timedelta:
        """A span of time written in seconds."""
        value = self.number(table, key, level, default)
        if not least <= value <= LONGEST_S:
            self.invalid_value(key, value, f"{least:g} to {LONGEST_S:g} seconds", level)
            return timedelta()
        return timedelta(seconds=value)


def did_you_mean(word: object, known: tuple[str, ...]) -> str:
    """ " (did you mean ...?)" where the word is nearly a known one."""
    close = get_close_matches(str(word), known, 1)
    return f" (did you mean {close[0]}?)" if close else ""
