"""Figures of `vitalflow bench` on a terminal."""

from bench.report import text


def test_figures_have_a_line_each_and_tables_a_row_each() -> None:
    figures = {
        "lost": 0,
        "ratios": [0.5, 0.75],
        "machine": {"cores": "2", "python": "3.11"},
        "examples": [],
        "ranges": [{"range": "a day", "ms": 0.1 + 0.2}, {"range": "30 days", "ms": None}],
    }
    assert text(figures).splitlines() == [
        "lost      0",
        "ratios    0.5, 0.75",
        "machine   cores 2, python 3.11",
        "examples  none",
        "ranges:",
        "    range    ms",
        "    a day   0.3",
        "  30 days  none",
    ]
