"""Decide what becomes of one message of a foreign broker, for `try` and for the subscriber alike. Pure."""

from datetime import datetime

from msgspec.structs import replace

from edges.config.code_tables import read_tables
from edges.config.mapping_table import Mapping
from edges.config.mqtt_table import MqttSource
from edges.config.site import Site
from edges.observations.found import Found, Received, decide_found, find_account
from edges.observations.json_document import MAX_BODY, InvalidDocument, decode, parse
from edges.observations.line_protocol import parse_lines
from edges.observations.mapping import observe
from edges.observations.time_of_receipt import find_time_ahead

_TABLE = read_tables(("mapping",))


def receive(
    topic: str, payload: bytes, source: MqttSource, site: Site, received: datetime, *, retained: bool = False
) -> Received:
    """Read a message; raises InvalidDocument.

    received   the time of receipt, with an offset
    retained   whether the broker kept it from before: without a time of its own, its values are of an unknown time
    """
    mapping, names = find_mapping(topic, source, site)
    found = observe(mapping, _content(payload, mapping), names, site.tz, received)
    by_receipt = mapping.time is None or source.clock == "receipt"
    problem = ""
    if by_receipt and retained:
        problem = "the broker kept it from before, and it has no time of its own"
    found = [_with_time(one, received, problem, by_receipt=by_receipt) for one in found]
    readings, verdicts = decide_found(found, _TABLE, lambda accounts: find_account(site, source.name, accounts))
    return Received(readings, verdicts, by_receipt)


def find_mapping(topic: str, source: MqttSource, site: Site) -> tuple[Mapping, tuple[str, ...]]:
    """Return the first mapping of a source that a topic fits, and the accounts in it; raises InvalidDocument."""
    for name in source.mappings:
        for mapping in site.mappings_named(name):
            names = mapping.match(topic)
            if names is not None:
                return mapping, names
    raise InvalidDocument(f"no mapping of {source.name} is of the topic {topic[:200]!a}", 422)


def _content(payload: bytes, mapping: Mapping) -> object:
    """Return the content of a payload: JSON, or a bare text such as 36.5 or nan where a rule expects that."""
    if len(payload) > MAX_BODY:
        raise InvalidDocument(f"the message has more than {MAX_BODY} bytes", 413)
    text = decode(payload).strip()
    if mapping.payload == "line":
        return parse_lines(text)
    try:
        return parse(text, parse_constant=str)
    except InvalidDocument:
        if not mapping.each and any(not rule.pointer for rule in mapping.value) and not text.startswith(("{", "[")):
            return text
        raise


def _with_time(found: Found, received: datetime, problem: str, *, by_receipt: bool) -> Found:
    """Return an observation with a time that can be: none after the time of receipt."""
    observation = found.observation
    time = observation.time
    if problem:
        observation = replace(observation, time=None, time_problem=problem)
    elif by_receipt:
        observation = replace(observation, time=received, time_problem="")
    elif time is not None and (ahead := find_time_ahead(time, received)):
        observation = replace(observation, time=None, time_problem=ahead)
    return Found(observation, found.accounts, found.patient)
