"""Drawing the ward: what is known -> something rich can print. Pure: it is told the time and the size of the terminal.

Nothing is told by colour alone: a critical value carries a `!`, one that is not from the last reading stands in
parentheses, and every condition has its own word.
"""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stack.report import span
from stack.shell import closer, looks, short_looks
from stack.ward import HELD_FOR, Condition, Seen, counts, in_order
from stack.watch import Figures
from vitals.signs import SIGNS, Sign

STYLES = {
    Condition.CRITICAL: "bold white on red",
    Condition.SILENT: "bold black on yellow",
    Condition.OFFLINE: "black on bright_black",
    Condition.SENSOR_OFF: "yellow",
    Condition.WAITING: "dim",
    Condition.NORMAL: "green",
}
# UCUM is for machines; a ward says it like this.
SPOKEN = {"Cel": "°C", "mm[Hg]": "mmHg"}
WIDE = 100  # columns; with fewer, the table stands closer
ROOMY = 30  # lines; with fewer, blank lines and long hints are left out


def render(
    beds: Sequence[Seen],
    figures: Figures,
    events: Sequence[str],
    now: datetime,
    elapsed: float,
    width: int,
    height: int,
) -> RenderableType:
    """The whole screen, not higher than `height`."""
    roomy = height >= ROOMY
    above: list[RenderableType] = [title(beds, now)]
    below: list[RenderableType] = [flow(figures, elapsed)]
    below += [Text(f"  {event}", "yellow", no_wrap=True, overflow="ellipsis") for event in events]
    hints = [closer(), *looks()] if roomy else short_looks()
    gap: list[RenderableType] = [Text()] if roomy else []
    if roomy:
        below += [*gap, Text("Ctrl-C ends everything. To look closer, in another terminal, here:", "dim")]
    below += [Text(f"  {hint}" if roomy else hint, "cyan", no_wrap=True) for hint in hints]
    spare = height - len(above) - len(below) - 1 - 2 * len(gap)
    return Group(*above, *gap, *ward(beds, now, spare, width), *gap, *below)


def title(beds: Sequence[Seen], now: datetime) -> Text:
    """The name, and how many beds are in which condition."""
    line = Text.assemble(("VitalFlow", "bold"), f"  {len(beds)} beds", no_wrap=True, overflow="ellipsis")
    for condition, number in counts(beds, now).items():
        line.append("  ").append(f"{number} {condition}", STYLES[condition])
    return line


def flow(figures: Figures, elapsed: float) -> Text:
    """The readings on their way."""
    rate = "-" if figures.rate is None else f"{figures.rate:,.1f}"
    lag = "-" if figures.lag_p95 is None else f"{figures.lag_p95 * 1000:,.0f} ms"
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{rate} readings/s", "bold").append(f"  stored {figures.stored:,}")
    line.append(f"  rejected {figures.rejected:,}", "yellow" if figures.rejected else "")
    line.append(f"  lag p95 {lag}  {elapsed // 60:.0f}:{elapsed % 60:02.0f}")
    for sentence in figures.away:
        line.append("  ").append(sentence.upper(), "bold yellow")
    return line


def ward(beds: Sequence[Seen], now: datetime, room: int, width: int) -> list[RenderableType]:
    """The beds as a table of at most `room` lines under its heading, and a line for those that did not fit."""
    if not beds:
        return [Text("no device has been heard yet", "dim")]
    ordered = in_order(beds)
    shown = ordered if len(ordered) <= room else ordered[: max(room - 1, 0)]
    many = len({seen.bed.ward for seen in beds}) > 1
    table = Table(
        box=None,
        padding=(0, 1 if width < WIDE else 3, 0, 0),
        header_style="bold",
        collapse_padding=True,
        pad_edge=False,
    )
    if many:
        table.add_column("ward", no_wrap=True, max_width=12)
    table.add_column("bed", no_wrap=True, max_width=16)
    table.add_column("patient", no_wrap=True, max_width=12)
    for sign in SIGNS:
        table.add_column(f"{sign.short} {SPOKEN.get(sign.unit, sign.unit)}", justify="right", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True, min_width=4)
    table.add_column("status", no_wrap=True, min_width=10)
    for seen in shown:
        front = [seen.bed.ward, seen.name] if many else [seen.name]
        patient = seen.last.patient_id if seen.last else None
        age = seen.age(now)
        old = "-" if age is None else span(age.total_seconds())
        table.add_row(*front, patient or "-", *(cell(seen, sign, now) for sign in SIGNS), old, status(seen, now))
    left = ordered[len(shown) :]
    if not left:
        return [table]
    rest = ", ".join(f"{number} {condition}" for condition, number in counts(left, now).items())
    return [table, Text(f"and {len(left)} more: {rest}", "bold", no_wrap=True, overflow="ellipsis")]


def cell(seen: Seen, sign: Sign, now: datetime) -> Text:
    """One value: as just measured, held since earlier, or why there is none."""
    last, held = seen.last, seen.held.get(sign.key)
    if last is not None and sign.key in last.sensor_off:
        return Text("off ", "yellow")
    if last is None or held is None or now - held.time > HELD_FOR:
        return Text("- ", "dim")
    shown = f"{held.value:.{sign.decimals}f}"
    old = held.time < last.time or seen.condition(now) in (Condition.SILENT, Condition.OFFLINE)
    critical = beyond(sign, held.value)
    if critical:
        shown = f"!{shown}"
    if old:
        return Text(f"({shown})", "dim red" if critical else "dim")
    return Text(f"{shown} ", "bold red" if critical else "")  # the blank keeps digits below digits


def beyond(sign: Sign, value: float) -> bool:
    """Whether a value lies beyond the sign's critical limit."""
    above, below = sign.critical_above, sign.critical_below
    return (above is not None and value > above) or (below is not None and value < below)


def status(seen: Seen, now: datetime) -> Text:
    """The condition in its own colour, and that a bed which fell silent was critical before."""
    condition = seen.condition(now)
    text = Text(str(condition), STYLES[condition])
    if condition in (Condition.SILENT, Condition.OFFLINE) and seen.was_critical():
        text = Text.assemble(text, (" !", "bold red"))
    return text


def line(beds: Sequence[Seen], figures: Figures, now: datetime, elapsed: float) -> str:
    """The same in one line, for where there is no terminal."""
    return f"{now.astimezone():%H:%M:%S}  {title(beds, now).plain}  |  {flow(figures, elapsed).plain}"
