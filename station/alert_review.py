"""What the alarm review asks for and hands out: the filter, the place in the list, and the alerts as CSV. Pure."""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from station.api_models import PastAlert

Cursor = tuple[datetime, UUID]
"""raised_at and alert_id of the last alert of a page; the next page begins behind it."""

BYTE_ORDER_MARK = "\ufeff"  # without it Excel reads UTF-8 as the code page of the machine
_COLUMNS = tuple(PastAlert.model_fields)
# What makes a spreadsheet evaluate a cell. Behind a separator too: where it is the semicolon, a program splits cells
# that this file does not have.
_FORMULA = re.compile(r"(^|[;,\t\r\n])(\s*)([=+\-@＝＋－＠\t\r])")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter:
    """Alerts raised from `start` until before `end`, of one ward, bed, rule and priority; None restricts nothing."""

    start: datetime
    end: datetime | None = None
    ward: str | None = None
    device: str | None = None
    rule: str | None = None
    priority: str | None = None


def write_cursor(alert: PastAlert) -> str:
    """Return the place of an alert in the list as a text."""
    return f"{_time(alert.raised_at)}_{alert.alert_id}"


def read_cursor(text: str) -> Cursor:
    """Return the place that `write_cursor` wrote; raises ValueError."""
    raised_at, _, alert_id = text.partition("_")
    moment = datetime.fromisoformat(raised_at)
    if moment.tzinfo is None:
        raise ValueError(f"{raised_at} has no offset")
    return moment, UUID(alert_id)


def csv_header() -> str:
    """Return the first line of the file."""
    return BYTE_ORDER_MARK + _lines([_COLUMNS])


def csv_lines(alerts: Iterable[PastAlert]) -> str:
    """Return a line for each alert (RFC 4180): times in UTC, no cell that a spreadsheet evaluates as a formula."""
    return _lines([_cell(getattr(alert, column)) for column in _COLUMNS] for alert in alerts)


def _lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return text.getvalue()


def _cell(value: datetime | float | str | None) -> float | str:
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, str):
        return _FORMULA.sub(r"\1\2'\3", value)
    return "" if value is None else value


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
