"""When a bed is silent and when a value is too old, for every screen; `sql.thresholds` generates SQL functions from it.

A screen says SILENT early, after five missed readings at the usual one per second, because an old value must not pass
for a present one, and a word on a tile makes no noise. The alarm rule `no-data` waits longer (`for_s` in
alerts/rules.toml), because short gaps are frequent and an alarm that ends by itself teaches staff to ignore the next.
"""

from datetime import timedelta

SILENT_AFTER = timedelta(seconds=5)
SILENT_INTERVALS = 3  # for a device that announced a longer interval between two readings
# A reading that lags further behind its arrival may be from a backlog. A rule file may set another `stale_after_s`.
STALE_AFTER = timedelta(seconds=60)
VALUE_MAX_AGE = timedelta(minutes=15)  # the station shows an older value no longer, not even marked as old

# A device may send one sign per message: the verdict CRITICAL is on the newest value of each sign, if not older than
# this at the last reading (or than `silent_after`, where that is longer).
VERDICT_MAX_AGE = timedelta(seconds=15)

# How long an input of NEWS2 is valid. Heart rate, SpO2 and respiratory rate are measured continuously. The others are
# taken by hand or by cuff: the RCP asks for a full set at least hourly from a score of 5, and 4 to 6 hourly below it.
NEWS2_MAX_AGE: dict[str, timedelta] = {
    "resp_rate": timedelta(minutes=1),
    "spo2": timedelta(minutes=1),
    "heart_rate": timedelta(minutes=1),
    "systolic_bp": timedelta(hours=1),
    "temperature": timedelta(hours=4),
    "on_oxygen": timedelta(hours=4),
    "consciousness": timedelta(hours=4),
}

CONTINUOUS_SIGNS = frozenset(key for key, age in NEWS2_MAX_AGE.items() if age <= timedelta(minutes=1))
"""Signs that a monitor measures all the time."""

MONITORED_CHECKS = 3
"""A sign with a value at this many checks of the alert worker, 8 to 12 s, is monitored; fewer are spot checks."""


def silent_after(interval: timedelta | None) -> timedelta:
    """Return the age of its last reading above which a bed is silent. `interval`: between its readings, if known."""
    return max(SILENT_AFTER, SILENT_INTERVALS * interval) if interval else SILENT_AFTER
