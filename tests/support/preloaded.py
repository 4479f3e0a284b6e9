"""Imports what the commands of VitalFlow import: the processes of `tests.support.process` are forks of it."""

import gc
import sys
from importlib import import_module

COMMANDS = [
    "alerts", "devices", "edges", "grafana", "identity", "ingest", "ingest.importing", "sql", "sql.export", "stack",
    "station", "vitalflow",
]  # fmt: skip
ON_DEMAND = ["edges.fhir", "edges.hl7", "edges.mqtt", "edges.serial", "edges.webhook"]

import_module("tests.support.process")
for name in [f"{package}.__main__" for package in COMMANDS] + [f"{package}.commands" for package in ON_DEMAND]:
    import_module(name)
for package in COMMANDS:
    del sys.modules[f"{package}.__main__"]  # runpy warns of one that is imported before it runs
if (coverage := sys.modules.get("coverage")) and (measured := coverage.Coverage.current()):
    # Otherwise each fork writes what was imported, and lists every file of the packages: 0.13 s of processor.
    measured.save()
    setattr(measured, "_post_save_work", lambda: None)  # noqa: B010
gc.freeze()  # the forks share its memory: they collect only what is their own
