"""Sentences with counts, printed at the end of a run: what was killed, what was stored, what was lost."""

from collections.abc import Callable

import pytest

COUNTS = "counts"


Counted = Callable[[str], None]


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Counted:
    """Say a sentence with counts that is printed at the end of the run, also of tests that passed."""

    def say(sentence: str) -> None:
        record_property(COUNTS, sentence)

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    said = [text for report in reports for key, text in report.user_properties if key == COUNTS]
    if said:
        terminalreporter.section("counts")
        for sentence in sorted(set(said)):
            terminalreporter.write_line(sentence)
