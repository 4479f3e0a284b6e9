"""devices/outbox."""
