"""MQTT -> hypertable: receive, decode, batch, write, acknowledge.

A reading's way through this room, each hop a plain call: `mqtt.fast_client` cuts messages out of the socket for
`mqtt.session`, `intake` decodes a message into the open `batch`, `writer` carries a full batch to the database by
way of `store`, and the session acknowledges what was committed. `pipeline` tells that order in one function.
"""
