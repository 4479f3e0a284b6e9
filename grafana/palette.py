"""The one language of colours of all dashboards. A colour never says anything alone: a word stands beside it.

Red, yellow and light blue are the priorities of IEC 60601-1-8 (which calls the last one cyan); purple is the equipment
and not the patient; grey is what nobody measures any more. The same words as `vitals.alert_format`.
"""

from typing import Final

MEANING: Final = {
    "red": "high: an immediate response",
    "yellow": "medium: a prompt one",
    "light-blue": "low: awareness",
    "purple": "the equipment",
    "semi-dark-purple": "the equipment, milder",
    "text": "nothing special",
    "transparent": "nothing special, without a ground",
    "green": "as it should be",
    "#8e8e8e": "nobody measures",
    "blue": "a number without a judgement",
    # Lines and bars, where a colour is only a name: one for each sign, the same on every panel.
    "super-light-green": "a sign",
    "super-light-blue": "a sign",
    "super-light-orange": "a sign",
    "super-light-purple": "a sign",
    "semi-dark-orange": "a sign",
    "dark-orange": "a sign",
}
