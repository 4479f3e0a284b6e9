"""The ingest service: receives readings over MQTT, stores them in TimescaleDB, then acknowledges them.

It may import `vitals`, `mqtt` and `sql`. Its main loop is `pipeline.Pipeline.run`; a message passes from
`mqtt.session` to `batch_builder`, `writer` and `store`, and is acknowledged after the COMMIT.
"""
