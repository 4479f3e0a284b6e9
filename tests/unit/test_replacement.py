"""The exchange of a stack for a restored one, interrupted after each of its steps."""

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stack import binaries as binaries_module
from stack.binaries import ServerBinaries
from stack.replacement import Replacement
from stack.stack_dir import StackDir

BINARIES = ServerBinaries(None, "", "", "", "")


class Killed(Exception):
    """The process ends at this point."""


def write_stack(identity: Path, data: str, files: Path, name: str) -> None:
    data_folder = BINARIES.folder(data) / "database"
    data_folder.mkdir(parents=True)
    (data_folder / "rows").write_text(name)
    identity.mkdir(parents=True)
    (identity / "ca.key").write_text(name)
    (files / "secrets.json").write_text(name)


def content(home: StackDir) -> set[str]:
    paths = (BINARIES.folder(home.data) / "database/rows", home.identity / "ca.key", home.folder / "secrets.json")
    return {path.read_text() for path in paths}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackDir:
    """A stack with the old data, and beside it a restored one that is not yet complete."""
    if os.geteuid() == 0:
        monkeypatch.setattr(ServerBinaries, "command", lambda _self, _user, *line: list(line))
    monkeypatch.setattr(binaries_module, "STACK", tmp_path)
    home = StackDir.at(tmp_path / "home")
    write_stack(home.identity, home.data, home.folder, "old")
    new = Replacement(home, BINARIES)
    new.files.mkdir()
    write_stack(new.identity, new.data, new.files, "new")
    return home


def kill_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise Killed instead of the step after `steps` changes of the file system."""
    done = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            if done == steps:
                raise Killed
            done += 1
            return change(*arguments, **options)

        return step

    monkeypatch.setattr(subprocess, "run", counted(subprocess.run))
    monkeypatch.setattr(shutil, "rmtree", counted(shutil.rmtree))
    for name in ("rename", "replace", "unlink", "touch"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))


def test_a_crash_after_any_step_leaves_all_of_the_old_stack_or_all_of_the_new(
    home: StackDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = home.folder.parent / "saved"
    saved.mkdir()
    shutil.copytree(home.folder, saved / "home")
    shutil.copytree(home.folder.parent / "srv", saved / "srv")
    for steps in range(100):
        for name in ("home", "srv"):
            shutil.rmtree(home.folder.parent / name)
            shutil.copytree(saved / name, home.folder.parent / name)
        with monkeypatch.context() as patched:
            kill_after(steps, patched)
            killed = True
            with suppress(Killed):
                Replacement(home, BINARIES).commit()
                killed = False
        Replacement(home, BINARIES).finish()
        assert content(home) == ({"new"} if steps else {"old"}), steps
        assert not (home.folder / "restored").exists()
        assert not BINARIES.folder(Replacement(home, BINARIES).data).exists()
        if not killed:
            assert steps > 5
            return
    pytest.fail("commit takes more than 100 steps")


def test_an_incomplete_restore_is_deleted(home: StackDir) -> None:
    assert not Replacement(home, BINARIES).finish()
    assert content(home) == {"old"}
    assert not BINARIES.folder(Replacement(home, BINARIES).data).exists()
