"""Grafana: four dashboards, what Grafana is told at its start, and `vitalflow grafana check`, which proves both.

After a reading's way: what the database knows, on the screens of people. The JSON below dashboards/ is the source;
people change it in Grafana's own editor and save it here.
"""
