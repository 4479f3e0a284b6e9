"""The two families of errors, sorted by what to do next.

A caller that catches `PermanentError` and `TransientError` has caught everything this project raises on purpose:
the first will fail again however often it is tried, the second will not, once something else has
recovered. Everything else is a bug and keeps its traceback.
"""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class VitalFlowError(Exception):
    """A failure we know. Its text is one sentence for a person: the thing, its value, what to do."""


class PermanentError(VitalFlowError):
    """It cannot work as asked: a wrong setting, a missing file, a value the database refuses."""


class TransientError(VitalFlowError):
    """It may work later: a server that is away, a lock, a full disk."""


def login_name(otherwise: str = "set the variable LOGNAME") -> str:
    """Who sits at this terminal; raises PermanentError, with what to do `otherwise`, where the system does not know."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise PermanentError(f"the system does not know your name; {otherwise}") from None


@contextmanager
def exit_on_error(program: str) -> Iterator[None]:
    """End a command line with exit code 2 and one sentence where a known error comes up.

    Ctrl-C ends it with 130, as a shell expects, and without a traceback.
    """
    try:
        yield
    except VitalFlowError as error:
        sys.stderr.write(f"{program}: {error}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
