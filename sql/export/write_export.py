"""Write an export: a new folder with the readings and their data dictionary, complete or not at all."""

import csv
import fcntl
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path

import psycopg

from sql.connection import Connection, describe_connect_error
from sql.dictionary import Entry
from sql.export.deidentify import Pseudonyms
from sql.export.formats import Format, writer_of
from sql.export.readings import Content, Selection, devices, entries, notes, rows, span, spans_without_identity
from vitals.errors import PermanentError, TransientError

ROWS_AT_ONCE = 100_000  # lines in memory, and the rows of a row group of Parquet
MAX_PENDING = 1  # blocks that wait while another one is written
CONNECT_S = 10

Progress = Callable[[int, int, int], None]  # beds done, beds, readings
Note = Callable[[str], None]


def write_export(
    url: str,
    selection: Selection,
    content: Content,
    format: Format,
    folder: Path,
    pseudonyms: Pseudonyms | None,
    progress: Progress,
    note: Note,
) -> int:
    """Write the selected rows into a new folder and return their number.

    pseudonyms  replace identities; None: they are kept
    progress    is called after each block of rows
    note        is called with each sentence about readings that the export cannot have

    Raises PermanentError if there is no such reading, and TransientError if database or disk fail. The folder then does
    not exist.
    """
    try:
        with _new_folder(folder) as partial:
            with _snapshot(url) as database:
                for sentence in notes(database, selection, content):
                    note(sentence)
                count = _write_rows(database, selection, content, format, partial, pseudonyms, progress, note)
            if not count:
                raise PermanentError(
                    f"no reading{selection} from {selection.start.isoformat()} to {selection.end.isoformat()};"
                    " nothing is written"
                )
            _write_dictionary(partial, entries(content, deidentified=pseudonyms is not None))
    except psycopg.errors.QueryCanceled as error:
        message = " ".join(str(error).split())
        if "statement timeout" in message:
            message += "; VITALFLOW_RESEARCH_URL is the login for long queries"
        raise PermanentError(f"the export failed, nothing is written: {message}") from None
    except psycopg.OperationalError as error:
        raise TransientError(f"the export failed, nothing is written: {describe_connect_error(error, url)}") from None
    except psycopg.Error as error:
        message = " ".join(str(error).split())
        raise PermanentError(f"the export failed, nothing is written: {message}") from None
    except OSError as error:
        named = f"{error.filename or folder}: {error.strerror or error}"
        raise TransientError(f"the export failed, nothing is written: {named}") from None
    return count


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Give a hidden folder beside `folder`, which is renamed at the end. Of a killed export it is used again, empty."""
    if os.path.lexists(folder):
        raise PermanentError(f"{folder} exists; give a folder that does not")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(exist_ok=True, mode=0o700)
    handle = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermanentError(f"another export writes {folder}") from None
        for left in partial.iterdir():
            left.unlink()
        try:
            yield partial
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        os.close(handle)


@contextmanager
def _snapshot(url: str) -> Iterator[Connection]:
    """Connect, with one state of the database for all queries, and times in UTC."""
    with psycopg.connect(url, connect_timeout=CONNECT_S, options="-c TimeZone=UTC -c DateStyle=ISO") as database:
        database.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        database.read_only = True
        yield database


def _write_rows(
    database: Connection,
    selection: Selection,
    content: Content,
    format: Format,
    folder: Path,
    pseudonyms: Pseudonyms | None,
    progress: Progress,
    note: Note,
) -> int:
    found = devices(database, selection, content)
    if pseudonyms is not None:
        found.sort(key=pseudonyms.device)
    count = 0
    writer = writer_of(format, folder, content.names(deidentified=pseudonyms is not None))
    pending: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as executor:
        for done, device in enumerate(found):
            for block in _blocks(database, selection, content, device, pseudonyms):
                pending.append(executor.submit(writer.write, block))
                while len(pending) > MAX_PENDING:
                    pending.popleft().result()
                count += len(block)
                progress(done, len(found), count)
        while pending:
            pending.popleft().result()
    for sentence in writer.close():
        note(sentence)
    return count


def _blocks(
    database: Connection, selection: Selection, content: Content, device: str, pseudonyms: Pseudonyms | None
) -> Iterator[list[bytes]]:
    """Yield the lines of a bed. Another thread writes a block while the database sends the next one."""
    if pseudonyms is None:
        whole = span(database, selection, content, device)
        spans = [] if whole is None else [whole]
    else:
        spans = spans_without_identity(database, selection, content, device, pseudonyms)
    lines = (line for of in spans for line in rows(database, selection, content, of))
    while block := list(islice(lines, ROWS_AT_ONCE)):
        yield block


def _write_dictionary(folder: Path, found: list[Entry]) -> None:
    described = [asdict(entry) for entry in found]
    with (folder / "dictionary.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Entry)], lineterminator="\n")
        table.writeheader()
        table.writerows(described)
    (folder / "dictionary.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
