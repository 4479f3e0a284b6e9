"""Send the messages of files, each until it is accepted or rejected."""

from collections.abc import Callable, Sequence
from pathlib import Path

from edges.hl7.client import Client, Receiver, Result
from edges.hl7.er7 import InvalidMessage, parse_header, split_batch
from edges.input_file import read_input
from vitals.errors import PermanentError


def read_messages(file: Path) -> list[bytes]:
    """Return the messages in a file; raises PermanentError if it cannot be read."""
    content = read_input(file)
    try:
        return split_batch(content)
    except InvalidMessage as error:
        raise PermanentError(f"{file}: {error}") from None


async def send_files(files: Sequence[Path], to: Receiver, emit: Callable[[str], None]) -> int:
    """Send the messages of all files in their order; return the number that the receiver rejects.

    All files are read before the first message is sent; raises PermanentError if one cannot be.
    """
    messages = [(file, message) for file in files for message in read_messages(file)]
    control_ids = []
    for file, message in messages:
        try:
            control_ids.append(parse_header(message).header.raw(10))
        except InvalidMessage as error:
            raise PermanentError(f"{file}: {error}") from None
    rejected = 0
    async with Client(to) as client:
        for (file, message), control_id in zip(messages, control_ids, strict=True):
            answer = await client.deliver(message)
            rejected += answer.result is Result.REJECT
            emit(f"{file}, control id {control_id!a}: {answer.code}{f', {answer.text}' if answer.text else ''}")
    return rejected
