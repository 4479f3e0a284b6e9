"""The edges: decode what other systems send, such as HL7 v2, into readings.

Pure but for the commands and the listeners: no socket and no clock.
"""
