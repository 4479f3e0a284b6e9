"""The icon of a browser tab with the number of open alerts, in the colour of the highest priority. Pure."""

from pathlib import Path
from typing import Literal

ICON = (Path(__file__).parent / "static/icon.svg").read_text()
COLOURS = {"high": ("#c9151e", "#ffffff"), "medium": ("#ffd23f", "#191400"), "low": ("#3fd3ee", "#00171c")}
MAX_COUNT = 99


def tab_icon(count: int, priority: Literal["high", "medium", "low"]) -> str:
    """Return the SVG image."""
    fill, ink = COLOURS[priority]
    text = str(count) if count <= MAX_COUNT else f"{MAX_COUNT}+"
    badge = (
        f'<rect x="6" y="10" width="26" height="22" rx="6" fill="{fill}"/>'
        f'<text x="19" y="27" fill="{ink}" font-family="sans-serif" font-weight="700" '
        f'font-size="{18 if len(text) < 3 else 13}" text-anchor="middle">{text}</text>'
    )
    return ICON.replace("</svg>", f"{badge}</svg>")
