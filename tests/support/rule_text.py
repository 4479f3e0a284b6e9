"""Rules as the text of a rule file, written in one line each."""

import json
from typing import Any

from vitals.alert import Priority


def level(priority: Priority | str, **keys: Any) -> str:
    """One `[[rule.level]]`."""
    return "    [[rule.level]]\n" + _lines("    ", priority=str(priority), **keys)


def rule(name: str, sign: str, *levels: str, text: str = "x", **keys: Any) -> str:
    """One `[[rule]]` with its levels."""
    return "[[rule]]\n" + _lines("", name=name, sign=sign, text=text, **keys) + "".join(levels)


def _lines(indent: str, **keys: Any) -> str:
    return "".join(f"{indent}{key} = {json.dumps(value)}\n" for key, value in keys.items())


HIGH = rule(
    "hr",
    "heart_rate",
    level("medium", above=120, clear=115, for_s=10),
    level("high", above=150, clear=145, for_s=3),
    text="Heart rate high",
    clear_for_s=5,
)
SCORE = rule("score", "news2", level("medium", above=4, single=3), level("high", above=6), text="NEWS2")
