"""Read a file that is named on the command line, such as that of `try`."""

from pathlib import Path

from vitals.errors import PermanentError

MAX_FILE = 64 * 1024 * 1024  # bytes


def read_input(file: Path) -> bytes:
    """Return the content of a file; raises PermanentError if it cannot be read or has more than MAX_FILE bytes."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise PermanentError(f"{file}: {error.strerror}") from None
    if len(content) > MAX_FILE:
        raise PermanentError(f"{file} has more than {MAX_FILE} bytes")
    return content
