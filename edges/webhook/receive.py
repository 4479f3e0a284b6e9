"""Decide what becomes of one document of a webhook, for `try` and for the listener alike. Pure."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from edges.config.code_tables import read_tables
from edges.config.places import PlacedReading
from edges.config.site import Site
from edges.config.webhook_table import Webhook
from edges.observations.found import Account, AccountPlace, Found, Received, decide_found, find_account
from edges.observations.json_document import decode, parse
from edges.observations.line_protocol import parse_lines
from edges.observations.mapping import observe
from edges.observations.observed import Observation, Reason, Verdict
from edges.observations.time_of_receipt import find_time_ahead
from edges.webhook import garmin, health_auto_export, health_connect, notices, open_mhealth, terra
from edges.webhook.found import Values

_READERS: dict[str, Callable[[object], Values]] = {
    "health-auto-export": health_auto_export.read,
    "health-connect": health_connect.read,
    "open-mhealth": open_mhealth.read,
    "garmin": garmin.read,
    "terra": terra.read,
    "oura": notices.read_event,
    "fitbit": notices.read_events,
}
_LIVE = ("none", "false", "0", "")  # what stands at `test` in a document of the patient
_TABLE = read_tables(("webhook",))
_MAPPING_TABLE = read_tables(("mapping",))


@dataclass(frozen=True, slots=True)
class Answered(Received):
    """What became of a document, and its answer."""

    status: int
    answer: bytes


def receive(body: bytes, webhook: Webhook, site: Site, received: datetime) -> Answered:
    """Read a document; raises InvalidDocument.

    received   the time of receipt, with an offset
    """
    text = decode(body)
    if webhook.kind == "withings":
        found, is_test = notices.read_form(text).found, False
    else:
        is_lines = webhook.mapping is not None and site.mapping_of(webhook).payload == "line"
        # NaN is no value; the others of the document are.
        content: object = parse_lines(text) if is_lines else parse(text, parse_constant=str)
        is_test = isinstance(content, dict) and str(content.get("test")).casefold() not in _LIVE
        found = _read(content, webhook, site, received)
    by_receipt = webhook.clock == "receipt" or (webhook.mapping is not None and site.mapping_of(webhook).time is None)
    found = _with_times(found, received, by_receipt)
    live = [] if is_test else found
    several = len({(one.accounts, one.patient) for one in live if one.observation.own_time}) > 1
    table = _MAPPING_TABLE if webhook.mapping else _TABLE
    readings, verdicts = decide_found(live, table, lambda accounts: _place(webhook, site, accounts, several=several))
    if is_test:
        verdicts = [Verdict(one.observation, Reason.NOT_PRODUCTION) for one in found]
    status, answer = _answer(webhook, readings, verdicts)
    return Answered(readings, verdicts, by_receipt and bool(readings), status, answer)


def _read(content: object, webhook: Webhook, site: Site, received: datetime) -> list[Found]:
    if webhook.mapping is not None:
        return observe(site.mapping_of(webhook), content, (), site.tz, received)
    return _READERS[webhook.kind](content).found


def write_error(reason: str) -> bytes:
    """Return the answer to a document that is not kept."""
    return _json({"error": reason})


def _with_times(found: Sequence[Found], received: datetime, by_receipt: bool) -> list[Found]:
    """Return the observations with times that can be: none after the time of receipt."""
    times = [one.observation.time for one in found if one.observation.time and one.observation.own_time]
    newest = max(times, default=received)  # without times of their own: that of receipt
    return [
        Found(_with_time(one.observation, received, newest, by_receipt), one.accounts, one.patient) for one in found
    ]


def _with_time(observation: Observation, received: datetime, newest: datetime, by_receipt: bool) -> Observation:
    time = observation.time
    if by_receipt:
        if time == newest:
            return replace(observation, time=received, time_problem="")
        problem = observation.time_problem or "the sender's clock is wrong, and there are newer values in the document"
        return replace(observation, time=None, time_problem=problem)
    if time is not None and (problem := find_time_ahead(time, received)):
        return replace(observation, time=None, time_problem=problem)
    if time is not None and time.microsecond % 1000:  # as monitors report it: whole milliseconds
        return replace(observation, time=time - timedelta(microseconds=time.microsecond % 1000))
    return observation


def _place(webhook: Webhook, site: Site, accounts: Account, *, several: bool) -> AccountPlace:
    if webhook.ward is None or webhook.device is None:
        return find_account(site, webhook.name, accounts)
    if several:
        return AccountPlace(problem="the document is of several persons, and the webhook names one device")
    return AccountPlace(webhook.ward, webhook.device)


def _answer(webhook: Webhook, readings: Sequence[PlacedReading], verdicts: Sequence[Verdict]) -> tuple[int, bytes]:
    if webhook.kind == "fitbit":
        return 204, b""
    unused = Counter(verdict.reason.value for verdict in verdicts if verdict.reason is not Reason.USED)
    return 200, _json({"readings": len(readings), "not_used": dict(sorted(unused.items()))})


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=True).encode()
