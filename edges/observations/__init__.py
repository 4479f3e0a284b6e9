"""Decide which observation of a message or a document is a value of a reading, and why each other one is not. Pure.

It imports `vitals` and `config`. `observed.decide` decides; `found` and `mapping` turn documents into observations.
"""
