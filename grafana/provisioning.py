"""Check Grafana's provisioning files: keys, environment variables, and alert rules.

The keys are those that Grafana 13 reads. Grafana ignores unknown keys and replaces unset variables by an empty text,
both without an error.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from grafana.canonical import DATASOURCE, panels
from grafana.files import PROVISIONING, Json
from grafana.queries import Query
from vitals.errors import PermanentError

ENVIRONMENT: Final = frozenset(f"VITALFLOW_GRAFANA_DB_{name}" for name in ("HOST", "NAME", "SSLMODE", "CA"))
"""The variables that docker-compose.yml sets for these files."""
PASSWORD: Final = "$__file{/run/secrets/reader_password}"
_VARIABLE = re.compile(r"\$\{?(?!__file)(\w+)\}?")


def _plain(names: str) -> dict[str, None]:
    return dict.fromkeys(names.split())


_SPAN: Final = re.compile(r"\d+[smhd]")
_UID: Final = re.compile(r"[\w-]{1,40}")
_STATE_WITHOUT_RESULT: Final = ("Alerting",)  # a rule without a result must not be silent

# The allowed keys, nested. A leaf is None for any scalar, Any for anything, a pattern, or a tuple of values.
KEYS: Final[dict[str, Any]] = {
    "datasources": {
        "apiVersion": (1,),
        "prune": (True,),
        "datasources": [
            {
                **_plain("name url user"),
                "uid": (DATASOURCE["uid"],),
                "type": (DATASOURCE["type"],),
                "access": ("proxy",),
                "isDefault": (True,),
                "editable": (False,),
                "jsonData": {
                    **_plain("database sslmode sslRootCertFile maxOpenConns maxIdleConns connMaxLifetime"),
                    "tlsConfigurationMethod": ("file-path",),
                    "timescaledb": (True,),
                    "timeInterval": _SPAN,
                },
                "secureJsonData": _plain("password"),
            }
        ],
    },
    "dashboards": {
        "apiVersion": (1,),
        "providers": [
            {
                **_plain("name folder updateIntervalSeconds"),
                "orgId": (1,),
                "type": ("file",),
                "folderUid": _UID,
                "disableDeletion": (False,),
                "allowUiUpdates": (False,),
                "options": _plain("path"),
            }
        ],
    },
    "alerting": {
        "apiVersion": (1,),
        "groups": [
            {
                **_plain("name folder"),
                "orgId": (1,),
                "interval": _SPAN,
                "rules": [
                    {
                        **_plain("title condition dashboardUid panelId"),
                        "uid": _UID,
                        "for": _SPAN,
                        "noDataState": _STATE_WITHOUT_RESULT,
                        "execErrState": _STATE_WITHOUT_RESULT,
                        "labels": Any,
                        "annotations": _plain("summary description"),
                        "data": [
                            {
                                **_plain("refId"),
                                "datasourceUid": (DATASOURCE["uid"], "__expr__"),
                                "relativeTimeRange": _plain("from to"),
                                "model": Any,
                            }
                        ],
                    }
                ],
            }
        ],
    },
}
_QUERY_MODEL: Final = {
    **_plain("refId rawSql"),
    "datasource": {key: (value,) for key, value in DATASOURCE.items()},
    "format": ("table",),
    "rawQuery": (True,),
    "editorMode": ("code",),
}
_THRESHOLD_MODEL: Final = {
    **_plain("refId expression"),
    "type": ("threshold",),
    "datasource": {"type": ("__expr__",), "uid": ("__expr__",)},
    "conditions": [{"evaluator": {"type": ("gt", "lt"), "params": [None]}}],
}
"""The two steps of a rule: the query, and the threshold for its number."""


def read_provisioning(folder: Path = PROVISIONING) -> dict[Path, Json]:
    """Return every YAML file in the folder; raises PermanentError if one cannot be read."""
    found: dict[Path, Json] = {}
    for path in sorted(folder.glob("*/*.y*ml")):
        try:
            found[path] = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise PermanentError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    return found


def check_provisioning(found: dict[Path, Json], dashboards: dict[Path, Json]) -> Iterator[str]:
    """Yield a message for every finding in every file. `dashboards`: those to which alert rules may link."""
    for path, content in found.items():
        where = f"{path.parent.name}/{path.name}"
        if path.parent.name not in KEYS:
            yield f"{where}: Grafana does not read this folder; expected {', '.join(KEYS)}"
            continue
        shape = list(_keys(content, KEYS[path.parent.name], ""))
        yield from (f"{where}: {message}" for message in shape)
        for name in _VARIABLE.findall(_without_comments(path.read_text(encoding="utf-8"))):
            if name not in ENVIRONMENT:
                yield f"{where}: reads the variable {name}, which docker-compose.yml does not set"
        if shape:
            continue  # the other checks need these keys
        for source in content.get("datasources", []):
            yield from (f"{where}: {message}" for message in _source(source))
        rules = [rule for group in content.get("groups", []) for rule in group["rules"]]
        if len({rule["uid"] for rule in rules}) < len(rules):
            yield f"{where}: two rules have the same uid: {', '.join(rule['uid'] for rule in rules)}"
        for rule in rules:
            yield from (f"{where}: {rule['uid']}: {message}" for message in _rule(rule, dashboards))


def rule_queries(found: dict[Path, Json]) -> Iterator[Query]:
    """Yield the queries of the alert rules; each must return one row with one number."""
    for content in found.values():
        for group in content.get("groups", []):
            for rule in group["rules"]:
                for data in rule["data"]:
                    if data["datasourceUid"] == DATASOURCE["uid"]:
                        yield Query(rule["uid"], f"rule {rule['title']!r}", "rule", data["model"]["rawSql"], "table")


def _keys(value: Any, allowed: Any, where: str) -> Iterator[str]:
    if allowed is Any:
        return
    if isinstance(allowed, dict):
        yield from _below(value, allowed, where)
    elif isinstance(allowed, list):
        if not isinstance(value, list) or not value:
            yield f"{where} is {value!r}; expected a list"
            return
        for number, below in enumerate(value):
            yield from _keys(below, allowed[0], f"{where}[{number}]")
    elif value is None or isinstance(value, dict | list):
        yield f"{where} is not a scalar"
    elif isinstance(allowed, re.Pattern) and not allowed.fullmatch(str(value)):
        yield f"{where} is {value!r}; expected {allowed.pattern}"
    elif isinstance(allowed, tuple) and value not in allowed:
        yield f"{where} is {value!r}; expected {' or '.join(map(repr, allowed))}"


def _below(value: Any, allowed: Json, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where or 'the file'} is {value!r}; expected {', '.join(allowed)}"
        return
    for key, below in value.items():
        if key not in allowed:
            yield f"{where}.{key}".lstrip(".") + f" is not a key that Grafana reads; expected {', '.join(allowed)}"
        else:
            yield from _keys(below, allowed[key], f"{where}.{key}".lstrip("."))
    for key in allowed:
        if key not in value:
            yield f"{where}.{key}".lstrip(".") + " is missing"


def _source(source: Json) -> Iterator[str]:
    if source.get("secureJsonData") != {"password": PASSWORD}:
        yield f"the password must be {PASSWORD}, not in this file or in the environment"
    if source.get("user") != "vitalflow_reader":
        yield f"the user is {source.get('user')!r}; expected vitalflow_reader, which can only SELECT"


def _rule(rule: Json, dashboards: dict[Path, Json]) -> Iterator[str]:
    steps = {data["refId"]: data for data in rule["data"]}
    if len(steps) < len(rule["data"]):
        yield "two of its steps have the same refId"
    if steps.get(rule["condition"], {}).get("datasourceUid") != "__expr__":
        yield f"its condition {rule['condition']!r} is not a threshold; the steps are {', '.join(sorted(steps))}"
    for data in rule["data"]:
        model = data["model"]
        wrong = list(
            _keys(
                model,
                _THRESHOLD_MODEL if data["datasourceUid"] == "__expr__" else _QUERY_MODEL,
                f"{data['refId']}.model",
            )
        )
        yield from wrong
        if wrong:
            continue
        if model["refId"] != data["refId"]:
            yield f"{data['refId']}: the refId of the model differs"
        if model.get("expression", data["refId"]) not in steps:
            yield f"{data['refId']}: the expression {model['expression']!r} is none of {', '.join(sorted(steps))}"
    known = {(str(d["uid"]), panel["id"]) for d in dashboards.values() for panel in panels(d)}
    if (rule.get("dashboardUid"), rule.get("panelId")) not in known:
        yield f"there is no panel {rule.get('panelId')} on a dashboard {rule.get('dashboardUid')!r}"


def _without_comments(text: str) -> str:
    """Return the text without comments, in which a `$` is not a variable."""
    return "\n".join(line.partition(" #")[0] for line in text.splitlines() if not line.lstrip().startswith("#"))
