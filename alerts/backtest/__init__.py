"""Run rule sets on recordings, or on the stored past, and count the alarms that would have sounded.

Imports `alerts.engine`, `vitals` and `sql`. `comparison.run` is its main loop.
"""
