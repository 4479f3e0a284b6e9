"""The command line of the stack: `vitalflow dev`. Options and printing; the work is in the other modules."""

import signal
import sys
from pathlib import Path
from threading import Event
from typing import Annotated

import typer
from rich.console import Console

from stack import control, report, shell
from stack.binaries import STACK, find, set_up
from stack.demo import demo as run_demo
from stack.plan import DEVICES, PORT_BASE, Ports
from stack.stack_dir import StackDir
from stack.supervisor import Supervisor
from vitals.errors import exit_on_error

PROGRAM = "vitalflow dev"

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

Devices = Annotated[int, typer.Option(min=0, max=10_000, help="Simulated monitors; 0 for none, to bring your own.")]
PortBase = Annotated[
    int, typer.Option(min=1024, max=65_000, help="The broker's port; database and metrics take the next ones.")
]


@app.callback(
    epilog="""Examples:

    vitalflow dev setup

    vitalflow dev up --detach --devices 5

    eval "$(vitalflow dev env)"

    psql "$VITALFLOW_READER_URL" -c "SELECT count(*) FROM patient_vitals"

    mosquitto_sub -v -L "$VITALFLOW_MQTT_URL/vitalflow/alerts/#"

    vitalflow alerts watch

    vitalflow dev logs ingest -f

    vitalflow dev down --wipe
    """
)
def about(
    context: typer.Context,
    home: Annotated[
        Path,
        typer.Option(
            show_default=".stack", help="The folder of the stack; another one, with --port-base, is a second stack."
        ),
    ] = STACK,
) -> None:
    """The whole of VitalFlow as local processes, for a machine with no Docker.

    A broker, a database, ingest, the alert worker and simulated monitors, on 127.0.0.1 only. Everything lies in this
    checkout, below .stack; nothing is installed elsewhere.
    """
    context.obj = StackDir.at(home)


@app.command()
def setup() -> None:
    """Get the servers: Mosquitto and PostgreSQL.

    Takes the machine's own where they are recent enough, else makes a private Debian 13 below .stack (about a minute,
    root or sudo, once).
    """
    set_up(typer.echo)


@app.command()
def up(
    context: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background; return once all is up.")] = False,
    devices: Devices = DEVICES,
    port_base: PortBase = PORT_BASE,
) -> None:
    """Start everything, and start again whatever dies.

    In the foreground Ctrl-C ends it all. What is stored stays for the next time; `down --wipe` deletes it.
    """
    home: StackDir = context.obj
    binaries = find()
    if detach:
        control.up_in_background(home, devices, port_base)
        typer.echo(f"up; the ward in a browser: {Ports(port_base).page} ({shell.sign_in_hint(home)})")
        typer.echo(f"to look closer: {shell.eval_line()}")
        return
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    Supervisor(home, binaries, Ports(port_base), devices, typer.echo).run(stop)


@app.command()
def status(context: typer.Context) -> None:
    """Show each process and what is stored.

    Exit code 0 if all is up, 1 if not.
    """
    home: StackDir = context.obj
    state = home.state()
    if state is None:
        typer.echo("down; `vitalflow dev up --detach` starts everything")
        raise typer.Exit(1)
    used = report.measure_usage(report.expected(state))
    Console(highlight=False).print(report.table(state, used))
    typer.echo(report.rows(home, state))
    if state.supervisor.name not in used:
        typer.echo("the supervisor was killed: `vitalflow dev down` stops what it left, `up` starts everything anew")
    well = state.up and all(running.name in used and running.serves for running in report.expected(state))
    raise typer.Exit(0 if well else 1)


@app.command()
def env(context: typer.Context) -> None:
    """Print where everything is, for: eval "$(vitalflow dev env)"."""
    typer.echo(shell.export_lines(context.obj))


@app.command()
def logs(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="supervisor, broker, alerts, station, database, migrate, ingest or devices.")
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Print the log of one process."""
    for chunk in control.lines(context.obj, name, follow):
        sys.stdout.write(chunk)
        sys.stdout.flush()


@app.command()
def down(
    context: typer.Context,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Delete the stored readings too. Keeps the private Debian.")
    ] = False,
) -> None:
    """End everything, also what a killed supervisor left running."""
    control.down(context.obj, wipe, typer.echo)


@app.command()
def demo(
    context: typer.Context,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="End by itself after so long: exit code 0 if readings were stored, else 1."),
    ] = None,
    devices: Devices = DEVICES,
    port_base: PortBase = PORT_BASE,
) -> None:
    """Set up, start, and show the ward live.

    Until Ctrl-C, which ends everything. `make demo` is the usual way to call it.
    """
    raise typer.Exit(run_demo(context.obj, devices, port_base, seconds))


if __name__ == "__main__":
    with exit_on_error(PROGRAM):
        app(prog_name="python -m stack")
