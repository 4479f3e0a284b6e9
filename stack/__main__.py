"""Command line `vitalflow dev`: options and output."""

import sys
from pathlib import Path
from threading import Event
from typing import Annotated

import typer
from rich.console import Console

from stack import control, report, shell
from stack.backup import back_up
from stack.binaries import STACK, find, set_up
from stack.demo import demo as run_demo
from stack.lan import LOOPBACK
from stack.plan import DEVICES, PORT_BASE, Ports
from stack.restore import restore as restore_backup
from stack.stack_dir import StackDir
from stack.supervisor import Supervisor
from stack.systemd import write_units
from vitals.command_line import command_group, examples, single_command
from vitals.errors import PermanentError
from vitals.stop_signals import WITH_HANGUP, set_on_signals

app = command_group("vitalflow dev")

Devices = Annotated[int, typer.Option(min=0, max=10_000, help="Number of simulated devices; 0 for none.")]
PortBase = Annotated[
    int, typer.Option(min=1024, max=65_000, help="The broker's port; the other services use the next ones.")
]
Listen = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Where the broker also accepts devices of other machines, with TLS and a password or certificate: an IPv4 "
        "address of this machine, or 0.0.0.0 for all of them.",
    ),
]


@app.callback(
    epilog=examples(
        "vitalflow dev setup",
        "vitalflow dev up --detach --devices 5",
        "vitalflow dev up --detach --devices 0 --listen 0.0.0.0",
        'eval "$(vitalflow dev env)"',
        'psql "$VITALFLOW_READER_URL" -c "SELECT count(*) FROM patient_vitals"',
        'mosquitto_sub -v -L "$VITALFLOW_MQTT_URL/vitalflow/alerts/#"',
        "vitalflow alerts watch",
        "vitalflow dev logs ingest -f",
        "vitalflow dev down --wipe",
    ),
)
def about(
    context: typer.Context,
    home: Annotated[
        Path,
        typer.Option(
            show_default=".stack",
            help="The folder of the stack; a second stack needs another one and another --port-base.",
        ),
    ] = STACK,
) -> None:
    """All of VitalFlow as local processes, for a machine without Docker.

    Broker, database, ingest, alert worker, station and simulated devices, on 127.0.0.1 only unless `--listen` is given.
    All files are in this checkout, below .stack.
    """
    context.obj = StackDir.at(home)


@app.command()
def setup() -> None:
    """Install the servers: Mosquitto and PostgreSQL.

    Uses the machine's own if they are recent enough, else installs a private Debian 13 below .stack (once, about a
    minute, needs root or sudo).
    """
    set_up(typer.echo)


@app.command()
def up(
    context: typer.Context,
    detach: Annotated[
        bool, typer.Option("--detach", help="Run in the background; return once all processes are ready.")
    ] = False,
    devices: Devices = DEVICES,
    port_base: PortBase = PORT_BASE,
    listen: Listen = LOOPBACK,
) -> None:
    """Start all processes, and restart those that end.

    In the foreground Ctrl-C stops all of them. Stored data is kept; `down --wipe` deletes it.
    """
    home: StackDir = context.obj
    binaries, ports = find(), Ports(port_base, listen)
    if detach:
        state = control.up_in_background(home, devices, ports)
        typer.echo(f"up; the ward in a browser: {ports.page} ({shell.sign_in_hint(home)})")
        if state.devices_url is not None:
            typer.echo(shell.devices_hint(state.devices_url, ports))
        typer.echo(f"to set up this shell: {shell.eval_line()}")
        return
    stop = Event()
    set_on_signals(stop, numbers=WITH_HANGUP)
    Supervisor(home, binaries, ports, devices, typer.echo).run(stop)


@app.command()
def status(context: typer.Context) -> None:
    """Show each process and the number of stored readings.

    Exit code 0 if all processes are ready, else 1.
    """
    home: StackDir = context.obj
    state = home.state()
    if state is None:
        typer.echo("down; `vitalflow dev up --detach` starts it")
        raise typer.Exit(1)
    used = report.measure_usage(report.expected(state))
    Console(highlight=False).print(report.table(state, used))
    typer.echo(report.rows(home, state))
    if state.supervisor.name not in used:
        typer.echo("the supervisor was killed: `vitalflow dev down` stops the other processes, `up` restarts all")
    ready = state.up and all(running.name in used and running.serves for running in report.expected(state))
    raise typer.Exit(0 if ready else 1)


