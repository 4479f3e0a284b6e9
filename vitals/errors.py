"""The two families of expected errors: permanent and transient.

A retry after a PermanentError fails again; after a TransientError it may succeed, once something else has recovered.
Any other exception is a bug and keeps its traceback.
"""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from vitals.log import write_fatal


class VitalFlowError(Exception):
    """An expected failure. The message names the setting or file, its value and the fix."""


class PermanentError(VitalFlowError):
    """A retry cannot succeed: a wrong setting, a missing file, a value that the database rejects."""


class TransientError(VitalFlowError):
    """A retry may succeed later: an unreachable server, a lock, a full disk."""


def login_name(otherwise: str = "set the variable LOGNAME") -> str:
    """Return the login name of the current OS user; raises PermanentError, with `otherwise` to do, if it is unknown."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise PermanentError(f"the login name of this user is unknown; {otherwise}") from None


@contextmanager
def exit_on_error(program: str) -> Iterator[None]:
    """Turn an expected error into one line on standard error and exit code 2, Ctrl-C into exit code 130."""
    try:
        yield
    except VitalFlowError as error:
        write_fatal(program, str(error))
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
