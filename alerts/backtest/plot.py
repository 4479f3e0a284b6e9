"""The curve of alarms against delay, as a PNG. Drawn with Pillow, which is one package; a plotting library is a dozen.

Loaded only for `backtest --plot`. The axes begin at 0, because a share removed is what the curve is looked at for.
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vitals.errors import PermanentError

WIDTH, HEIGHT = 1200, 700
LEFT, TOP, RIGHT, BOTTOM = 110, 90, 40, 90  # margins
INK, PALE = "#222222", "#dddddd"
# Apart for all kinds of colour vision (Okabe and Ito, 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
TEXT, TITLE = 20, 26

Curve = tuple[str, Sequence[float]]


def draw(curves: Sequence[Curve], file: Path) -> None:
    """Draw each curve: its name, and a value for each second of delay from 0 on.

    Raises PermanentError if the file cannot be written.
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    seconds = max(len(values) for _, values in curves) - 1
    top = step_of(max(max(values) for _, values in curves))
    ceiling = top * 5

    def point(second: float, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * second / max(seconds, 1)
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / ceiling

    text, title = ImageFont.load_default(TEXT), ImageFont.load_default(TITLE)
    pen.text((LEFT, 20), "Alarms of patients a bed a day, by delay", INK, title)
    for mark in range(6):
        _, y = point(0, mark * top)
        pen.line([(LEFT, y), (WIDTH - RIGHT, y)], PALE if mark else INK)
        pen.text((LEFT - 12, y), f"{mark * top:g}", INK, text, anchor="rm")
    for second in range(0, seconds + 1, 5):
        x, y = point(second, 0)
        pen.line([(x, y), (x, y + 8)], INK)
        pen.text((x, y + 14), f"{second} s", INK, text, anchor="mt")
    pen.text((WIDTH - RIGHT, HEIGHT - 20), "delay (levels without delay keep none)", INK, text, anchor="rb")
    for number, (name, values) in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        pen.line([point(second, value) for second, value in enumerate(values)], colour, 4, joint="curve")
        y = TOP + number * (TEXT + 10)
        pen.rectangle([(WIDTH - RIGHT - 370, y - 14), (WIDTH - RIGHT, y + 14)], "white")
        pen.line([(WIDTH - RIGHT - 360, y), (WIDTH - RIGHT - 320, y)], colour, 6)
        pen.text((WIDTH - RIGHT - 310, y), name[-32:], INK, text, anchor="lm")
    try:
        image.save(file, "PNG")
    except OSError as error:
        raise PermanentError(f"{file} cannot be written: {error.strerror}") from None


def step_of(largest: float) -> float:
    """A fifth of the axis: 1, 2 or 5 times a power of ten, so that five of them reach beyond the largest value."""
    step = 1e-3
    while True:
        for factor in (1, 2, 5):
            if step * factor * 5 >= largest:
                return step * factor
        step *= 10
