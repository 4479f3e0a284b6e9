"""Every sentence that a nurse reads says what happened and what to do, without the words of programmers."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts.engine.broker_drop_alert import RULE as BROKER_DROPPING
from alerts.engine.nothing_stored_alert import RULE as NOTHING_STORED
from alerts.rulefile.parser import DEFAULT, load
from mqtt.service_status import ServiceStatus
from stack.binaries import CHECKOUT
from station.limit_problem_text import OUTDATED, limit_problem_text
from station.services import Services
from vitals.limits import Limits, LimitsRejected, apply
from vitals.rules import Rule

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
RULES = load(DEFAULT)
TECHNICAL = "(_ssl.c:989: certificate verify failed, errno 111, SQLSTATE 42501)"
RULE_KEYS = {rule.name for rule in (*RULES.rules, NOTHING_STORED, BROKER_DROPPING) if "-" in rule.name}
FORBIDDEN = re.compile(
    r"\bssl|\berrno\b|\bis away\b|sqlstate|traceback|\bhttp\b|\bmqtt\b|\bbroker\b|\bdatabase\b|\bpayload\b|vitalflow_"
    r"|\bnull\b|\bundefined\b|" + "|".join(map(re.escape, sorted(RULE_KEYS))),
    re.IGNORECASE,
)


def forbidden(sentence: str) -> list[str]:
    return FORBIDDEN.findall(sentence)


def outage_texts() -> Iterator[str]:
    """The text of each outage, each with a cause that no nurse can use."""
    services = Services(("ingest", "ingest-2", "alerts", "archive"), has_database=True, now=NOW)
    services.disconnected(TECHNICAL, NOW)
    yield from (outage.text for outage in services.outages(NOW))
    services.connected(NOW)
    services.take("ingest", ServiceStatus(state="online", boot=1, problem=TECHNICAL, problem_since=NOW), False, NOW)
    yield from (outage.text for outage in services.outages(NOW))
    yield from (outage.text for outage in services.outages(NOW + timedelta(minutes=1)))


def limit_texts() -> Iterator[str]:
    """The text for each kind of wrong limit of each rule."""
    for rule in RULES.rules:
        if rule.above is None:
            continue
        values = [float(level.limit) for level in rule.levels]
        low, high = (rule.quantity.low, rule.quantity.high) if rule.quantity else (0.0, 20.0)
        tried: list[list[float | None]] = [[low - 1], [high + 1], [low], [high], [*values, 1.0], []]
        if len(values) > 1:
            tried += [[*values[1::-1], *values[2:]], [values[1], values[0]], [values[1], None]]
        for limits in tried:
            try:
                apply(RULES, Limits(by="ada", limits={rule.name: limits}))
            except LimitsRejected as rejected:
                yield limit_problem_text(rejected)


def test_outages_name_no_technical_cause() -> None:
    texts = set(outage_texts())
    assert len(texts) == 5
    assert {text: words for text in texts if (words := forbidden(text))} == {}


def test_rejected_limits_name_no_rule_and_state_the_rule_of_the_limits() -> None:
    texts = set(limit_texts())
    assert len(texts) > 30
    assert {text: words for text in texts if (words := forbidden(text))} == {}
    assert all(re.fullmatch(r"[A-Z].+\.", text) for text in texts)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (
            {"heart-rate-high": [30.0], "heart-rate-low": [41.0]},
            "The high limit for heart rate (30) must be above the low limit (41).",
        ),
        ({"spo2-low": [-5.0]}, "The low limit for oxygen saturation (-5) must be from 0 to 100 %."),
        ({"hart-rate-high": [130.0]}, OUTDATED),
    ],
)
def test_the_sentence_about_rejected_limits(limits: dict[str, float | list[float | None]], sentence: str) -> None:
    with pytest.raises(LimitsRejected) as rejected:
        apply(RULES, Limits(by="ada", limits=limits))
    assert sentence in limit_problem_text(rejected.value)


def rule_texts() -> Iterator[str]:
    """Texts of alerts: of every rule and level."""
    known: tuple[Rule, ...] = (*RULES.rules, NOTHING_STORED, BROKER_DROPPING)
    for rule in known:
        yield rule.text
        yield from (level.text for level in rule.levels if level.text)


def test_alerts_name_no_technical_cause() -> None:
    assert {text: words for text in rule_texts() if (words := forbidden(text))} == {}


REJECTING = ("RequestRejected", "TransientError", "HTTPException", "TooManyAttempts")
SHOWN_MODULES = (
    "station/confirmed_publish.py",
    "station/history.py",
    "station/pending_commands.py",
    "station/services.py",
    "station/ui_api.py",
    "station/auth/routes.py",
    "station/auth/sessions.py",
    "alerts/engine/commands.py",
)


def python_sentences(path: Path) -> Iterator[str]:
    """String constants that an error of the station carries to a page, and upper-case constants."""
    for node in ast.walk(ast.parse(path.read_text())):
        is_error = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REJECTING
        if is_error or (isinstance(node, ast.Assign) and str(getattr(node.targets[0], "id", "")).isupper()):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value:
                    yield part.value


def page_sentences() -> Iterator[str]:
    """Texts in the pages and their scripts: quoted texts with a space in them, and the text of the documents."""
    folder = CHECKOUT / "station/static"
    for path in folder.glob("*.js"):
        source = re.sub(r"^\s*(//|/?\*).*$", "", path.read_text(), flags=re.MULTILINE)
        for match in re.finditer(r"\"([^\"\n]*)\"|`([^`]*)`", source):
            text = match[1] or re.sub(r"\$\{[^}]*\}", "…", match[2] or "")
            if re.search(r"[A-Za-z] [a-z]", text):
                yield text
    for path in folder.glob("*.html"):
        yield from re.findall(r">([^<>]*[a-z][^<>]*)<", path.read_text())


def test_pages_and_errors_of_the_station_use_no_words_of_programmers() -> None:
    sentences = [text for module in SHOWN_MODULES for text in python_sentences(CHECKOUT / module)]
    sentences = [text for text in sentences if "SELECT" not in text] + list(page_sentences())
    assert len(sentences) > 100
    assert {text: words for text in sentences if (words := forbidden(text))} == {}