@app.command()
def env(context: typer.Context) -> None:
    """Print the settings of the stack, for: eval "$(vitalflow dev env)"."""
    typer.echo(shell.export_lines(context.obj))


@app.command()
def logs(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="supervisor, broker, alerts, station, database, migrate, ingest or devices.")
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the log until Ctrl-C.")] = False,
) -> None:
    """Print the log of one process."""
    for chunk in control.lines(context.obj, name, follow):
        sys.stdout.write(chunk)
        sys.stdout.flush()


@app.command()
def down(
    context: typer.Context,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Also delete the stored readings; the private Debian is kept.")
    ] = False,
) -> None:
    """Stop all processes, also those that a killed supervisor left running."""
    control.down(context.obj, wipe, typer.echo)


@app.command()
def demo(
    context: typer.Context,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="Stop after this time: exit code 0 if readings were stored, else 1."),
    ] = None,
    devices: Devices = DEVICES,
    port_base: PortBase = PORT_BASE,
    listen: Listen = LOOPBACK,
) -> None:
    """Install the servers, start all processes, and show the ward until Ctrl-C.

    Also available as `make demo`.
    """
    raise typer.Exit(run_demo(context.obj, devices, Ports(port_base, listen), seconds))


@app.command()
def systemd(
    folder: Annotated[Path, typer.Argument(help="Where units of this machine are.")] = Path("/etc/systemd/system"),
) -> None:
    """Write the units of the services, for a machine with its own broker and database.

    Starts nothing; docs/operations.md lists the files that the units read.
    """
    for path in write_units(folder, Path(sys.prefix) / "bin/vitalflow"):
        typer.echo(f"wrote {path}")


Home = Annotated[Path | None, typer.Option(show_default=".stack", help="The folder of the stack.", file_okay=False)]
PassphraseFile = Annotated[
    Path | None, typer.Option(help="The file whose first line is the passphrase. Default: ask for it.", dir_okay=False)
]
MIN_PASSPHRASE = 12
backup_app = single_command()
restore_app = single_command()


@app.command()
@backup_app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The backup to write.", dir_okay=False)],
    passphrase_file: PassphraseFile = None,
    home: Home = None,
) -> None:
    """Write database, CA, users, rights, passwords and settings of a stack into one encrypted file.

    The stack may run. The file appears only once it is complete.
    """
    word = _passphrase(passphrase_file, new=True)
    back_up(_home(context, home), find(), file, word, typer.echo)


@app.command()
@restore_app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The backup to read.", dir_okay=False)],
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    replace: Annotated[bool, typer.Option("--replace", help="Delete the data of the stack that is there.")] = False,
) -> None:
    """Restore a stopped stack from a backup.

    Changes nothing unless the whole file is intact and these servers can hold its database.
    """
    word = _passphrase(passphrase_file, new=False)
    restore_backup(_home(context, home), find(), file, word, replace, typer.echo)


def _home(context: typer.Context, home: Path | None) -> StackDir:
    return StackDir.at(home) if home else context.obj or StackDir.at()


def _passphrase(file: Path | None, new: bool) -> bytes:
    if file is None and not sys.stdin.isatty():
        raise PermanentError("there is no terminal to ask for the passphrase; give --passphrase-file FILE")
    if file is None:
        word = str(typer.prompt("passphrase", hide_input=True, confirmation_prompt=new)).encode()
    else:
        try:
            word = file.read_bytes().partition(b"\n")[0].removesuffix(b"\r")
        except OSError as error:
            raise PermanentError(f"--passphrase-file {str(file)!r} cannot be read: {error.strerror}") from None
    if new and len(word) < MIN_PASSPHRASE:
        raise PermanentError(f"the passphrase has {len(word)} characters; a backup needs {MIN_PASSPHRASE} or more")
    return word


if __name__ == "__main__":
    app(prog_name="python -m stack")
