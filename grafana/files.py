"""The dashboards on disk, read and written. First hop of `check`; knows nothing of what is in them."""

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
    """Every dashboard by its file, in the order of their names; raises PermanentError where one cannot be read."""
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
        raise PermanentError(f"{path} is no JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(read, dict) or not isinstance(read.get("panels"), list):
        raise PermanentError(f"{path} is no dashboard in classic JSON: expected an object with a list of panels")
    return read


def text_of(dashboard: Mapping[str, Any]) -> str:
    """A dashboard as it stands on disk: keys in order, two blanks, a new line at the end."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
