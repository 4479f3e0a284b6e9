"""MQTT clients for every program: broker endpoint, TLS, sessions, the publish fast path and service status.

Imports `vitals` and nothing else of the project. It has no main loop: the loops of `ingest.pipeline` and
`alerts.worker` drive `session.Session`; devices and station run `async_client`.
"""
