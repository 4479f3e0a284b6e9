"""The alarm engine: which readings, times and commands change which alert. Pure: no socket and no clock.

Imports `vitals`. `engine.Engine` finds the bed of a message, `bed.Bed` evaluates a reading, `level_state` counts the
delays of one rule, `timers` does what time alone changes. It has no main loop: `alerts.worker` calls it.
"""
