"""The line of each key of a rule file, for the mistakes that the parser reports.

`tomllib` does not report positions. A rule file has a simple form: headers [[rule]], [[rule.level]], [[profile]]
and [profile.limits] with one key a line, so a scan for these shapes finds the lines; texts over several lines are
skipped. If a file uses another form of TOML, the scan counts other tables than tomllib does, and every position is
line 1.
"""

import re
from typing import Any

_HEADER = re.compile(r"\s*\[\[\s*(rule(?:\s*\.\s*level)?|profile)\s*\]\]")
_KEY = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([\w-]+))\s*=\s*(.*)""")
_LONG = ('"""', "'''")

# (place of the rule, "profile" and its place, or None for the top; place of a rule's level or None for the rule itself)
_Section = int | tuple[str, int] | None
_Table = tuple[_Section, int | None]


class Positions:
    """Where the keys of one text stand; `content` is what tomllib read from it."""

    def __init__(self, text: str, content: dict[str, Any]) -> None:
        self._keys: dict[tuple[_Table, str], int] = {}
        self._headers: dict[_Table, int] = {(None, None): 1}
        self._scan(text)
        rules = content.get("rule", [])
        self._knows = isinstance(rules, list) and all(isinstance(rule, dict) for rule in rules)
        if self._knows:
            levels = sum(len(rule.get("level", ())) for rule in rules if isinstance(rule.get("level", ()), list))
            profiles = content.get("profile", [])
            self._knows = len(self._headers) == 1 + len(rules) + levels + len(profiles)

    def of(self, section: _Section, key: str, level: int | None = None) -> int:
        """The line of a key; of the rule's key where the level has none; of the header where neither has."""
        if not self._knows:
            return 1
        places: list[_Table] = [(section, level), (section, None)]
        found = [self._keys[place, key] for place in places if (place, key) in self._keys]
        found += [self._headers[place] for place in places if place in self._headers]
        return found[0] if found else 1

    def _scan(self, text: str) -> None:
        rule = profile = -1
        section: _Section = None
        level: int | None = None
        closing = ""  # the delimiter that ends the current multi-line text
        for number, line in enumerate(text.splitlines(), 1):
            if closing:
                closing = "" if closing in line else closing
                continue
            header = _HEADER.match(line)
            if header and header[1] == "rule":
                rule, level = rule + 1, None
                section = rule
                self._headers[section, level] = number
            elif header and header[1] == "profile":
                profile, level = profile + 1, None
                section = ("profile", profile)
                self._headers[section, level] = number
            elif header:
                level = 0 if level is None else level + 1
                self._headers[section, level] = number
            elif key := _KEY.match(line):
                name = key[1] or key[2] or key[3]
                self._keys.setdefault(((section, level), name), number)
                closing = next((mark for mark in _LONG if key[4].startswith(mark) and key[4].count(mark) == 1), "")
