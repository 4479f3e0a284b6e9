"""Readings that services and applications send by HTTP: proofs of the sender, the shapes of documents, the listener."""
