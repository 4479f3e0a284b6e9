"""What all measurements share: the log of their progress, and the form of their figures."""

from collections.abc import Callable, Mapping, Sequence
from statistics import quantiles
from typing import Any

Log = Callable[[str], None]
"""Takes one line about the progress of a measurement."""

Figures = dict[str, Any]
"""The figures of one run by name. A name ends with its unit; a list of figures is a table."""


def percentiles(name: str, delays_s: Sequence[float]) -> Figures:
    """Return the median, the 99th percentile and the worst of delays, in ms, as figures that begin with `name`."""
    percent = quantiles(delays_s, n=100)
    values = {"p50": percent[49], "p99": percent[98], "worst": max(delays_s)}
    return {f"{name}{which}_ms": round(delay_s * 1000, 1) for which, delay_s in values.items()}


def text(figures: Mapping[str, Any]) -> str:
    """Format figures for a terminal, one per line, and tables."""
    width = max(map(len, figures))
    lines = []
    for name, value in figures.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{name}:", *_table(value)]
        else:
            lines.append(f"{name:<{width}}  {_format(value)}")
    return "\n".join(lines)


def _table(rows: list[Figures]) -> list[str]:
    cells = [list(rows[0]), *([_format(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(["", *(cell.rjust(width) for cell, width in zip(row, widths, strict=True))]) for row in cells]


def _format(value: object) -> str:
    if value in (None, [], {}):
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_format(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_format, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)
