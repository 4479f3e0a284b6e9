"""The stack's log files: bounded, while the process that writes one keeps its file descriptor."""

from itertools import pairwise
from pathlib import Path

import pytest

from stack import control, log_files
from stack.stack_dir import StackDir

LIMIT = 1000
LINE = "2026-11-29 a line of a log with a number: {:06d}\n"


def read(log: Path) -> list[str]:
    """Every line that is kept, the oldest first."""
    names = [f"{log.name}.{number}" for number in range(log_files.OLD_FILES, 0, -1)]
    files = [*(log.with_name(name) for name in names), log]
    return [line for file in files if file.exists() for line in file.read_text().splitlines(keepends=True)]


def test_a_writer_continues_in_the_same_file_and_no_line_is_lost_or_doubled(tmp_path: Path) -> None:
    log = tmp_path / "ingest.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(60):
            writer.write(LINE.format(number).encode())
            log_files.limit(tmp_path, LIMIT)
    assert read(log) == [LINE.format(number) for number in range(60)]
    assert log.with_name("ingest.log.2").exists()


def test_the_space_is_bounded_and_the_newest_lines_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(1000):
            writer.write(LINE.format(number).encode())
            log_files.limit(tmp_path, LIMIT)
    kept = read(log)
    assert kept[-1] == LINE.format(999)
    assert all(int(after[-7:]) == int(before[-7:]) + 1 for before, after in pairwise(kept))
    files = list(tmp_path.iterdir())
    assert len(files) <= log_files.OLD_FILES + 1
    assert sum(file.stat().st_size for file in files) <= len(files) * (LIMIT + len(LINE))


def test_starts_of_the_stack_keep_the_logs_of_the_last_runs(tmp_path: Path) -> None:
    home = StackDir.at(tmp_path)
    for run in range(log_files.OLD_FILES + 2):
        home.rotate_logs()
        home.log("ingest").write_text(f"run {run}\n")
    assert read(home.log("ingest")) == [f"run {run}\n" for run in range(1, log_files.OLD_FILES + 2)]


def test_a_log_that_cannot_be_copied_is_not_truncated(tmp_path: Path) -> None:
    log = tmp_path / "database.log"
    log.write_text(LINE.format(0) * 100)
    log.with_name("database.log.copy").symlink_to("/dev/full")
    log_files.limit(tmp_path, LIMIT)
    assert log.read_text() == LINE.format(0) * 100
    log_files.limit(tmp_path, LIMIT)
    assert log.read_text() == ""
    assert read(log) == [LINE.format(0)] * 100


def test_following_a_log_continues_after_it_was_truncated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "POLL_S", 0.01)
    home = StackDir.at(tmp_path)
    home.rotate_logs()
    log = home.log("ingest")
    log.write_text(LINE.format(0) * 100)
    followed = control.lines(home, "ingest", follow=True)
    assert next(followed) == LINE.format(0) * 100
    log_files.limit(home.logs, LIMIT)
    with log.open("a") as writer:
        writer.write(LINE.format(1))
    assert next(followed) == LINE.format(1)
