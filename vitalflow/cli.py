"""The command `vitalflow`: a table of command groups, each of which is a Typer app in the `__main__` of its package."""

import sys
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from vitals.command_line import write_rows
from vitals.errors import exit_on_error
from vitals.version import VERSION

PROGRAM = "vitalflow"


@dataclass(frozen=True, slots=True)
class CommandGroup:
    """A line of `vitalflow --help`.

    section   the heading above it
    package   `package.__main__` holds the Typer app
    summary   one line; a test compares the commands listed in it with the app's
    app       the app's name in that module
    """

    section: str
    package: str
    summary: str
    app: str = "app"


SERVICES, ACCESS, DATA, DEVELOPMENT = "Services", "Devices and users", "Database and dashboards", "Development"
GROUPS = {
    "ingest": CommandGroup(SERVICES, "ingest", "Store readings from the broker in the database."),
    "alerts": CommandGroup(SERVICES, "alerts", "Evaluate alarm rules: run, watch, check, backtest."),
    "station": CommandGroup(SERVICES, "station", "Serve the live ward to browsers."),
    "devices": CommandGroup(
        ACCESS,
        "devices",
        "Bedside monitors: simulate, replay, try, enroll, enroll-simulated, list, doctor, revoke, assign, discharge.",
    ),
    "edges": CommandGroup(
        ACCESS, "edges", "Receive what other systems send: check, unused, hl7, fhir, mqtt, webhook, serial, senders."
    ),
    "user": CommandGroup(ACCESS, "identity", "Users of the station: add, list, revoke.", "users"),
    "identity": CommandGroup(
        ACCESS,
        "identity",
        "CA, users, further brokers: "
        "init, renew, accounts, check, check-broker, add-service, export-broker, enroll-bridge, failback, user.",
    ),
    "db": CommandGroup(
        DATA, "sql", "Database: migrate, status, backfill, grant-ward, revoke-ward, wards, set-time-zone."
    ),
    "import": CommandGroup(DATA, "ingest.importing", "Store recordings of the past with their original times."),
    "export": CommandGroup(DATA, "sql.export", "Export readings for research, on demand without identities."),
    "backup": CommandGroup(DATA, "stack", "Write a stack into one encrypted file.", "backup_app"),
    "restore": CommandGroup(DATA, "stack", "Restore a stack from a backup.", "restore_app"),
    "grafana": CommandGroup(DATA, "grafana", "The Grafana dashboards: check."),
    "dev": CommandGroup(
        DEVELOPMENT,
        "stack",
        "All servers as local processes: setup, up, status, env, logs, down, demo, systemd, backup, restore.",
    ),
    "cluster": CommandGroup(
        DEVELOPMENT,
        "stack.cluster",
        "Two hosts and a witness: up, status, kill, freeze, thaw, start, cut, heal, failback, switchover, reinit.",
    ),
    "bench": CommandGroup(DEVELOPMENT, "bench", "Measure throughput, latency and cost; lists its own commands."),
}


class LazyGroups(TyperGroup):
    """The command groups; a group's package is imported when one of its commands runs or shows its help."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the groups whose package is present: an installation from a wheel has no `bench`."""
        return [name for name, group in GROUPS.items() if find_spec(group.package.partition(".")[0]) is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a group; None if there is no such group."""
        if cmd_name not in self.list_commands(ctx):
            return None
        group = GROUPS[cmd_name]
        return get_command(getattr(import_module(f"{group.package}.__main__"), group.app))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the group named first; the error for an unknown one names the nearest group."""
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            by_package = {GROUPS[name].package: name for name in known} | {name: name for name in known}
            near = get_close_matches(args[0], by_package, 1, cutoff=0.4)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {by_package[near[0]]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the groups under their headings, without importing any."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            sections.setdefault(GROUPS[name].section, []).append((name, GROUPS[name].summary))
        for section, rows in sections.items():
            with formatter.section(section):
                write_rows(formatter, rows)


app = typer.Typer(
    cls=LazyGroups,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {VERSION}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Vital signs of patients over MQTT into TimescaleDB, with alarms and a ward display.

    `vitalflow GROUP --help` shows the commands of a group. Settings are environment variables, listed in .env.example.
    """


def main() -> None:
    """Run the command line; an expected error ends it with one sentence and exit code 2."""
    named = [PROGRAM, *(word for word in sys.argv[1:2] if word in GROUPS)]
    with exit_on_error(" ".join(named)):
        app(prog_name=PROGRAM)
