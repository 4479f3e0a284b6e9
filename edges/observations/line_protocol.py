"""Read the line protocol of InfluxDB, which Telegraf publishes, as the objects of Telegraf's JSON. Pure.

    pulse_oximeter,device=ox-1 heart_rate=72i,spo2=97.0 1795770900000000000

https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/. Each line is an object with `name`, `tags`,
`fields` and, if it states one, `timestamp`.
"""

import re
from typing import Any

from edges.observations.json_document import MAX_ITEMS, InvalidDocument

_NAME = r"(?:\\.|[^,\s\\=])+"
_MEASUREMENT = re.compile(r"((?:\\.|[^,\s\\])+)")
_TAG = re.compile(rf",({_NAME})=({_NAME})")
_FIELD = re.compile(rf'({_NAME})=("(?:\\.|[^"\\])*"|[^,\s"]+)(,?)')
_TIMESTAMP = re.compile(r"-?\d{1,19}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d{1,18}(?:\.\d*)?|\.\d{1,18})(?:e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"([+-]?\d{1,18})[iu]", re.ASCII)
_ESCAPED = re.compile(r"\\([,= \"\\])")
_BOOLEANS = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}


def parse_lines(text: str) -> list[dict[str, Any]]:
    """Return an object for each line; raises InvalidDocument if one cannot be read."""
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise InvalidDocument("the message has no line of the line protocol", 422)
    if len(lines) > MAX_ITEMS:
        raise InvalidDocument(f"the message has {len(lines)} lines; at most {MAX_ITEMS} are read", 422, "too-long")
    return [_parse_line(line.strip(), number) for number, line in enumerate(lines, 1)]


def _parse_line(line: str, number: int) -> dict[str, Any]:
    problem = InvalidDocument(f"line {number} of the message is no line protocol: {line[:60]!a}", 422)
    name = _MEASUREMENT.match(line)
    if name is None:
        raise problem
    at = name.end()
    tags: dict[str, str] = {}
    while tag := _TAG.match(line, at):
        at = tag.end()
        if tags.setdefault(_plain(tag[1]), value := _plain(tag[2])) != value:
            raise problem
    begin = at
    at += len(line[at:]) - len(line[at:].lstrip(" "))
    fields: dict[str, Any] = {}
    comma = ","
    while comma and at > begin and (field := _FIELD.match(line, at)):
        at, comma = field.end(), field[3]
        key = _plain(field[1])
        if key in fields:
            raise problem
        fields[key] = _value(field[2], problem)
    rest = line[at:]
    if comma or (rest and (not rest.startswith(" ") or not _TIMESTAMP.fullmatch(rest.strip()))):
        raise problem
    found: dict[str, Any] = {"name": _plain(name[1]), "tags": tags, "fields": fields}
    return {**found, "timestamp": int(rest)} if rest else found


def _value(text: str, problem: InvalidDocument) -> object:
    if text.startswith('"'):
        return _ESCAPED.sub(r"\1", text[1:-1])
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if whole := _WHOLE.fullmatch(text):
        return int(whole[1])
    if not _FLOAT.fullmatch(text):
        raise problem
    return float(text)


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)
