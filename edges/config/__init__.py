"""The configuration of a site (SITE.toml) and what it refers to: places, code tables, mappings, secret files.

It imports `vitals` and no other package of the edges. `site.Site` is the whole configuration; `codes` and `mappings`
hold the built-in tables as TOML.
"""
