"""Bedside monitors, simulated or replayed from recordings, that publish readings over MQTT.

It may import `vitals`, `mqtt` and, to enrol devices, `identity`. Its main loop is `fleet.run_fleet`: per device, a
`producer` puts the samples of a `source` into an `outbox`, and a `publisher` sends them until they are confirmed.
"""
