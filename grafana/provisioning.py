"""What Grafana is told at its start, looked at without Grafana: keys, variables, and the queries of the alert rules.

Third hop of `check`, for the YAML. The keys are those that Grafana 13 reads; another one would be passed over in
silence, and a variable that is not set becomes an empty text.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from grafana.canonical import DATASOURCE, panels
from grafana.files import PROVISIONING, Json
from grafana.questions import Question
from vitals.errors import Never

ENVIRONMENT: Final = frozenset(f"VITALFLOW_GRAFANA_DB_{name}" for name in ("HOST", "NAME", "SSLMODE", "CA"))
"""What docker-compose.yml sets for these files, and nothing else."""
PASSWORD: Final = "$__file{/run/secrets/reader_password}"
_VARIABLE = re.compile(r"\$\{?(?!__file)(\w+)\}?")


def _plain(names: str) -> dict[str, None]:
    return dict.fromkeys(names.split())


# A key for each thing that may stand there; below it its own keys, None for a single value, Any for whatever it is.
KEYS: Final[dict[str, Any]] = {
    "datasources": {
        **_plain("apiVersion prune"),
        "datasources": [
            {
                **_plain("name uid type access isDefault editable url user"),
                "jsonData": _plain(
                    "database sslmode tlsConfigurationMethod sslRootCertFile timescaledb timeInterval "
                    "maxOpenConns maxIdleConns connMaxLifetime"
                ),
                "secureJsonData": _plain("password"),
            }
        ],
    },
    "dashboards": {
        **_plain("apiVersion"),
        "providers": [
            {
                **_plain("name orgId type folder folderUid disableDeletion allowUiUpdates updateIntervalSeconds"),
                "options": _plain("path"),
            }
        ],
    },
    "alerting": {
        **_plain("apiVersion"),
        "groups": [
            {
                **_plain("orgId name folder interval"),
                "rules": [
                    {
                        **_plain("uid title condition for noDataState execErrState dashboardUid panelId"),
                        "labels": Any,
                        "annotations": Any,
                        "data": [
                            {**_plain("refId datasourceUid"), "relativeTimeRange": _plain("from to"), "model": Any}
                        ],
                    }
                ],
            }
        ],
    },
}


def read_provisioning(folder: Path = PROVISIONING) -> dict[Path, Json]:
    """Every YAML file below the folder; raises Never where one cannot be read."""
    found: dict[Path, Json] = {}
    for path in sorted(folder.glob("*/*.y*ml")):
        try:
            found[path] = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise Never(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    return found


def check_provisioning(found: dict[Path, Json], dashboards: dict[Path, Json]) -> Iterator[str]:
    """Every mistake of every file, each with its name. `dashboards` is what alert rules may lead to."""
    for path, told in found.items():
        where = f"{path.parent.name}/{path.name}"
        if path.parent.name not in KEYS:
            yield f"{where}: Grafana reads {', '.join(KEYS)}, and no folder of this name"
            continue
        yield from (f"{where}: {sentence}" for sentence in _keys(told, KEYS[path.parent.name], ""))
        for name in _VARIABLE.findall(_without_queries(path.read_text(encoding="utf-8"))):
            if name not in ENVIRONMENT:
                yield f"{where}: reads the variable {name}, which docker-compose.yml does not set"
        for source in told.get("datasources", []):
            yield from (f"{where}: {sentence}" for sentence in _source(source))
        for group in told.get("groups", []):
            for rule in group["rules"]:
                yield from (f"{where}: {rule['uid']}: {sentence}" for sentence in _rule(rule, dashboards))


def rule_questions(found: dict[Path, Json]) -> Iterator[Question]:
    """The queries of the alert rules: each must give one row with one number."""
    for told in found.values():
        for group in told.get("groups", []):
            for rule in group["rules"]:
                for data in rule["data"]:
                    if data["datasourceUid"] == DATASOURCE["uid"]:
                        yield Question(rule["uid"], f"rule {rule['title']!r}", "rule", data["model"]["rawSql"], "table")


def _keys(value: Any, allowed: Any, where: str) -> Iterator[str]:
    if allowed is None or allowed is Any:
        if allowed is None and isinstance(value, dict | list):
            yield f"{where} is no single value"
    elif isinstance(allowed, list):
        for number, below in enumerate(value):
            yield from _keys(below, allowed[0], f"{where}[{number}]")
    else:
        for key, below in value.items():
            if key not in allowed:
                yield f"{where}.{key}".lstrip(".") + f" is not a key that Grafana reads; expected {', '.join(allowed)}"
            else:
                yield from _keys(below, allowed[key], f"{where}.{key}")


def _source(source: Json) -> Iterator[str]:
    if (source.get("type"), source.get("uid")) != (DATASOURCE["type"], DATASOURCE["uid"]):
        yield f"the data source is {source.get('type')} {source.get('uid')!r}, and the dashboards ask {DATASOURCE}"
    if source.get("secureJsonData") != {"password": PASSWORD}:
        yield f"the password must be {PASSWORD}, and not stand in a file or in the environment"
    if source.get("user") != "vitalflow_reader":
        yield f"the user is {source.get('user')!r}; only vitalflow_reader may do nothing but SELECT"


def _rule(rule: Json, dashboards: dict[Path, Json]) -> Iterator[str]:
    asked = {data["refId"] for data in rule["data"]}
    if rule["condition"] not in asked:
        yield f"its condition {rule['condition']!r} is none of {', '.join(sorted(asked))}"
    for data in rule["data"]:
        model = data["model"]
        if model.get("refId") != data["refId"] or model["datasource"]["uid"] != data["datasourceUid"]:
            yield f"{data['refId']}: the model has another refId or data source than stands above it"
        if data["datasourceUid"] not in ("__expr__", DATASOURCE["uid"]):
            yield f"{data['refId']}: the data source {data['datasourceUid']!r} is not there"
        if "expression" in model and model["expression"] not in asked:
            yield f"{data['refId']}: the expression {model['expression']!r} is none of {', '.join(sorted(asked))}"
    shown = {(str(d["uid"]), panel["id"]) for d in dashboards.values() for panel in panels(d)}
    if (rule.get("dashboardUid"), rule.get("panelId")) not in shown:
        yield f"there is no panel {rule.get('panelId')} on a dashboard {rule.get('dashboardUid')!r}"


def _without_queries(text: str) -> str:
    """A `model` is stored as it stands, so a $ in it is no variable; comments are not read at all."""
    return "\n".join(line.partition(" #")[0] for line in text.splitlines() if not line.lstrip().startswith("#"))
