"""Measure speed, cost and correctness under load, as ratios to a reference in the same run: machines differ.

It may import every package, and `tests/support`. Each command of `vitalflow bench` is a function of its name in a
module of its name; `environment` starts the servers. There is no main loop.
"""
