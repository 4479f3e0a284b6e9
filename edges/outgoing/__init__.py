"""Alerts and readings that leave for other systems: the queue on disk, and what becomes a message."""
