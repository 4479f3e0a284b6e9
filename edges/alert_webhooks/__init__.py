"""Alerts that leave over HTTP: the shape of each kind of receiver, the signature, and the sender."""
