"""Assign patients to beds after admissions, transfers and discharges (HL7 ADT).

It imports `vitals`, `mqtt` and `inbox`. `admissions.plan` decides and is pure; the main loop is
`publisher.AdmissionPublisher.work`, which publishes what `queue` keeps.
"""
