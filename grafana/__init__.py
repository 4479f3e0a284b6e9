"""Grafana: five dashboards, its provisioning, and `vitalflow grafana check`, which verifies both.

Imports `vitals` and `sql`. There is no main loop; `grafana.__main__.check` runs every check. The JSON files in
dashboards/ are the source: they are edited in Grafana and saved there.
"""
