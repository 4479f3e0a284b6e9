"""What labels and keys of sketches mean. Pure.

A label is compared without case, spaces and underscores. A weak one has other meanings too (the raw signal of a pulse
sensor, the oxygen of the air), and counts only beside a label of another sign that leaves no doubt.
"""

import re
from collections.abc import Mapping

from msgspec import Struct


class Label(Struct, frozen=True):
    """The meaning of a label.

    sign   "" for none
    rank   the smaller one is taken where a line has several labels of a sign: an average before one beat
    """

    sign: str
    rank: int = 1
    weak: bool = False


_TEXTS = {
    ("heart_rate", 0, False): "avg bpm, average bpm, bpm avg, beat avg, avg hr, hr avg, average heart rate, "
    "avg heart rate",
    ("heart_rate", 1, False): "hr, heart rate, bpm, pulse rate, pr, hr bpm, heart rate bpm, beats per minute, "
    "heart bpm",
    ("heart_rate", 1, True): "pulse, heart beat",
    ("spo2", 1, False): "spo2, spo 2, sp02, oxygen saturation, o2 sat, o2 saturation, sao2, blood oxygen, "
    "blood oxygen level, spo2 level, oxygen level, spo2 percent, spo2 value",
    ("spo2", 1, True): "o2, oxygen, saturation, spo",
    ("resp_rate", 1, False): "resp rate, respiratory rate, respiration rate, breathing rate",
}  # fmt: skip
_KEYS = {
    ("temperature", 0, False): "body temp, body temperature, body temp c",
    ("temperature", 1, True): "temp, temperature, temp c",
}


def _normal(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def _labels(texts: Mapping[tuple[str, int, bool], str]) -> dict[str, Label]:
    return {_normal(text): Label(*label) for label, listed in texts.items() for text in listed.split(",")}


_SPELLED = tuple(text.strip() for listed in _TEXTS.values() for text in listed.split(","))
_TEXT_LABELS = _labels(_TEXTS)
_JSON_LABELS = _TEXT_LABELS | _labels(_KEYS)


class Labels:
    """The labels of one port.

    own   labels of the site: label -> sign, or "" for a label that means none
    """

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        self._own = {_normal(text): Label(sign, rank=0) for text, sign in (own or {}).items()}
        spelled = sorted((*_SPELLED, *(own or {})), key=len, reverse=True)
        self._find = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(_spaced, spelled))})(?![^\W_])", re.IGNORECASE)

    def in_text(self, line: str) -> list[tuple[Label, re.Match[str]]]:
        """Return the labels in a line, from left to right."""
        known = _TEXT_LABELS | self._own
        return [(known[_normal(found[0])], found) for found in self._find.finditer(line)]

    @property
    def of_signs(self) -> dict[str, str]:
        """The labels and keys without case, blanks and underscores -> sign."""
        return {text: label.sign for text, label in (_JSON_LABELS | self._own).items() if label.sign}

    def of_key(self, key: str) -> Label | None:
        """Return the meaning of a key of JSON."""
        normal = _normal(key)
        return self._own.get(normal) or _JSON_LABELS.get(normal)


def _spaced(label: str) -> str:
    return r"[\s_-]*".join(map(re.escape, re.split(r"[\s_-]+", label.strip())))
