"""Export stored readings for research: CSV or Parquet with a data dictionary, on demand without identities.

`__main__` is the command line, `write_export` the whole export, `readings` the queries, `deidentify` the replacement of
names and times, `formats` and `parquet` the files.
"""
