"""Read and write dashboards on disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitals.errors import PermanentError

FOLDER = Path(__file__).parent
DASHBOARDS = FOLDER / "dashboards"
PROVISIONING = FOLDER / "provisioning"

Json = dict[str, Any]


def read_dashboards(folder: Path = DASHBOARDS) -> dict[Path, Json]:
    """Return every dashboard by its file, sorted by name; raises PermanentError if one cannot be read."""
    found = {path: _read(path) for path in sorted(folder.glob("*.json"))}
    if not found:
        raise PermanentError(f"there is no dashboard in {folder}")
    return found


def _read(path: Path) -> Json:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except json.JSONDecodeError as error:
        raise PermanentError(
            f"{path} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    if not isinstance(read, dict) or not isinstance(read.get("panels"), list):
        raise PermanentError(f"{path} is not a dashboard in classic JSON: expected an object with a list of panels")
    return read


def text_of(dashboard: Mapping[str, Any]) -> str:
    """Return the text of a dashboard file: sorted keys, indented by two spaces, with a final newline."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
