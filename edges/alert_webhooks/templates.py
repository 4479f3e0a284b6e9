"""Write the body of a request that reports an alert, in the shape that a kind of receiver expects. Pure.

Sources: standardwebhooks.com, docs.ntfy.sh/publish, api.slack.com/messaging/webhooks, adaptivecards.io, and the
OpenAPI description of Alertmanager's API v2.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import msgspec

from edges.alert_webhooks.texts import lines, title
from edges.config.receiver_table import Template
from edges.outgoing.alert_reports import Phase, Report
from vitals.alert import Alert, Priority
from vitals.alert_format import bed_name, message_text

FIRING_FOR = timedelta(days=365)
"""Alertmanager ends an alert without `endsAt` after minutes; this one ends when the alert worker clears it."""
_NTFY_PRIORITIES = {Priority.HIGH: 5, Priority.MEDIUM: 4, Priority.LOW: 3}
_NTFY_ENDED = 2
_NTFY_TAGS = {Priority.HIGH: "rotating_light", Priority.MEDIUM: "warning", Priority.LOW: "information_source"}
_SEVERITIES = {Priority.HIGH: "critical", Priority.MEDIUM: "warning", Priority.LOW: "info"}


@dataclass(frozen=True, slots=True)
class Style:
    """How a receiver wants its bodies.

    patient   whether the patient's number may be stated
    topic     of ntfy
    """

    template: Template
    zone: tzinfo = UTC
    patient: bool = False
    topic: str = ""


def write_body(report: Report, style: Style, now: datetime) -> bytes:
    """Return the body that reports an alert."""
    match style.template:
        case "json":
            content: Any = _own(report, style, now)
        case "ntfy":
            content = _ntfy(report, style)
        case "slack":
            content = {"text": _slack_text("\n".join(_texts(report, style)))}
        case "teams":
            content = _teams(report, style)
        case "alertmanager":
            content = _alertmanager(report, style, now)
    return msgspec.json.encode(content)


def write_open(alerts: Iterable[Alert], style: Style, now: datetime) -> bytes:
    """Return the body that states all open alerts to Alertmanager, which forgets them when it is restarted."""
    return msgspec.json.encode([_firing(Report(alert, Phase.CONTINUE), style, now) for alert in alerts])


def _own(report: Report, style: Style, now: datetime) -> Mapping[str, Any]:
    alert = msgspec.to_builtins(report.alert, builtin_types=(datetime,))
    if not style.patient:
        del alert["patient_id"]
    moment = now if report.repeated else report.alert.changed_at
    return {"type": f"alert.{report.phase}", "timestamp": moment, "data": alert}


def _ntfy(report: Report, style: Style) -> Mapping[str, Any]:
    ended = report.phase is Phase.END
    priority = report.alert.priority
    return {
        "topic": style.topic,
        "title": title(report),
        "message": "\n".join(_texts(report, style)[1:]),
        "priority": _NTFY_ENDED if ended else _NTFY_PRIORITIES[priority],
        "tags": ["white_check_mark" if ended else _NTFY_TAGS[priority]],
    }


def _texts(report: Report, style: Style) -> list[str]:
    return [title(report), *lines(report, style.zone, patient=style.patient)]


def _slack_text(text: str) -> str:
    """Escape what Slack and Mattermost would read as a link or a mention."""
    for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, name)
    return text.replace("@", "@\N{ZERO WIDTH SPACE}")


def _teams(report: Report, style: Style) -> Mapping[str, Any]:
    """Text runs, unlike text blocks, have no Markdown."""
    texts = _texts(report, style)
    body = [
        {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **({} if number else _BOLD)}]}
        for number, text in enumerate(texts)
    ]
    card = {"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.2"}
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": {**card, "body": body}}
    return {"type": "message", "attachments": [attachment]}


_BOLD = {"weight": "bolder"}


def _alertmanager(report: Report, style: Style, now: datetime) -> list[Mapping[str, Any]]:
    """Return the alert, and first the one that it was if its labels have changed: that one is another alert there."""
    before = report.before
    replaced = (
        [] if before is None or _labels(before) == _labels(report.alert) else [_ended(report, before, style, now)]
    )
    return [
        *replaced,
        _ended(report, report.alert, style, now) if report.phase is Phase.END else _firing(report, style, now),
    ]


def _firing(report: Report, style: Style, now: datetime) -> Mapping[str, Any]:
    alert = report.alert
    start = min(alert.raised_at, now)
    return {"startsAt": start, "endsAt": now + FIRING_FOR, **_described(report, alert, style)}


def _ended(report: Report, alert: Alert, style: Style, now: datetime) -> Mapping[str, Any]:
    start = min(alert.raised_at, now)
    return {
        "startsAt": start,
        "endsAt": max(start, min(report.alert.changed_at, now)),
        **_described(report, alert, style),
    }


def _described(report: Report, alert: Alert, style: Style) -> Mapping[str, Any]:
    annotations = {
        "summary": message_text(alert),
        "description": "\n".join(_texts(report, style)),
        "priority": alert.priority,
        "state": alert.state,
        "alert_id": str(alert.alert_id),
    }
    if style.patient and alert.patient_id is not None:
        annotations["patient_id"] = alert.patient_id
    return {"labels": _labels(alert), "annotations": annotations}


def _labels(alert: Alert) -> dict[str, str]:
    """Return what makes an alert the same one for Alertmanager."""
    return {
        "alertname": alert.rule,
        "severity": _SEVERITIES[alert.priority],
        "kind": alert.kind,
        "ward": alert.ward,
        "device": alert.device_id,
        "bed": bed_name(alert.ward, alert.device_id),
    }
