"""`vitalflow grafana check` without a database: the dashboards as they are pass, and each mistake is found."""

import copy
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from alerts.rulefile.parser import DEFAULT
from grafana.canonical import canonical, panels
from grafana.files import DASHBOARDS, PROVISIONING, read_dashboards, text_of
from grafana.lint import check_dashboards
from grafana.palette import MEANING
from grafana.provisioning import ENVIRONMENT, check_provisioning, read_provisioning
from grafana.schema import SCHEMA, check_shape
from stack.binaries import CHECKOUT
from tests.support.process import environ_of, run_module
from vitals.errors import PermanentError

FOUND = read_dashboards()
ON_DISK = {path: text_of(dashboard) for path, dashboard in FOUND.items()}
WARD = next(path for path in FOUND if path.stem == "ward")
Dashboard = dict[str, Any]
Change = Callable[[Dashboard], object]


def findings(change: Change) -> list[str]:
    """What is said of the dashboards where one of them was changed; the command checks the shape of the others."""
    found = FOUND | {WARD: copy.deepcopy(FOUND[WARD])}
    change(found[WARD])
    on_disk = ON_DISK | {WARD: text_of(found[WARD])}
    return list(check_shape(found[WARD])) or list(check_dashboards(found, on_disk))


def panel(dashboard: Dashboard, number: int = 1) -> Any:
    return next(each for each in panels(dashboard) if each["id"] == number)


def sql(dashboard: Dashboard, text: str) -> None:
    panel(dashboard)["targets"][0]["rawSql"] = text


def override(dashboard: Dashboard, name: str, value: object) -> None:
    panel(dashboard)["fieldConfig"]["overrides"][0]["properties"] = [{"id": name, "value": value}]


def mappings_of(override: Dashboard) -> list[Dashboard]:
    return [each for each in override["properties"] if each["id"] == "mappings"]


def test_the_dashboards_have_no_findings() -> None:
    assert findings(lambda _: None) == []
    assert {path.stem for path in FOUND} == {"ward", "wall", "patient", "alerts", "pipeline"}


