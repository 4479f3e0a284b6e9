"""Readings -> alarms, back on MQTT. Needs no database.

What is pure stands apart from what touches a socket. `rulefile` reads the rules of `rules.toml` into `rules`; `bed` is
all that is known of one device and moves its alerts, by `machine`, which counts delays, and `news2`, which scores;
`commands` is what a person may do to an alert, `limits` what a person may set for a bed; `alert` is what travels.
`lab` runs recordings and stored history through the same engine.
"""
