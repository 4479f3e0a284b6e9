"""What Grafana can draw of an answer, and what it would stumble over. Pure: columns and rows come in.

Last hop of `check`. The rules are those of Grafana's own SQL engine: a time series needs a column named exactly `time`,
never NULL and in order; text beside it becomes the name of a series; a number is a float; types that Grafana does not
know become text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from grafana.questions import Question

# Object identifiers of PostgreSQL's types, which never change (pg_type.dat).
TIMES = {1184: "timestamptz", 1114: "timestamp", 1082: "date"}
NUMBERS = {20: "int8", 21: "int2", 23: "int4", 700: "float4", 701: "float8", 1700: "numeric", 16: "bool"}
TEXTS = {25: "text", 1043: "varchar", 19: "name"}

MOST_ROWS = 5000  # of a table or a list of annotations: more is nothing that a person reads
MOST_SERIES = 60


@dataclass(frozen=True)
class Answer:
    """What came back: the columns, each with the number of its type, and the rows."""

    columns: Sequence[tuple[str, int]]
    rows: Sequence[tuple[Any, ...]]

    def kind(self, name: str) -> int | None:
        """The type of a column; None where there is no such column."""
        return dict(self.columns).get(name)


def mistakes(question: Question, answer: Answer) -> Iterator[str]:
    """Each thing in an answer that Grafana could not draw, as a sentence."""
    for name, kind in answer.columns:
        if kind not in TIMES | NUMBERS | TEXTS:
            yield f"column {name} has a type that Grafana does not know ({kind}); make it a number, a text or a time"
    names = [name for name, _ in answer.columns]
    if len(set(names)) < len(names):
        yield f"two columns have the same name: {', '.join(names)}"
    yield from _BY_KIND[question.kind](question, answer)


def _panel(question: Question, answer: Answer) -> Iterator[str]:
    labelled = question.format == "time_series" and any(kind in TEXTS for _, kind in answer.columns)
    if not labelled:  # the names of labelled series are in the rows
        for name in sorted(question.names - {name for name, _ in answer.columns}):
            yield f"an override or a link names the column {name!r}, which the answer does not have"
    if question.units is not None and question.format == "table":
        for name, kind in answer.columns:
            if kind in NUMBERS and name not in question.units:
                yield f"the column {name!r} is a number, and the panel does not say its unit; `none` is one too"
    if question.format == "table":
        if len(answer.rows) > MOST_ROWS:
            yield f"{len(answer.rows)} rows; a table of more than {MOST_ROWS} is nothing that a person reads"
        return
    yield from _time_series(question, answer)


def _time_series(question: Question, answer: Answer) -> Iterator[str]:
    if not answer.columns or answer.columns[0][0] != "time":
        yield "the first column of a time series must be named time"
        return
    if answer.columns[0][1] not in TIMES:
        yield "the column time is no time"
        return
    labels = [place for place, (_, kind) in enumerate(answer.columns) if kind in TEXTS]
    if not any(kind in NUMBERS for _, kind in answer.columns):
        yield "a time series needs a column of numbers"
    times = [row[0] for row in answer.rows]
    if None in times:
        yield "a time is NULL"
    elif times != sorted(times):
        yield "the times are not in order"
    series = {tuple(row[place] for place in labels) for row in answer.rows} or {()}
    if len(series) > MOST_SERIES:
        yield f"{len(series)} series; more than {MOST_SERIES} are nothing that a person tells apart"
    # An empty row in each gap is why there may be twice as many as points.
    if len(answer.rows) > 2 * (question.max_points + 2) * len(series):
        yield f"{len(answer.rows)} rows of {len(series)} series for {question.max_points} points"
    if len({(row[0], *(row[place] for place in labels)) for row in answer.rows}) < len(answer.rows):
        yield "a moment comes twice in one series"


def _variable(_: Question, answer: Answer) -> Iterator[str]:
    names = [name for name, _ in answer.columns]
    if names not in (["__text", "__value"], ["__text"]):
        yield f"the columns of a variable are __text and __value, not {', '.join(names)}"
    for name, kind in answer.columns:
        if kind not in TEXTS:
            yield f"column {name} is no text"
    if any(value is None for row in answer.rows for value in row):
        yield "a value is NULL"


def _annotation(_: Question, answer: Answer) -> Iterator[str]:
    for name in ("time", "timeEnd"):
        if answer.kind(name) not in TIMES:
            yield f"an annotation needs a column {name} that is a time"
            return
    if answer.kind("text") not in TEXTS:
        yield "an annotation needs a column text"
    place = {name: number for number, (name, _) in enumerate(answer.columns)}
    for row in answer.rows:
        begin, end = row[place["time"]], row[place["timeEnd"]]
        if not isinstance(begin, datetime) or not isinstance(end, datetime) or end < begin:
            yield f"an annotation from {begin} to {end}"
    if len(answer.rows) > MOST_ROWS:
        yield f"{len(answer.rows)} annotations; more than {MOST_ROWS} cover everything"


def _rule(_: Question, answer: Answer) -> Iterator[str]:
    if len(answer.rows) != 1 or len(answer.columns) != 1 or answer.columns[0][1] not in NUMBERS:
        yield "an alert rule needs one row with one number"
    elif answer.rows[0][0] is None:
        yield "an alert rule needs a number, and this is NULL"


_BY_KIND = {"panel": _panel, "variable": _variable, "annotation": _annotation, "rule": _rule}
