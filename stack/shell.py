"""Shell environment of a stack: `export` lines, and psql and mosquitto_sub of the servers' versions.

The private Debian's client programs run without chroot and root, through its own dynamic loader, so they see the
user's files, terminal and pipes.
"""

import shlex
import sys
from pathlib import Path

from identity.authority import write_secret
from identity.policy import OPERATOR
from stack.binaries import ServerBinaries
from stack.plan import Ports, addresses
from stack.stack_dir import Secrets, StackDir
from vitals.errors import PermanentError
from vitals.program import vitalflow_command

CLIENTS = ("psql", "mosquitto_sub", "mosquitto_pub")


def install(home: StackDir, binaries: ServerBinaries) -> None:
    """Write wrapper scripts of the client programs to the stack's bin folder.

    Those of Mosquitto read their options from files, so that no password is on a command line, which every local user
    can read.
    """
    home.bin.mkdir(parents=True, exist_ok=True)
    for name in CLIENTS:
        program = _line(binaries, name)
        variable = "" if name == "psql" else f"XDG_CONFIG_HOME={shlex.quote(str(home.clients))} "
        script = home.bin / name
        script.write_text(f'#!/bin/sh\n{variable}exec {shlex.join(program)} "$@"\n')
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
    """Write files with the login of the user `operator`, so that no password is typed on a command line.

    Options for mosquitto_sub and mosquitto_pub, a --netrc-file for curl, and the password for the station.
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
    """Return how to sign in at the station."""
    return f"sign in as {OPERATOR}; the password: cat {shlex.quote(str(_from_here(home.password)))}"


def devices_hint(url: str, ports: Ports) -> str:
    """Return where devices on other machines connect, and which ports a firewall must let them use."""
    first, second = ports.on_other_machines
    return f"devices on other machines connect to {url}; a firewall must let them use the ports {first} and {second}"


def _one(root: Path, pattern: str) -> Path:
    found = sorted(root.glob(pattern))
    if not found:
        raise PermanentError(f"{root} is incomplete: it has no {pattern}; delete it and run `vitalflow dev setup`")
    return found[0]


def export_lines(home: StackDir) -> str:
    """Return the lines for `eval`: the settings, and PATH with the clients and with `vitalflow`.

    The clients come first, because an older psql may not work with a newer server.
    """
    state, secrets = home.state(), home.secrets()
    if state is None or secrets is None:
        raise PermanentError("no stack is running; `vitalflow dev up --detach` starts one")
    settings = addresses(Ports(state.port_base), secrets, home)
    if state.devices_url is not None:
        settings["VITALFLOW_DEVICES_URL"] = state.devices_url
    lines = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
    programs = [home.bin, Path(sys.executable).parent] if home.bin.is_dir() else [Path(sys.executable).parent]
    lines.append(f'export PATH={shlex.quote(":".join(map(str, programs)))}:"$PATH"')
    return "\n".join([*lines, *(f"# {line}" for line in hint_commands())])


def eval_line() -> str:
    """Return the line that brings the exports into a shell."""
    return f'eval "$({vitalflow_command()} dev env)"'


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def hint_commands() -> list[str]:
    """Return commands to try once the exports are set."""
    return [
        'psql "$VITALFLOW_READER_URL" -c "SELECT count(*) FROM patient_vitals"',
        "mosquitto_sub -v -t 'vitalflow/alerts/#'",
        f"{vitalflow_command()} alerts watch",
    ]
