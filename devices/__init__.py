"""Bedside monitors: where a reading is born, and how it leaves.

A reading's way through this room: `patient` (under a `scenario`) or `vitals.recording` says what is measured;
`simulation` and `replay` say when, as a `source`; `producer` stamps it and keeps it in an `outbox`, on request in an
`outbox_file` too; `publisher` hands it to the broker over a `connection`, until a receipt releases it; `fleet` does
that for thousands of devices in one process. `ingest` is on the other side.
"""
