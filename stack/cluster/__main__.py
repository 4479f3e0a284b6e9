"""Command line `vitalflow cluster`: options and output."""

from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Annotated

import typer
from rich.console import Console

from identity.failback import fail_back
from stack.binaries import STACK, set_up_cluster
from stack.cluster import conditions, report
from stack.cluster.networks import Networks
from stack.cluster.observer import broker_of, observe
from stack.cluster.plan import FULL_HOSTS, PORT_BASE, ClusterPorts
from stack.cluster.servers import proxy, reinitialize, switch_over
from stack.cluster.supervisor import ClusterSupervisor
from stack.cluster.verdicts import judge
from stack.plan import DEVICES
from stack.stack_dir import Secrets, StackDir
from vitals.command_line import command_group, examples
from vitals.errors import PermanentError, login_name
from vitals.stop_signals import WITH_HANGUP, set_on_signals
from vitals.topics import Topics

DEFAULT = STACK / "cluster"

app = command_group("vitalflow cluster")

Folder = Annotated[
    Path,
    typer.Argument(metavar="[DIR]", show_default=".stack/cluster", help="The folder of the cluster.", file_okay=False),
]
FullHost = Annotated[str, typer.Argument(help="h1 or h2.")]
Target = Annotated[str, typer.Argument(help="A host (h1, h2, h3), or one process of it, such as broker-h1.")]


@app.callback(
    epilog=examples(
        "vitalflow cluster up",
        "vitalflow cluster status",
        "vitalflow cluster kill h1",
        "vitalflow cluster start h1",
    )
)
def about() -> None:
    """A highly available VitalFlow as local processes, to try what happens when a host dies or freezes.

    Two hosts with all servers and services and a small third one, all on 127.0.0.1. For real machines see
    docs/high-availability.md.
    """


@app.command()
def up(
    folder: Folder = DEFAULT,
    devices: Annotated[int, typer.Option(min=0, max=10_000, help="Number of simulated devices; 0 for none.")] = DEVICES,
    port_base: Annotated[
        int, typer.Option(min=1024, max=65_000, help="The broker's port; the other services use the next ones.")
    ] = PORT_BASE,
    networks: Annotated[
        bool, typer.Option("--networks", help="A network for each host, for `cut`; needs root and iproute2.")
    ] = False,
) -> None:
    """Start all hosts, and restart processes that end, until Ctrl-C.

    The first start installs Patroni, etcd and HAProxy in a private Debian below .stack (needs root or sudo). Stored
    data is kept.
    """
    binaries = set_up_cluster(typer.echo)
    stop = Event()
    set_on_signals(stop, numbers=WITH_HANGUP)
    ClusterSupervisor(
        StackDir.at(folder), binaries, ClusterPorts(port_base), devices, typer.echo, with_networks=networks
    ).run(stop)


@app.command()
def status(
    folder: Folder = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show each host, who leads, how far the standby is, and what is wrong with what to do. Takes a few seconds.

    Exit code 0 if nothing is wrong, else 1.
    """
    home, ports, secrets = _running(folder)
    seen = observe(home, set_up_cluster(typer.echo), ports, secrets, Topics())
    verdicts = judge(seen, datetime.now(UTC))
    if as_json:
        typer.echo(report.as_json(seen, verdicts))
    else:
        Console(highlight=False).print(report.table(seen))
        for sentence in verdicts or ["nothing is wrong: each host can fail"]:
            typer.echo(sentence)
    raise typer.Exit(1 if verdicts else 0)


@app.command()
def kill(target: Target, folder: Folder = DEFAULT) -> None:
    """Kill a host or a process with SIGKILL, as when its power fails."""
    conditions.change(folder, [target], "kill")


@app.command()
def freeze(target: Target, folder: Folder = DEFAULT) -> None:
    """Stop a host or a process with SIGSTOP, as when a virtual machine is paused."""
    conditions.change(folder, [target], "freeze")


@app.command()
def thaw(target: Target, folder: Folder = DEFAULT) -> None:
    """Resume a frozen host or process."""
    conditions.change(folder, [target], "thaw")


@app.command()
def start(target: Target, folder: Folder = DEFAULT) -> None:
    """Start a killed host or process with the data that it had."""
    conditions.change(folder, [target], "start")


@app.command()
def cut(
    host: Annotated[str, typer.Argument(help="h1, h2 or h3.")],
    folder: Folder = DEFAULT,
    from_hosts: Annotated[
        bool, typer.Option("--from-hosts", help="From the other hosts only; clients still reach it.")
    ] = False,
) -> None:
    """Cut a host off from all others and from its clients, both ways, as when its cable is pulled."""
    home, ports, _ = _running(folder)
    state = home.state()
    if state is None or not Networks(ports, state.supervisor.pid).exist:
        raise PermanentError("the hosts of this cluster share one network: `vitalflow cluster up --networks` as root")
    conditions.change(folder, [host], "cut-from-hosts" if from_hosts else "cut")


@app.command()
def heal(host: Annotated[str, typer.Argument(help="h1, h2 or h3.")], folder: Folder = DEFAULT) -> None:
    """Join a host that was cut off to all others again."""
    conditions.change(folder, [host], "heal")


@app.command()
def failback(host: FullHost, folder: Folder = DEFAULT) -> None:
    """Give the clients to the broker of a host that returned, after its retained state was made equal."""
    host = _full(host)
    home, ports, secrets = _running(folder)
    admins = {name: broker_of(home, ports, secrets, name, "admin") for name in FULL_HOSTS}
    proxies, now = [proxy(home, set_up_cluster(typer.echo))], datetime.now(UTC)
    fail_back(proxies, admins, host, Topics(), by=login_name(), now=now, emit=typer.echo)


@app.command()
def switchover(folder: Folder = DEFAULT) -> None:
    """Give the role of the primary database to the standby, as before maintenance of its host."""
    _, ports, secrets = _running(folder)
    switch_over(ports, secrets)


@app.command()
def reinit(host: FullHost, folder: Folder = DEFAULT) -> None:
    """Delete the data of a standby that does not follow, and copy the primary's."""
    _, ports, secrets = _running(folder)
    reinitialize(ports, secrets, _full(host))


def _full(host: str) -> str:
    if host not in FULL_HOSTS:
        raise PermanentError(f"{host[:60]!r} has no broker and no database; expected one of {', '.join(FULL_HOSTS)}")
    return host


def _running(folder: Path) -> tuple[StackDir, ClusterPorts, Secrets]:
    """Return the cluster in a folder; raises PermanentError if none is running there."""
    home = StackDir.at(folder)
    state, secrets = home.state(), home.secrets()
    if state is None or secrets is None:
        raise PermanentError("no cluster is running; `vitalflow cluster up` starts it")
    return home, ClusterPorts(state.port_base), secrets


if __name__ == "__main__":
    app(prog_name="python -m stack.cluster")
