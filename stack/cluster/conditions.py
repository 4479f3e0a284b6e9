"""What was done to each process: `kill` and the other commands write it, and the supervisor applies it.

Two files in the cluster's folder: the condition that is wanted of each process, and the one that it has.
"""

import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import msgspec

from stack.cluster.plan import HOSTS, PROCESSES
from vitals.errors import PermanentError, TransientError
from vitals.files import write_atomic

WANTED, PRESENT = "wanted.json", "present.json"
APPLIED_WITHIN_S = 60.0
POLL_S = 0.1


class Condition(StrEnum):
    """The condition of a process: `killed` is not restarted, `frozen` stands still; a whole host is cut off."""

    RUNNING = "running"
    KILLED = "killed"
    FROZEN = "frozen"
    CUT_OFF = "cut off"
    CUT_FROM_HOSTS = "cut off from the other hosts"


CUT = {Condition.CUT_OFF, Condition.CUT_FROM_HOSTS}
ACTIVE = {Condition.RUNNING, *CUT}
"""Of a process that is restarted when it ends."""
Conditions = dict[str, Condition]
COMMANDS = {
    "kill": ({Condition.RUNNING, Condition.FROZEN}, Condition.KILLED),
    "freeze": ({Condition.RUNNING}, Condition.FROZEN),
    "thaw": ({Condition.FROZEN}, Condition.RUNNING),
    "start": ({Condition.KILLED}, Condition.RUNNING),
    "cut": ({Condition.RUNNING}, Condition.CUT_OFF),
    "cut-from-hosts": ({Condition.RUNNING}, Condition.CUT_FROM_HOSTS),
    "heal": (CUT, Condition.RUNNING),
}
"""For each command the conditions that it acts on, and the one that it leads to."""
UNDO = {state: name for name, (states, after) in COMMANDS.items() if after is Condition.RUNNING for state in states}


def read(folder: Path, name: str) -> Conditions:
    """Return the condition of each process in a file; every process runs if there is none."""
    try:
        known = msgspec.json.decode((folder / name).read_bytes(), type=dict[str, Condition])
    except FileNotFoundError:
        known = {}
    except msgspec.DecodeError as error:
        raise PermanentError(f"{folder / name} cannot be read: {error}; delete it") from None
    return {process: known.get(process, Condition.RUNNING) for names in PROCESSES.values() for process in names}


def write(folder: Path, name: str, conditions: Conditions) -> None:
    """Replace the conditions in a file."""
    write_atomic(folder / name, msgspec.json.encode(conditions))


def of_hosts(conditions: Conditions) -> dict[str, str]:
    """Return the condition of each host; the processes that have another one than the rest are named."""
    found = {}
    for host in HOSTS:
        states = {process: conditions[process] for process in PROCESSES[host]}
        different = [f"{process} {state}" for process, state in states.items() if state is not Condition.RUNNING]
        common = set(states.values())
        found[host] = str(common.pop()) if len(common) == 1 else ", ".join(different)
    return found


def processes(target: str) -> tuple[str, ...]:
    """Return the processes of a host, or the one named; raises PermanentError for another name."""
    if target in HOSTS:
        return PROCESSES[target]
    known = [process for host in HOSTS for process in PROCESSES[host]]
    if target not in known:
        raise PermanentError(
            f"{target[:60]!r} is neither a host ({', '.join(HOSTS)}) nor one of its processes ({', '.join(known)})"
        )
    return (target,)


def plan(present: Conditions, targets: Iterable[str], command: str) -> Conditions:
    """Return the conditions that a command leads to; raises PermanentError if it fits no process of a target."""
    acts_on, leads_to = COMMANDS[command]
    changed: Conditions = {}
    for target in targets:
        if (leads_to in CUT or acts_on == CUT) and target not in HOSTS:
            raise PermanentError(f"{target[:60]!r} is no host, and only a host has a network: {', '.join(HOSTS)}")
        fitting = [process for process in processes(target) if present[process] in acts_on]
        if not fitting:
            state = present[processes(target)[0]]
            hint = f"; `{UNDO[state]}` undoes that" if state in UNDO else ""
            raise PermanentError(f"{target} is {state}, so it cannot be given `{command}`{hint}")
        changed |= dict.fromkeys(fitting, leads_to)
    return changed


def change(folder: Path, targets: Iterable[str], command: str) -> None:
    """Have the supervisor apply a command to hosts or processes, and wait until it has."""
    wanted = plan(read(folder, PRESENT), targets, command)
    write(folder, WANTED, read(folder, WANTED) | wanted)
    deadline = time.monotonic() + APPLIED_WITHIN_S
    while not wanted.items() <= read(folder, PRESENT).items():
        if time.monotonic() > deadline:
            raise TransientError(
                f"`{command}` was not applied within {APPLIED_WITHIN_S:.0f} s: is `vitalflow cluster up` running?"
            )
        time.sleep(POLL_S)
