"""What the shell of a person needs: `export` lines, and psql and mosquitto_sub that fit the servers.

The private Debian's client programs run here without chroot and without root, through its own dynamic loader: so they
see the person's files, terminal and pipes, which a chrooted psql would not.
"""

import shlex
from pathlib import Path

from identity.authority import write_secret
from identity.broker_bootstrap import OPERATOR
from stack.binaries import ServerBinaries
from stack.plan import WARD, Ports, addresses
from stack.stack_dir import Secrets, StackDir
from vitals.alert import Alert
from vitals.errors import PermanentError
from vitals.program import vitalflow_command

ACKNOWLEDGE = '{"by":"me","action":"acknowledge"}'
CLIENTS = ("psql", "mosquitto_sub", "mosquitto_pub")


def install(home: StackDir, binaries: ServerBinaries) -> None:
    """Put the clients into the stack's bin folder.

    Those of Mosquitto find their options in a folder of ours, so that a password need not stand on a command line,
    which every user of the machine can read.
    """
    home.bin.mkdir(parents=True, exist_ok=True)
    for name in CLIENTS:
        program = _line(binaries, name)
        ours = "" if name == "psql" else f"XDG_CONFIG_HOME={shlex.quote(str(home.clients))} "
        script = home.bin / name
        script.write_text(f'#!/bin/sh\n{ours}exec {shlex.join(program)} "$@"\n')
        script.chmod(0o755)


def _line(binaries: ServerBinaries, name: str) -> list[str]:
    if binaries.root is None:
        return [str(Path(binaries.mosquitto_sub).parent / name) if name != "psql" else f"{binaries.postgresql}/psql"]
    loader = _one(binaries.root, "lib*/ld-linux*.so.*")
    libraries = _one(binaries.root, "usr/lib/*-linux-gnu*")
    folder = Path(binaries.postgresql) if name == "psql" else Path("/usr/bin")
    program = binaries.root / (folder / name).relative_to("/")
    return [str(loader), "--library-path", str(libraries), "--argv0", name, str(program)]


def write_options(home: StackDir, ports: Ports, secrets: Secrets) -> None:
    """What clients take as given, so that no password is typed into a command line: that they are the person here.

    For mosquitto_sub and mosquitto_pub where the broker is, too; for curl a file of its --netrc-file; and for whoever
    signs in at the station the password alone.
    """
    options = (
        "-h 127.0.0.1",
        f"-p {ports.broker}",
        f"--cafile {home.identity / 'ca.crt'}",
        f"-u {OPERATOR}",
        f"-P {secrets.broker[OPERATOR]}",
    )
    home.clients.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("mosquitto_sub", "mosquitto_pub"):
        write_secret(home.clients / name, "\n".join([*options, ""]).encode())
    netrc = f"machine 127.0.0.1 login {OPERATOR} password {secrets.broker[OPERATOR]}\n"
    write_secret(home.clients / "netrc", netrc.encode())
    write_secret(home.password, f"{secrets.broker[OPERATOR]}\n".encode())


def sign_in_hint(home: StackDir) -> str:
    """How the person here signs in at the station, in words."""
    return f"sign in as {OPERATOR}; the password: cat {shlex.quote(str(_from_here(home.password)))}"


def _one(root: Path, pattern: str) -> Path:
    found = sorted(root.glob(pattern))
    if not found:
        raise PermanentError(
            f"{root} is not a complete Debian: it has no {pattern}; delete it and run `vitalflow dev setup`"
        )
    return found[0]


def export_lines(home: StackDir) -> str:
    """The lines for `eval`. The clients come first on the PATH: an older psql fits a newer server badly."""
    state, secrets = home.state(), home.secrets()
    if state is None or secrets is None:
        raise PermanentError("no stack is running here; `vitalflow dev up --detach` starts one")
    lines = [
        f"export {name}={shlex.quote(url)}" for name, url in addresses(Ports(state.port_base), secrets, home).items()
    ]
    if home.bin.is_dir():
        lines.append(f'export PATH={shlex.quote(str(home.bin))}:"$PATH"')
    return "\n".join([*lines, *(f"# {line}" for line in hint_commands())])


def eval_line() -> str:
    """The line that brings the exports into a shell, with the very Python that runs us."""
    return f'eval "$({vitalflow_command()} dev env)"'


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def hint_commands() -> list[str]:
    """Commands to look further with, as they can be pasted once the exports are in place."""
    return [
        'psql "$VITALFLOW_READER_URL" -c "SELECT count(*) FROM patient_vitals"',
        "mosquitto_sub -v -t 'vitalflow/alerts/#'",
        f"{vitalflow_command()} alerts watch",
    ]


def ack_command(alert: Alert | None) -> list[str]:
    """The command that acknowledges an alert, over two lines; without one, it names an alert that may come."""
    place = f"{WARD}/{WARD}-bed-18/no-data" if alert is None else f"{alert.ward}/{alert.device_id}/{alert.rule}"
    # Quoted, because a device may have any name that can be printed, also one that a shell would carry out.
    return [
        f"mosquitto_pub -q 1 -m {shlex.quote(ACKNOWLEDGE)} \\",
        f"  -t {shlex.quote(f'vitalflow/alert-commands/{place}/{OPERATOR}')}",
    ]


def short_hint_commands() -> list[str]:
    """The same for a small terminal: three lines of at most 80."""
    return [
        f"{eval_line()}  in another terminal, here, and then",
        f'psql "$VITALFLOW_READER_URL"  or  {vitalflow_command()} alerts watch  or',
        "mosquitto_sub -v -t 'vitalflow/alerts/#'",
    ]
