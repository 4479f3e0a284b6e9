"""What was done to each host: `kill` and the other commands write it, and the supervisor applies it.

Two files in the cluster's folder: the condition that is wanted of each host, and the one that it has.
"""

import time
from enum import StrEnum
from pathlib import Path

import msgspec

from stack.cluster.plan import HOSTS
from vitals.errors import PermanentError, TransientError
from vitals.files import write_atomic

WANTED, PRESENT = "wanted.json", "present.json"
APPLIED_WITHIN_S = 60.0
POLL_S = 0.1


class Condition(StrEnum):
    """The condition of a host: `killed` has no process, `frozen` has all and none of them runs."""

    RUNNING = "running"
    KILLED = "killed"
    FROZEN = "frozen"


Conditions = dict[str, Condition]


def read(folder: Path, name: str) -> Conditions:
    """Return the conditions in a file; every host runs if there is none."""
    try:
        known = msgspec.json.decode((folder / name).read_bytes(), type=dict[str, Condition])
    except FileNotFoundError:
        known = {}
    except msgspec.DecodeError as error:
        raise PermanentError(f"{folder / name} cannot be read: {error}; delete it") from None
    return {host: known.get(host, Condition.RUNNING) for host in HOSTS}


def write(folder: Path, name: str, conditions: Conditions) -> None:
    """Replace the conditions in a file."""
    write_atomic(folder / name, msgspec.json.encode(conditions))


def check(host: str, present: Condition, command: str) -> Condition:
    """Return the condition that a command leads to; raises PermanentError if it cannot be applied."""
    required, leads_to = {
        "kill": ({Condition.RUNNING, Condition.FROZEN}, Condition.KILLED),
        "freeze": ({Condition.RUNNING}, Condition.FROZEN),
        "thaw": ({Condition.FROZEN}, Condition.RUNNING),
        "start": ({Condition.KILLED}, Condition.RUNNING),
    }[command]
    if present not in required:
        hint = {Condition.KILLED: "; `start` starts it", Condition.FROZEN: "; `thaw` resumes it"}.get(present, "")
        raise PermanentError(f"{host} is {present}, so it cannot be given `{command}`{hint}")
    return leads_to


def change(folder: Path, host: str, command: str) -> None:
    """Have the supervisor apply a command to a host, and wait until it has."""
    if host not in HOSTS:
        raise PermanentError(f"{host!r} is not a host of the cluster; expected one of {', '.join(HOSTS)}")
    wanted = check(host, read(folder, PRESENT)[host], command)
    write(folder, WANTED, read(folder, WANTED) | {host: wanted})
    deadline = time.monotonic() + APPLIED_WITHIN_S
    while read(folder, PRESENT)[host] is not wanted:
        if time.monotonic() > deadline:
            raise TransientError(
                f"{host} is not {wanted} after {APPLIED_WITHIN_S:.0f} s: is `vitalflow cluster up` running?"
            )
        time.sleep(POLL_S)
