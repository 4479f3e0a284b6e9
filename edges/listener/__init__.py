"""What the listeners share: the HTTP server, who may connect, rejected proofs of a sender, and the `listen` commands.

It imports `config` and `service`. The main loop is that of the service, run by `listening`.
"""
