"""Everything the database is told, as .sql files, and the program that tells it: `python -m sql migrate`.

migrations/  numbered, applied once, never edited afterwards: tables, hypertables, their indexes
always/      applied at every migrate: roles, views, functions, grants
ingest.sql   the statements of the ingest service, by name
"""
