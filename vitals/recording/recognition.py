"""Find the line of names of a file and the format that it determines."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from vitals.errors import PermanentError
from vitals.recording.cells import NUMBER
from vitals.recording.layouts import (
    CHALLENGE_MARKS,
    CHALLENGE_NAMES,
    KNOWN_FORMATS,
    LAYOUTS,
    NEEDS_BESIDE,
    OTHER_MEANINGS,
    Format,
    Layout,
    known_names,
)
from vitals.recording.names import plain, seconds_in, split_unit
from vitals.recording.text_file import CODE_PAGES, TextFile

_MAX_LINES_BEFORE_NAMES = 30
_SEPARATORS = "|;\t,"
_COMMENT = "#"


@dataclass(frozen=True, slots=True)
class Header:
    """The line of names.

    line     its number in the file
    names    as in the file
    columns  plain name and text of the unit of each
    reason   why the file has this format, as the end of a sentence
    """

    layout: Layout
    line: int
    separator: str
    names: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    reason: str


def find_header(file: TextFile, wanted: Format | None) -> Header:
    """Return the first line that has the columns of a format; raises PermanentError if there is none.

    Of the code pages of Windows, the file gets the one in which most names are known.
    """
    found: dict[str, Header | str] = {}
    problems: list[PermanentError] = []
    for encoding in CODE_PAGES if file.encoding in CODE_PAGES else (file.encoding,):
        file.encoding = encoding
        try:
            found[encoding] = _find_header(file, wanted)
        except PermanentError as error:  # no text of this encoding, or a file that cannot be read at all
            problems.append(error)
    if not found:
        raise problems[0]
    file.encoding = max(found, key=lambda encoding: _known(found[encoding]))
    header = found[file.encoding]
    if isinstance(header, str):
        raise PermanentError(f"{file.path} {_mismatch(header, wanted)}")
    return header


def _known(header: Header | str) -> int:
    """Return how many names of a header are known."""
    if isinstance(header, str):
        return 0
    known = known_names(header.layout)
    return sum(column in known for column, _ in header.columns)


def _find_header(file: TextFile, wanted: Format | None) -> Header | str:
    """Return the first line that has the columns of a format; if there is none, the first line."""
    first = ""
    with file.text() as text:
        lines = enumerate(islice(text, _MAX_LINES_BEFORE_NAMES), 1)
        for number, line in lines:
            while line.count('"') % 2 and (next_line := next(lines, None)):  # a name with a line break
                number, line = next_line[0], line + next_line[1]
            content = line.strip()
            if content.startswith(_COMMENT):
                first = first or content
                content = content.lstrip(_COMMENT).strip()  # numpy.savetxt writes the names as a comment
            elif content:
                first = content if not first or first.startswith(_COMMENT) else first
            if content and (header := _recognize(content, number, wanted)):
                return header
    return first


def _recognize(line: str, number: int, wanted: Format | None) -> Header | None:
    for separator in [mark for mark in _SEPARATORS if mark in line] or [","]:
        names = split_line(line, separator)
        while len(names) > 1 and not names[-1]:
            names.pop()  # of a separator at the end; a value below it is one too many
        for format in Format if wanted is None else (wanted,):
            layout = LAYOUTS[format]
            columns = _columns(layout, names)
            if reason := _reason(layout, names, columns, separator, wanted):
                return Header(layout, number, separator, tuple(names), columns, reason)
    return None


def _columns(layout: Layout, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return plain name and unit of each column, both empty where other columns show another meaning of the name."""
    known = known_names(layout)
    columns = [split_unit(name, known) for name in names]
    if layout.format is Format.CSV:
        present = {plain(name) for name in names}
        excluded = {name for shown_by, others in OTHER_MEANINGS if shown_by & present for name in others}
        excluded |= {name for name, beside in NEEDS_BESIDE.items() if not beside & {column for column, _ in columns}}
        columns = [("", "") if column in excluded else (column, unit) for column, unit in columns]
    return tuple(columns)


