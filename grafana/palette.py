"""The colours that dashboards may use, with their meaning. No information depends on colour alone.

Red, yellow and light blue are the priorities of IEC 60601-1-8 (which calls the last one cyan), purple is equipment,
grey means no readings. The same as in `vitals.alert_format`.
"""

from typing import Final

MEANING: Final = {
    "red": "high priority: immediate response",
    "yellow": "medium priority: prompt response",
    "light-blue": "low priority: awareness",
    "purple": "equipment",
    "semi-dark-purple": "equipment, partly",
    "text": "neutral",
    "transparent": "neutral, without background",
    "green": "good",
    "#8e8e8e": "no readings",
    "blue": "a number without a rating",
    # Lines and bars: one colour per sign, the same on every panel.
    "super-light-green": "a sign",
    "super-light-blue": "a sign",
    "super-light-orange": "a sign",
    "super-light-purple": "a sign",
    "semi-dark-orange": "a sign",
    "light-orange": "a sign",
}
