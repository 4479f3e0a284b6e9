"""The database: its schema as .sql files, the migration tool, and the connection errors and settings of all clients.

Imports `vitals` only. There is no main loop: `sql.migrate.migrate` brings a database up to date, and `vitalflow db`
runs it.

migrations/  numbered, applied once, never edited afterwards: tables, hypertables, indexes
editions/    applied at every migrate, by edition of TimescaleDB: rollups, policies
repeatable/  applied at every migrate: roles, views, functions, grants
ingest.sql   the statements of the ingest service, by name; status.sql those of `vitalflow db status`
"""
