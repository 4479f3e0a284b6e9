"""Every query of a dashboard, asked of a real database as the reader, over short ranges and long ones and with values
that would break a query that was glued together.

Beside `answers`, which judges what comes back.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import psycopg

from grafana.answers import Answer, mistakes
from grafana.canonical import variables
from grafana.files import Json
from grafana.macros import Asked, Value, expand
from grafana.questions import Question, questions
from vitals.errors import PermanentError

Connection = psycopg.Connection[tuple[object, ...]]

RANGES: Final[Mapping[str, timedelta]] = {
    "5 minutes": timedelta(minutes=5),
    "1 hour": timedelta(hours=1),
    "24 hours": timedelta(hours=24),
    "7 days": timedelta(days=7),
    "90 days": timedelta(days=90),
}
AWKWARD: Final[Mapping[str, Value]] = {
    "a quote": "O'Brien's \"bed\"; DROP TABLE x --",
    "an empty text": "",
    "nothing chosen": (),
    "nobody's name": "no-such-thing",
    "several, one with a quote": ("icu-1", "bed-001", "it's"),
}
"""What every variable is set to, one after the other."""


@dataclass(frozen=True)
class Mistake:
    """What is wrong with one query, and with what it was asked."""

    question: Question
    asked: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.question}, {self.asked}: {self.sentence}"


def ask(connection: Connection, question: Question, asked: Asked) -> Answer:
    """Ask one query; raises PermanentError in the database's words where it refuses."""
    try:
        cursor = connection.execute(expand(question.sql, asked).encode())
        rows = cursor.fetchall()
    except psycopg.Error as error:
        raise PermanentError(" ".join(str(error).split())) from error
    assert cursor.description is not None
    return Answer([(column.name, column.type_code) for column in cursor.description], rows)


def check_answers(connection: Connection, dashboard: Json, now: datetime) -> Iterator[Mistake]:
    """Ask every query of a dashboard and judge the answers.

    Over every range with what a person would have chosen, and with every awkward value. `connection` is in autocommit,
    so that a refused query does not take the next one with it. What is wrong with a query however it is asked is told
    once.
    """
    told: set[tuple[Question, str]] = set()
    for mistake in _over_all(connection, dashboard, now):
        if (mistake.question, mistake.sentence) not in told:
            told.add((mistake.question, mistake.sentence))
            yield mistake


def _over_all(connection: Connection, dashboard: Json, now: datetime) -> Iterator[Mistake]:
    asks = list(questions(dashboard))
    chosen = choices(connection, dashboard, now)
    for name, span in RANGES.items():
        yield from _all(connection, asks, (now - span, now), chosen, f"over {name}")
        for awkward, value in AWKWARD.items():
            told = f"over {name} with {awkward} in every variable"
            yield from _all(connection, asks, (now - span, now), dict.fromkeys(chosen, value), told)


def check_rules(connection: Connection, rules: Iterable[Question], now: datetime) -> Iterator[Mistake]:
    """Ask the queries of the alert rules, which know no variables."""
    yield from _all(connection, list(rules), (now - RANGES["5 minutes"], now), {}, "over 5 minutes")


def choices(connection: Connection, dashboard: Json, now: datetime) -> dict[str, Value]:
    """What Grafana would choose at first in each variable: everything where it may be several, else the first."""
    found: dict[str, Value] = {}
    asks = {question.where: question for question in questions(dashboard)}
    for variable in variables(dashboard):
        if variable["type"] != "query":
            found[variable["name"]] = str(variable.get("query", ""))
            continue
        asked = Asked.over(now - RANGES["1 hour"], now, 1000, 1, found)
        answer = ask(connection, asks[f"variable {variable['name']}"], asked)
        values = tuple(str(row[-1]) for row in answer.rows)
        found[variable["name"]] = values if variable.get("multi") else (values or ("",))[0]
    return found


def _all(
    connection: Connection,
    asks: Iterable[Question],
    span: Sequence[datetime],
    chosen: Mapping[str, Value],
    told: str,
) -> Iterator[Mistake]:
    for question in asks:
        asked = Asked.over(span[0], span[1], question.max_points, question.min_interval_s, chosen)
        try:
            for sentence in mistakes(question, ask(connection, question, asked)):
                yield Mistake(question, told, sentence)
        except PermanentError as refused:
            yield Mistake(question, told, str(refused))
