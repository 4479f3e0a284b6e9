"""Reading this folder's .sql files. The SQL is ours and constant, which is why it may be called a literal."""

import re
from pathlib import Path
from typing import LiteralString

FOLDER = Path(__file__).parent
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def numbered(folder: str) -> list[Path]:
    """The .sql files of a folder below this one, in the order of their numbers."""
    return sorted((FOLDER / folder).glob("[0-9]*.sql"))


def text(path: Path) -> LiteralString:
    """A file as one query; several statements are fine where it takes no parameters."""
    return path.read_text(encoding="utf-8")


def named(file: str) -> dict[str, LiteralString]:
    """The statements of a file, by the name in the `-- name: x` line above each."""
    parts = _NAME.split((FOLDER / file).read_text(encoding="utf-8"))
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
