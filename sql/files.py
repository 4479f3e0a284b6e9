"""Read the .sql files of this folder. Their text is a constant of the project, hence LiteralString."""

import re
from pathlib import Path
from typing import LiteralString

FOLDER = Path(__file__).parent
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
# A quoted string or function body, which is kept, or a comment or white space, which is not.
_TOKEN = re.compile(r"""('(?:[^']|'')*'|"[^"]*"|\$(\w*)\$.*?\$\2\$)|(?:--[^\n]*|/\*.*?\*/|\s)+""", re.DOTALL)


def numbered(folder: str) -> list[Path]:
    """Return the numbered .sql files of a subfolder, in order."""
    return sorted((FOLDER / folder).glob("[0-9]*.sql"))


def text(path: Path) -> LiteralString:
    """Return a file as one query; it may hold several statements if it takes no parameters."""
    return path.read_text(encoding="utf-8")


def named(file: str) -> dict[str, LiteralString]:
    """Return the statements of a file by the name in the `-- name: x` line above each."""
    parts = _NAME.split((FOLDER / file).read_text(encoding="utf-8"))
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def statements(sql: str) -> str:
    """Return SQL without comments and with single spaces: equal for two texts that do the same."""
    return _TOKEN.sub(lambda found: found[1] or " ", sql).strip()
