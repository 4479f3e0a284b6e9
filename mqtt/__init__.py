"""MQTT for every program: broker endpoint, TLS, sessions, the publish fast path and service status.

Imports `vitals` and nothing else of the project. It has no main loop of its own: `session.Session` is driven by the
loops of `ingest.pipeline` and `alerts.worker`, `async_client` by devices and station.
"""