def split_line(line: str, separator: str) -> list[str]:
    """Return the cells of the line of names, with one blank for each line break or blanks."""
    try:
        return [" ".join(cell.split()) for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []


def _reason(
    layout: Layout,
    names: Sequence[str],
    columns: Sequence[tuple[str, str]],
    separator: str,
    wanted: Format | None,
) -> str | None:
    """Return why the columns are those of the format, or None."""
    plains = {name for name, _ in columns}
    found = {name for name, (column, _) in zip(names, columns, strict=True) if column in known_names(layout)}
    signs = [name for name, (column, _) in zip(names, columns, strict=True) if column in _sign_names(layout)]
    match layout.format:
        case Format.WFDB:
            fits = False  # not by a line of names
        case Format.VSCAPTUREMP | Format.VITALDB:
            fits = "time" in plains and bool(signs)
        case Format.CHALLENGE:
            by_names = separator == "|" and plains >= CHALLENGE_NAMES
            has_mark = by_names or bool(plains & CHALLENGE_MARKS) or wanted is not None
            fits = (
                has_mark
                and _has(layout, columns)
                and (wanted is not None or not has_time(LAYOUTS[Format.CSV], columns))
            )
        case Format.CSV:
            fits = has_time(layout, columns) and bool(signs)
        case _:
            fits = _has(layout, columns)
    if not fits:
        return None
    shown = list(layout.identified_by) or [name for name in names if name in found]
    if layout.format is Format.CHALLENGE:
        shown += [name for name, (column, _) in zip(names, columns, strict=True) if column in CHALLENGE_MARKS]
    return f"has the columns {', '.join(shown[:8])}" + (" between |" if separator == "|" else "")


def _has(layout: Layout, columns: Sequence[tuple[str, str]]) -> bool:
    wanted = (split_unit(name, known_names(layout)) for name in layout.identified_by)
    return all(
        any(column == name and (not unit or seconds_in(text) == seconds_in(unit)) for column, text in columns)
        for name, unit in wanted
    )


def has_time(layout: Layout, columns: Sequence[tuple[str, str]]) -> bool:
    """Return whether one of the columns may hold times."""
    names = {plain(name) for name in (*layout.instants, *layout.elapsed)}
    return any(column in names for column, _ in columns)


def _sign_names(layout: Layout) -> frozenset[str]:
    pairs = (plain(name) for names in layout.pairs for name in names)
    return frozenset(pairs).union(*(column.names() for column in layout.signs.values()))


def _mismatch(first: str, wanted: Format | None) -> str:
    if not first:
        return f"is empty; expected a line of column names: {KNOWN_FORMATS}"
    separator = next((mark for mark in _SEPARATORS if mark in first), ",")
    names = split_line(first, separator)
    shown = ", ".join(names)[:200]
    if any(NUMBER.match(name) for name in names):
        return (
            f"has no line of column names: its first line holds the values {shown!r}; expected names above them, such "
            "as time,heart_rate,spo2"
        )
    layout = LAYOUTS[Format.CSV]
    columns = _columns(layout, names)
    signs = [name for name, (column, _) in zip(names, columns, strict=True) if column in _sign_names(layout)]
    if signs and wanted is None:
        return (
            f"has no column of times: its first line names the columns {shown!r}; expected one named time, elapsed_s "
            f"or seconds beside {', '.join(signs)}; or --format challenge for a row every hour"
        )
    mismatch = "in no supported format" if wanted is None else f"not in the format {wanted}"
    return f"is {mismatch}: its first line names the columns {shown!r}; expected one of {KNOWN_FORMATS}"


def rows_below(file: TextFile, header: Header) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and cells of the rows below the names, without blank lines."""
    number = header.line
    try:
        with file.text() as text:
            for _ in islice(text, header.line):
                pass
            lines = csv.reader(text, delimiter=header.separator, strict=True)
            for cells in lines:
                if cells:
                    number = header.line + lines.line_num
                    yield number, cells
    except csv.Error as error:
        raise PermanentError(f"{file.path}, below line {number}, is not CSV: {error}; expected cells") from None
