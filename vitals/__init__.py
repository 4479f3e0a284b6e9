"""What a reading is and how it travels.

Every room of the house (devices, ingest, alerts, sql, stack) imports from here; nothing here imports
from them. `signs` is the one table of vital signs, `reading` the value, `wire` its JSON, `topics` its
address, `settings` and `errors` what all services share.
"""