LINK = {"title": "x", "type": "link", "url": "/d/nowhere/x", "targetBlank": False}
CHANGES: dict[str, tuple[Change, str]] = {
    "uid": (lambda d: d.update(uid="vitalflow-alerts"), "2 dashboards have the uid"),
    "title": (lambda d: d.update(title="Alerts"), "2 dashboards have the title 'Alerts'"),
    "schema version": (lambda d: d.update(schemaVersion=41), "schemaVersion is 41, expected 42"),
    "tag": (lambda d: d.update(tags=["mine"]), "the tag vitalflow"),
    "refresh": (lambda d: d.update(refresh="7s"), "refreshes every '7s'"),
    "form": (lambda d: d.update(version=3), "not in canonical form"),
    "panel number": (lambda d: panel(d, 2).update(id=1), "panel id 1 occurs 2 times"),
    "no panel number": (lambda d: panel(d, 2).pop("id"), "panel id None"),
    "description": (lambda d: panel(d).update(description=""), "has no description"),
    "panel title": (lambda d: panel(d).update(title=" "), "has no title"),
    "panel type": (lambda d: panel(d).update(type="gauge"), "is of the type 'gauge'"),
    "no value": (lambda d: panel(d)["fieldConfig"]["defaults"].pop("noValue"), "has no noValue"),
    "overlap": (lambda d: panel(d, 2)["gridPos"].update(x=11), "'Beds' overlaps panel 1 'Open alerts'"),
    "overlap in a row": (
        lambda d: d["panels"].append(
            {
                "type": "row",
                "id": 8,
                "title": "Row",
                "collapsed": True,
                "gridPos": {"x": 0, "y": 40, "w": 24, "h": 1},
                "panels": [dict(copy.deepcopy(panel(d)), id=9), dict(copy.deepcopy(panel(d)), id=10)],
            }
        ),
        "panel 10 'Open alerts' overlaps panel 9 'Open alerts'",
    ),
    "palette": (
        lambda d: panel(d)["fieldConfig"]["defaults"].update(color={"mode": "palette-classic"}),
        "is 'palette-classic', whose colours include those of the priorities",
    ),
    "off the grid": (lambda d: panel(d, 2)["gridPos"].update(x=13), "outside the grid of 24 columns"),
    "no position": (lambda d: panel(d).pop("gridPos"), "has no position"),
    "data source": (lambda d: panel(d).update(datasource={"type": "x", "uid": "y"}), "datasource is {'type': 'x'"),
    "no data source": (lambda d: panel(d).pop("datasource"), "names no data source"),
    "no query": (lambda d: panel(d).update(targets=[]), "has 0 queries"),
    "two of a name": (lambda d: panel(d)["targets"].append(panel(d)["targets"][0]), "two queries with the same refId"),
    "query builder": (lambda d: panel(d)["targets"][0].update(rawQuery=False), "rawQuery is False"),
    "editor": (lambda d: panel(d)["targets"][0].update(editorMode="builder"), "editorMode is 'builder'"),
    "format": (lambda d: panel(d, 3)["targets"][0].update(format="time_series"), "expected table"),
    "unit": (lambda d: panel(d)["fieldConfig"]["defaults"].update(unit="bpm"), "the unit 'bpm'"),
    "unit of a column": (lambda d: override(d, "unit", "mmHg"), "the unit 'mmHg'"),
    "colour": (
        lambda d: override(d, "thresholds", {"mode": "absolute", "steps": [{"color": "pink", "value": None}]}),
        "'pink', a colour that is not in grafana",
    ),
    "undeclared": (
        lambda d: sql(d, "SELECT ARRAY[${who:sqlstring}]::text[]"),
        "the variable who, which is not declared",
    ),
    "not sqlstring": (lambda d: sql(d, "SELECT '${ward}'"), r"write ARRAY[${ward:sqlstring}]::text[]"),
    "no array": (lambda d: sql(d, "SELECT 1 WHERE x IN (${ward:sqlstring})"), "write ARRAY["),
    "bare variable": (lambda d: sql(d, "SELECT $ward"), "write ARRAY["),
    "unused": (
        lambda d: d["templating"]["list"][0].update(name="other"),
        "the variable other is declared and not used",
    ),
    "never asked": (lambda d: d["templating"]["list"][0].update(refresh=0), "never refreshed"),
    "no label": (lambda d: d["templating"]["list"][0].update(label=""), "has no label"),
    "unknown macro": (lambda d: sql(d, "SELECT $__timeGroup(time, '5m')"), "the macro $__timeGroup is not one of"),
    "parenthesis": (
        lambda d: sql(d, "SELECT 1 WHERE $__timeFilter(date_trunc('day', time))"),
        "has a nested parenthesis",
    ),
    "comment": (lambda d: sql(d, "SELECT 1 -- one"), "a comment in SQL"),
    "twice quoted": (lambda d: sql(d, "SELECT '$__timeFrom()'"), "in quotes: both add their own"),
    "built-in": (lambda d: sql(d, "SELECT $__from"), "uses $__from"),
    "dead link": (lambda d: d["links"].append(dict(LINK)), "leads to '/d/nowhere/x'"),
    "link to a variable that is not there": (
        lambda d: d["links"].append(dict(LINK, url="/d/vitalflow-alerts/x?var-bed=1")),
        "sets the variable bed, which vitalflow-alerts does not have",
    ),
    "link to a tag": (lambda d: d["links"][0].update(tags=["other"]), "uses a tag that no dashboard has"),
    "least interval": (lambda d: panel(d).update(interval="1 minute"), "has the least interval '1 minute'"),
    "range": (lambda d: d["time"].update({"from": "an hour ago"}), "its range has from 'an hour ago'"),
    "offered refresh": (lambda d: d["timepicker"]["refresh_intervals"].append("soon"), "refresh every 'soon'"),
    "reducer": (lambda d: panel(d)["options"]["reduceOptions"].update(calcs=["newest"]), "shows the 'newest' of"),
    "matcher": (
        lambda d: panel(d)["fieldConfig"]["overrides"][0]["matcher"].update(id="byRegexp"),
        "matches a column by 'byRegexp'",
    ),
    "no unit": (
        lambda d: (panel(d).update(type="timeseries", options={}), panel(d)["fieldConfig"]["defaults"].pop("unit")),
        "has no unit",
    ),
    "override of nothing": (lambda d: override(d, "colour", {}), "'colour' was unexpected"),
    "override of a field of the panel": (
        lambda d: panel(d, 3)["fieldConfig"]["overrides"][0]["properties"].append({"id": "custom.wdth", "value": 9}),
        "override of 'Ward': Additional properties are not allowed ('wdth' was unexpected)",
    ),
    "value of an override": (lambda d: override(d, "thresholds", {"mode": "abs", "steps": []}), "'abs' is not one of"),
    "no type": (lambda d: panel(d).pop("type"), "'type' is a required property"),
    "no format": (lambda d: panel(d)["targets"][0].pop("format"), "'format' is a required property"),
    "no matcher": (
        lambda d: panel(d)["fieldConfig"]["overrides"][0].pop("matcher"),
        "'matcher' is a required property",
    ),
    "no name": (lambda d: d["templating"]["list"][0].pop("name"), "'name' is a required property"),
    "no uid": (lambda d: d.pop("uid"), "'uid' is a required property"),
    "no fields": (lambda d: panel(d).pop("fieldConfig"), "has no noValue"),
    "coloured base of a stat": (
        lambda d: (
            panel(d)["fieldConfig"]["defaults"].update(mappings=[]),
            panel(d)["fieldConfig"]["overrides"][0]["properties"][0]["value"]["steps"][0].update(color="red"),
        ),
        "a missing value in '!!! high' has the colour of the base step",
    ),
    "background of a missing text": (
        lambda d: (
            panel(d, 3)["fieldConfig"]["defaults"].update(mappings=[]),
            [o["properties"].remove(p) for o in panel(d, 3)["fieldConfig"]["overrides"] for p in mappings_of(o)],
        ),
        "a missing value in 'Alert' has the colour of the base step",
    ),
    "regions of no panel": (
        lambda d: d["annotations"]["list"][0].update(filter={"exclude": False, "ids": [99]}),
        "is for the panels [99], which do not exist",
    ),
    "shape": (lambda d: panel(d)["options"].update(colour="red"), "'colour' was unexpected"),
    "shape of a field": (lambda d: panel(d, 3)["fieldConfig"]["defaults"]["custom"].update(wide=1), "'wide' was unexp"),
    "shape of a panel": (lambda d: panel(d).update(pluginsVersion="13"), "'pluginsVersion' was unexpected"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_defect_is_found(name: str) -> None:
    change, wanted = CHANGES[name]
    found = findings(change)
    assert any(wanted in sentence for sentence in found), found


def test_the_output_of_grafanas_editor_becomes_canonical() -> None:
    """Save JSON adds what belongs to that Grafana; an export replaces the data source by a variable."""
    kept = FOUND[WARD]
    saved = copy.deepcopy(kept) | {"id": 17, "version": 4, "iteration": 99, "__inputs": [], "__requires": []}
    saved["panels"].reverse()
    for each in panels(saved):
        if "datasource" in each:
            each["datasource"] = {"type": "postgres", "uid": "${DS_VITALFLOW}"}
    saved["templating"]["list"][0]["current"] = {"text": ["icu-1"], "value": ["icu-1"]}
    saved["templating"]["list"][0]["options"] = [{"text": "icu-1", "value": "icu-1", "selected": True}]
    panel(saved)["targets"][0]["rawSql"] += "   \n"
    copied = copy.deepcopy(panel(saved, 2))
    assert text_of(canonical(saved)) == text_of(kept)
    assert canonical(kept) == kept
    saved["panels"].append(copied)
    assert [each["id"] for each in canonical(saved)["panels"]].count(2) == 1


def run_check(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return run_module("grafana", "check", *arguments, environ=environ_of())


def test_the_command_reports_no_findings_and_what_it_skipped() -> None:
    done = run_check()
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"5 dashboards, \d+ queries; not executed: VITALFLOW_READER_URL is not set: no findings\n", done.stdout
    )


def test_the_command_reports_findings_and_rewrites_files(tmp_path: Path) -> None:
    for path, dashboard in FOUND.items():
        (tmp_path / path.name).write_text(json.dumps(dashboard | {"id": 3}))
    done = run_check("--dashboards", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.count("not in canonical form") == len(FOUND)
    assert run_check("--dashboards", str(tmp_path), "--write").returncode == 0
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*")} == {
        path.name: path.read_bytes() for path in DASHBOARDS.glob("*.json")
    }


def test_a_missing_package_is_named() -> None:
    without = "import sys; sys.modules['yaml'] = None; sys.argv[1:] = ['check']; import grafana.__main__ as g; g.app()"
    done = subprocess.run([sys.executable, "-c", without], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("vitalflow grafana: yaml is not installed; pip install -r requirements-dev.txt")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"panels": [}', "ward.json is not valid JSON: line 1, column 13"),
        ('{"title": "x"}', "is not a dashboard in classic JSON"),
        (None, "there is no dashboard in"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "ward.json").write_text(text)
    with pytest.raises(PermanentError, match=re.escape(said)):
        read_dashboards(tmp_path)


# Provisioning


def test_the_provisioning_has_no_findings() -> None:
    found = read_provisioning()
    assert list(check_provisioning(found, FOUND)) == []
    assert {path.parent.name for path in found} == {"datasources", "dashboards", "alerting"}
    text = "".join(path.read_text() for path in found)
    assert set(re.findall(r"VITALFLOW_\w+", text)) == ENVIRONMENT


def test_compose_sets_the_variables_of_the_provisioning() -> None:
    grafana = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]["grafana"]
    environment = grafana["environment"]
    names = environment if isinstance(environment, dict) else {each.partition("=")[0] for each in environment}
    assert set(names) >= ENVIRONMENT
    mounted = " ".join(map(str, grafana["volumes"]))
    assert "/etc/grafana/provisioning" in mounted
    assert "/var/lib/grafana/dashboards" in mounted


YAML_CHANGES = [
    ("datasources", "    editable: false", "    editible: false", "editible is not a key that Grafana reads"),
    ("datasources", "${VITALFLOW_GRAFANA_DB_NAME}", "${DB_NAME}", "reads the variable DB_NAME"),
    ("datasources", "$__file{/run/secrets/reader_password}", "hunter2", "the password must be $__file"),
    ("datasources", "user: vitalflow_reader", "user: vitalflow", "the user is 'vitalflow'"),
    ("datasources", "uid: vitalflow ", "uid: other ", "datasources[0].uid is 'other'; expected 'vitalflow'"),
    ("datasources", "timescaledb: true", "timescaledb: false", "timescaledb is False; expected True"),
    ("datasources", "timeInterval: 1s", "timeInterval: 1 s", "timeInterval is '1 s'"),
    ("datasources", "    user: vitalflow_reader\n", "", "datasources[0].user is missing"),
    ("dashboards", "type: file", "type: fil", "type is 'fil'; expected 'file'"),
    ("dashboards", "options:\n      path: ", "options: ", "providers[0].options is '/var/lib/grafana/dashboards'"),
    ("alerting", "apiVersion: 1", "apiVersion: 2", "apiVersion is 2; expected 1"),
    ("alerting", "for: 1m", "for: soon", "for is 'soon'"),
    ("alerting", "noDataState: Alerting", "noDataState: OK", "noDataState is 'OK'; expected 'Alerting'"),
    ("alerting", "type: threshold", "type: treshold", "C.model.type is 'treshold'; expected 'threshold'"),
    ("alerting", "type: gt", "type: above", "evaluator.type is 'above'; expected 'gt' or 'lt'"),
    ("alerting", "params: [60]", "params: []", "params is []; expected a list"),
    ("alerting", "format: table", "format: time_series", "A.model.format is 'time_series'; expected 'table'"),
    ("alerting", "      - uid: vitalflow-ingest-silent\n        title", "      - title", "rules[0].uid is missing"),
    ("dashboards", "type: file", "typ: file", "typ is not a key"),
    ("alerting", "condition: C", "condition: B", "its condition 'B' is not a threshold; the steps are A, C"),
    ("alerting", "condition: C", "condition: A", "its condition 'A' is not a threshold"),
    ("alerting", "expression: A", "expression: Z", "the expression 'Z' is none of A, C"),
    ("alerting", "datasourceUid: vitalflow", "datasourceUid: other", "datasourceUid is 'other'; expected 'vitalflow'"),
    ("alerting", "uid: vitalflow-broker-dropping", "uid: vitalflow-ingest-silent", "two rules have the same uid"),
    ("alerting", "panelId: 1", "panelId: 99", "there is no panel 99"),
    ("alerting", "for: 1m", "for: [1m]", "is not a scalar"),
]


@pytest.mark.parametrize(("folder", "old", "new", "said"), YAML_CHANGES)
def test_each_defect_of_the_provisioning_is_found(tmp_path: Path, folder: str, old: str, new: str, said: str) -> None:
    for path in PROVISIONING.glob("*/*.yaml"):
        text = path.read_text()
        copied = tmp_path / path.parent.name / path.name
        copied.parent.mkdir()
        assert path.parent.name != folder or old in text
        copied.write_text(text.replace(old, new) if path.parent.name == folder else text)
    found = list(check_provisioning(read_provisioning(tmp_path), FOUND))
    assert any(said in sentence for sentence in found), found


# What dashboards say is what the project says


def test_the_limits_in_the_charts_are_those_of_the_default_rules() -> None:
    """Each limit of the rule file stands as a threshold on the sign's chart, and no other does.

    Blood pressure has none: the limits of the systolic pressure lie where a normal diastolic pressure is.
    """
    rules = tomllib.loads(DEFAULT.read_text())["rule"]
    limits: dict[str, set[float]] = {}
    for rule in rules:
        levels = rule.get("level", [rule])
        found = {level[side] for level in levels for side in ("above", "below") if side in level}
        limits[rule["sign"]] = limits.get(rule["sign"], set()) | found
    patient = next(dashboard for path, dashboard in FOUND.items() if path.stem == "patient")
    shown: dict[str, set[float]] = {}
    for each in patient["panels"]:
        if each["type"] == "timeseries" and each["title"] not in ("NEWS2 and its parts", "Blood pressure"):
            (key,) = set(re.findall(r"\b(\w+)_avg", each["targets"][0]["rawSql"]))
            steps = each["fieldConfig"]["defaults"]["thresholds"]["steps"]
            shown[key] = {step["value"] for step in steps if step["value"] is not None}
    assert shown == {key: limits[key] for key in shown}
    assert len(shown) == 4


def test_priorities_have_the_marks_and_colours_of_every_screen() -> None:
    from vitals.alert import Priority
    from vitals.alert_format import COLOURS, badge

    ours = {"red": "red", "yellow": "yellow", "cyan": "light-blue"}
    for dashboard in FOUND.values():
        for each in panels(dashboard):
            for override in each.get("fieldConfig", {}).get("overrides", []):
                for setting in override["properties"]:
                    if override["matcher"]["options"] == "Alert" and setting["id"] == "mappings":
                        shown = setting["value"][0]["options"]
                        for priority in Priority:
                            assert shown[badge(priority)]["color"] == ours[COLOURS[priority]]
                            assert shown[badge(priority, "technical")]["color"].endswith("purple")
                        assert len(shown) == 6
    assert set(ours.values()) < set(MEANING)


def test_the_docs_explain_every_panel() -> None:
    text = (CHECKOUT / "docs/dashboards.md").read_text(encoding="utf-8")
    missing = [each["title"] for d in FOUND.values() for each in panels(d) if f"**{each['title']}**" not in text]
    assert missing == []


def test_the_schema_is_valid() -> None:
    Draft7Validator.check_schema(json.loads(SCHEMA.read_text()))
