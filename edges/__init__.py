"""The edges: receive HL7 v2 and FHIR R4 and publish it as devices, and send alerts and readings as HL7 v2.

It may import `vitals`, `mqtt`, `sql`, `identity`, and `devices`, whose publisher delivers the readings of each bed. The
main loops are in `service.service` (in) and `outgoing.exporter` (out). The decoders have neither a socket nor a clock.
"""
