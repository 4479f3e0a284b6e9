"""The command `vitalflow`: its help, its groups, and what an unknown command is answered."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from stack.binaries import CHECKOUT
from tests.support.process import environ_of, run_module
from vitalflow.cli import GROUPS
from vitals.version import VERSION


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return run_module(*words, environ=environ_of())


def start(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m` in a Python that has imported nothing, and that measures no coverage of what it imports."""
    line = [sys.executable, "-m", *words]
    environ = {name: value for name, value in environ_of().items() if not name.startswith("COVERAGE")}
    return subprocess.run(line, cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False)


def test_the_help_lists_every_group_within_half_a_second_and_loads_none() -> None:
    before = os.times()
    shown = start("vitalflow", "--help")
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 0.5, "seconds of processor"
    assert shown.returncode == 0
    for name, group in GROUPS.items():
        assert f"\n  {name} " in shown.stdout
        assert f"{group.section}:\n" in shown.stdout
    loads = (
        "import sys; from vitalflow.cli import app\ntry: app(['--help'])\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", loads], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert not set(done.stderr.split()) & {group.package for group in GROUPS.values()}


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_shows_the_same_help_in_both_ways_under_its_own_name(name: str) -> None:
    group = GROUPS[name]
    words = [group.package, *([name] if group.app != "app" else [])]
    ours, direct = run("vitalflow", name, "--help"), (start if group.app == "app" else run)(*words, "--help")
    assert (ours.returncode, direct.returncode) == (0, 0)
    (usage, *rest), (direct_usage, *direct_rest) = ours.stdout.strip().split("\n"), direct.stdout.strip().split("\n")
    assert f"vitalflow {name} [OPTIONS]" in usage
    assert f"python -m {' '.join(words)} [OPTIONS]" in direct_usage
    assert rest == direct_rest


@pytest.mark.parametrize("name", GROUPS)
def test_the_summary_of_a_group_names_its_commands(name: str) -> None:
    group = GROUPS[name]
    command = get_command(getattr(import_module(f"{group.package}.__main__"), group.app))
    if ":" in group.summary:
        assert group.summary.rpartition(": ")[2].rstrip(".").split(", ") == list(getattr(command, "commands", {}))


def commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The command, and all commands below it, by their full names."""
    yield name, command
    for part, below in getattr(command, "commands", {}).items():
        yield from commands(f"{name} {part}", below)


@pytest.mark.parametrize("name", GROUPS)
def test_in_80_columns_no_sentence_of_a_command_is_cut_and_every_example_is_one_line(name: str) -> None:
    group = GROUPS[name]
    top = get_command(getattr(import_module(f"{group.package}.__main__"), group.app))
    for full_name, command in commands(name, top):
        context = typer.Context(command, info_name=full_name, terminal_width=80)
        lines = command.get_help(context).splitlines()
        assert not [line for line in lines[1:] if line.endswith("...")], full_name
        assert not [line for line in lines if re.search(r"\w-$", line)], f"{full_name}: a name is cut at its hyphen"
        examples = [line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  ")]
        assert {example.strip() for example in examples} <= {line.strip() for line in lines}
        assert bool(command.epilog) == bool(examples), "examples are made by vitals.command_line"


def test_the_help_of_all_groups_cuts_no_name_at_its_hyphen() -> None:
    shown = run("vitalflow", "--help").stdout
    for group in GROUPS.values():
        if ":" in group.summary:
            assert set(group.summary.rpartition(": ")[2].rstrip(".").split(", ")) <= set(re.split(r"[\s,.]+", shown))


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["alert"], "alerts"),
        (["sql", "migrate"], "db"),
        (["stack", "up"], "dev"),
        (["devices", "enrol"], "enroll"),
        (["user", "ad"], "add"),
    ],
)
def test_an_unknown_command_is_answered_with_the_nearest_one(words: list[str], near: str) -> None:
    ended = run("vitalflow", *words)
    assert ended.returncode == 2
    assert (
        f"No such command {words[0] if words[0] not in GROUPS else words[1]!r}. Did you mean '{near}'" in ended.stderr
    )


def test_the_version_is_printed() -> None:
    assert run("vitalflow", "--version").stdout == f"vitalflow {VERSION}\n"


def test_every_package_but_bench_and_tests_is_in_the_wheel() -> None:
    setuptools = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["setuptools"]
    include = setuptools["packages"]["find"]["include"]
    packages = {path.parent.name for path in CHECKOUT.glob("*/__init__.py")} - {"bench", "tests"}
    assert {name for name in packages if not any(fnmatch(name, pattern) for pattern in include)} == set()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("short\n", "has 5 characters"), ("", "has 0 characters"), (None, "cannot be read: No such")],
)
def test_a_backup_refuses_a_passphrase_that_is_short_or_missing(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    word = tmp_path / "word"
    if content is not None:
        word.write_text(content)
    ended = run("vitalflow", "backup", str(tmp_path / "file"), "--passphrase-file", str(word), "--home", str(tmp_path))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert sentence in ended.stderr
    assert list(tmp_path.glob("file*")) == []


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_passphrase_is_not_asked_for_without_a_terminal(tmp_path: Path, command: str) -> None:
    ended = run("vitalflow", command, str(tmp_path / "file"), "--home", str(tmp_path))
    assert (ended.returncode, ended.stdout) == (2, "")
    sentence = "there is no terminal to ask for the passphrase; give --passphrase-file FILE"
    assert ended.stderr == f"vitalflow {command}: {sentence}\n"
