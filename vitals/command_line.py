"""One style of help for all commands: whole sentences in the list of commands, and examples that can be copied."""

from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from vitals.errors import exit_on_error

NO_BREAK_HYPHEN = "\N{NON-BREAKING HYPHEN}"
MAX_SUMMARY = 1000  # characters

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log debug messages too.")]
"""The option of each command that runs a service."""


class WholeHelp(TyperGroup):
    """A group whose help shows the first sentence of each command in full; Typer cuts it to one line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        names = self.list_commands(ctx)
        shown = [(name, command) for name in names if (command := self.get_command(ctx, name)) and not command.hidden]
        with formatter.section("Commands"):
            write_rows(formatter, [(name, command.get_short_help_str(MAX_SUMMARY)) for name, command in shown])


def write_rows(formatter: Any, rows: Sequence[tuple[str, str]]) -> None:
    """Write names with their texts, in which no line ends inside a name such as grant-ward."""
    begin = len(formatter.buffer)
    formatter.write_dl([(name, text.replace("-", NO_BREAK_HYPHEN)) for name, text in rows])
    formatter.buffer[begin:] = [part.replace(NO_BREAK_HYPHEN, "-") for part in formatter.buffer[begin:]]


class LazyCommands(dict[str, Any]):
    """Commands by name. A value that is the name of a module becomes the group `app` of the module on access."""

    def __getitem__(self, name: str) -> Any:
        """Return a command; raises KeyError."""
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """Return a command; import its module if that has not happened."""
        found = super().get(name, default)
        if isinstance(found, str):
            found = self[name] = get_command(import_module(found).app)
        return found

    def items(self) -> Any:
        """Return all pairs, every module imported."""
        return [(name, self[name]) for name in self]


def command_group(program: str = "", **modules: str) -> typer.Typer:
    """Return an empty group of commands; `modules` hold its subgroups, and only the one that is run is imported.

    program   the name of the group, if an expected error of a command ends the process with a sentence after this name
    """

    class Group(WholeHelp):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = LazyCommands({**self.commands, **modules})

        def invoke(self, ctx: Any) -> Any:
            with exit_on_error(program) if program else nullcontext():
                return super().invoke(ctx)

    return typer.Typer(
        cls=Group,
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def single_command() -> typer.Typer:
    """Return what takes the only command of a program."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def examples(*commands: str, heading: str = "Examples") -> str:
    """Return the end of a command's help: each example on one line, however long it is."""
    return "\n".join([f"{heading}:", "", "\b", *(f"  {command}" for command in commands)])
