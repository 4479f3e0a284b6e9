"""Everything the database is told, as .sql files, and the program that tells it: `python -m sql migrate`.

migrations/  numbered, applied once, never edited afterwards: tables, hypertables, their indexes
editions/    applied at every migrate, for the edition of TimescaleDB that the server is: rollups, policies
always/      applied at every migrate: roles, views, functions, grants
ingest.sql   the statements of the ingest service, by name; status.sql those of `python -m sql status`
"""
