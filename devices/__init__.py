"""Bedside monitors: where a reading is born, and how it leaves.

A reading's way through this room: `patient` (under a `scenario`) or `vitals.recording` says what is measured;
`simulation` and `replay` say when, as a `source`; `publisher` stamps it, keeps it in its `outbox` and hands
it to the broker; `fleet` does that for thousands of devices in one process. `ingest` is on the other side.
"""
