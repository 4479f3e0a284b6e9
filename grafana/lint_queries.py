"""Check the queries of a dashboard without a database. Pure; called by `lint`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from grafana.canonical import DATASOURCE, annotations, panels, variables
from grafana.files import Json, text_of
from grafana.macros import MACRO, MACROS, VARIABLE
from grafana.queries import queries

WITHOUT_QUERIES: Final = {"row", "text"}
BUILT_IN: Final = re.compile(r"__\w+")


def check_targets(dashboard: Json) -> Iterator[str]:
    """Check that panels have queries, in the form that Grafana's editor writes and the format of the panel type."""
    for panel in panels(dashboard):
        listed = panel.get("targets", [])
        if bool(listed) == (panel["type"] in WITHOUT_QUERIES):
            yield f"{name_of(panel)} has {len(listed)} queries, which does not fit a {panel['type']}"
        if len({target.get("refId") for target in listed}) < len(listed):
            yield f"{name_of(panel)} has two queries with the same refId"
        for target in listed:
            yield from _target(target, name_of(panel), "time_series", "table")
        formats = {"timeseries": "time_series", "state-timeline": "time_series", "table": "table", "barchart": "table"}
        for target in listed:
            if target.get("format") != formats.get(panel["type"], target.get("format")):
                expected = formats[panel["type"]]
                yield f"{name_of(panel)} has a query in the format {target.get('format')}, expected {expected}"
    for annotation in annotations(dashboard):
        if annotation["datasource"] == DATASOURCE:
            yield from _target(annotation.get("target", {}), f"annotation {annotation['name']}", "table")


def _target(target: Mapping[str, Any], where: str, *formats: str) -> Iterator[str]:
    for key, values in {"rawQuery": (True,), "editorMode": ("code",), "format": formats}.items():
        if target.get(key) not in values:
            yield f"{where}: {key} is {target.get(key)!r}, expected {' or '.join(map(repr, values))}"
    if not str(target.get("rawSql", "")).strip() or not target.get("refId"):
        yield f"{where}: a query needs rawSql and refId"


def check_sql(dashboard: Json) -> Iterator[str]:
    """Check that variables are declared, used, and written so that no value breaks a query; and check the macros."""
    declared = {variable["name"]: variable for variable in variables(dashboard)}
    used: set[str] = set()
    for query in queries(dashboard):
        for found in VARIABLE.finditer(query.sql):
            name = next(group for group in (found[1], found[3], found[4]) if group)
            if BUILT_IN.fullmatch(name):
                if name not in ("__interval_ms", "__interval"):
                    yield f"{query.where} uses ${name}; built-in variables: only __interval and __interval_ms"
                continue
            used.add(name)
            if name not in declared:
                yield f"{query.where} uses the variable {name}, which is not declared"
            elif f"ARRAY[${{{name}:sqlstring}}]::text[]" not in query.sql or found[2] != "sqlstring":
                wanted = f"ARRAY[${{{name}:sqlstring}}]::text[]"
                yield f"{query.where}: write {wanted}, which works with quotes and with no selection"
        yield from (f"{query.where}: {message}" for message in _macros(query.sql))
    for name, variable in declared.items():
        text = text_of({"links": dashboard.get("links", []), "panels": dashboard["panels"]})
        if name not in used and f"{{{name}" not in text:
            yield f"the variable {name} is declared and not used"
        if variable["type"] == "query" and variable.get("refresh") not in (1, 2):
            yield f"the variable {name} is never refreshed: refresh is {variable.get('refresh')!r}, expected 1 or 2"
        if not variable.get("label") or not variable.get("description"):
            yield f"the variable {name} has no label or no description"


def _macros(sql: str) -> Iterator[str]:
    for found in MACRO.finditer(sql):
        if found[1] not in MACROS:
            yield f"the macro ${found[1]} is not one of {', '.join(f'${name}' for name in MACROS)}"
        elif "(" in found[2]:
            yield f"the macro ${found[1]} has a nested parenthesis, at which Grafana ends it: {found[0]}"
    if "--" in sql or "/*" in sql:
        yield "a comment in SQL, which Grafana removes before it expands macros"
    if "'$" in sql:
        yield "a variable or a macro in quotes: both add their own"


def name_of(panel: Json) -> str:
    """Return a panel's name for messages."""
    return f"panel {panel.get('id')} {panel.get('title', '')!r}"
