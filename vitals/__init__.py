"""The domain: readings, signs, alerts, rules and their wire formats, without sockets, clocks or databases.

Imports nothing of the project; every other package imports it. It has no main loop.
"""
