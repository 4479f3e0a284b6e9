"""Drawing the ward: what is known -> something rich can print. Pure: it is told the time and the size of the terminal.

Nothing is told by colour alone: a value beyond its critical limit carries a `*`, one that is not from the last reading
stands in parentheses, every condition has its own word, and every alert its mark and its word (`vitals.alert_format`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stack.shell import ack_command, eval_line, hint_commands, short_hint_commands
from stack.watch import Figures
from vitals import alert_format
from vitals.alert import Alert, State
from vitals.alert_format import DISPLAY_UNITS, format_duration
from vitals.bed_snapshot import BedSnapshot, Condition, count_by_condition, sort_beds
from vitals.signs import SIGNS, Sign
from vitals.thresholds import VALUE_MAX_AGE

STYLES = {
    Condition.CRITICAL: "bold white on red",
    Condition.SILENT: "bold black on yellow",
    Condition.OFFLINE: "black on bright_black",
    Condition.SENSOR_OFF: "cyan",
    Condition.WAITING: "dim",
    Condition.NORMAL: "green",
}
NARROW = 98  # columns; with fewer, there is no place for patients and units
WIDE = 120  # columns; with fewer, the table stands closer
GAPS = (1, 3)  # blanks between two columns of a narrow and of a wide terminal
ROOMY = 30  # lines; with fewer, blank lines and long hints are left out
TINY = 16  # lines; with fewer, there are no hints
LEAST = 4  # lines that the alerts may have even where the beds want them


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to draw. `alerts` has the most urgent first."""

    beds: Sequence[BedSnapshot]
    alerts: Sequence[Alert]
    figures: Figures
    events: Sequence[str]
    now: datetime
    elapsed: float
    page: tuple[str, str] | None = None  # the address of the ward in a browser, and how to sign in there


def render(known: Known, width: int, height: int) -> RenderableType:
    """The whole screen, not higher than `height`."""
    beds, now = known.beds, known.now
    roomy = height >= ROOMY
    below: list[RenderableType] = [flow(known.figures, known.elapsed)]
    below += [Text(f"  {event}", "yellow", no_wrap=True, overflow="ellipsis") for event in known.events]
    to_do = next((alert for alert in known.alerts if alert.state is not State.ACKNOWLEDGED), None)
    hints = (
        [eval_line(), *hint_commands(), *ack_command(to_do)]
        if roomy
        else short_hint_commands()
        if height >= TINY
        else []
    )
    gap: list[RenderableType] = [Text()] if roomy else []
    if known.page:
        address, how = known.page
        in_a_browser = Text.assemble("in a browser: ", (address, "bold"))
        beside = cell_len(f"{in_a_browser.plain}  {how}") <= width
        below += [in_a_browser.append(f"  {how}")] if beside else [in_a_browser, Text(f"  {how}")]
    if roomy:
        below += [*gap, Text("Ctrl-C ends everything. To look closer, in another terminal, here:", "dim")]
    below += [Text(f"  {hint}" if roomy else hint, no_wrap=True, overflow="ellipsis") for hint in hints]
    # Besides what is below: the title, the headings of beds and alerts, and the gaps between them.
    spare = max(height - len(below) - 3 - 3 * len(gap), 0)
    listed = min(len(known.alerts), max(spare - max(len(beds), 1), min(LEAST, spare // 2)))
    return Group(
        title(beds, now),
        *gap,
        *ward(known, spare - listed, width),
        *gap,
        *alarms(known, listed, width),
        *gap,
        *below,
    )


def title(beds: Sequence[BedSnapshot], now: datetime) -> Text:
    """The name, and how many beds are in which condition."""
    line = Text.assemble(("VitalFlow", "bold"), f"  {len(beds)} beds", no_wrap=True, overflow="ellipsis")
    for condition, number in count_by_condition(beds, now).items():
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


def ward(known: Known, room: int, width: int) -> list[RenderableType]:
    """The beds as a table of at most `room` lines under its heading, and a line for those that did not fit."""
    beds, now = known.beds, known.now
    if not beds:
        return [Text("no device has been heard yet", "dim")]
    worst: dict[tuple[str, str], list[Alert]] = {}
    for alert in known.alerts:
        worst.setdefault((alert.ward, alert.device_id), []).append(alert)

    def of(seen: BedSnapshot) -> list[Alert]:
        return worst.get((seen.bed.ward, seen.bed.device), [])

    ordered = sort_beds(beds)
    shown = ordered
    if len(ordered) > room:
        # Those that are well make place for the others, and all keep their order.
        urgent = sorted(
            ordered, key=lambda seen: (-max((a.priority.rank for a in of(seen)), default=0), _rank(seen, now))
        )
        chosen = {seen.bed for seen in urgent[: max(room - 1, 0)]}
        shown = [seen for seen in ordered if seen.bed in chosen]
    narrow = width < NARROW
    many = len({seen.bed.ward for seen in beds}) > 1
    table = _table(width)
    if many:
        table.add_column("ward", no_wrap=True, max_width=12)
    table.add_column("bed", no_wrap=True, max_width=16)
    if not narrow:
        table.add_column("patient", no_wrap=True, max_width=12)
    for sign in SIGNS:
        heading = sign.short if narrow else f"{sign.short} {DISPLAY_UNITS.get(sign.unit, sign.unit)}"
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True, min_width=4)
    table.add_column("status", no_wrap=True, min_width=10)
    table.add_column("alert", no_wrap=True, min_width=11)
    for seen in shown:
        front = [seen.bed.ward, seen.name] if many else [seen.name]
        if not narrow:
            front.append((seen.last and seen.last.patient_id) or "-")
        age = seen.age(now)
        old = "-" if age is None else format_duration(age.total_seconds())
        values = (cell(seen, sign, now) for sign in SIGNS)
        table.add_row(*map(Text, front), *values, old, status(seen, now), worst_of(of(seen), known.figures.deaf))
    left = [seen for seen in ordered if seen not in shown]
    if not left:
        return [table]
    rest = ", ".join(f"{number} {condition}" for condition, number in count_by_condition(left, now).items())
    return [table, Text(f"and {len(left)} more: {rest}", "bold", no_wrap=True, overflow="ellipsis")]


def worst_of(alerts: Sequence[Alert], stale: bool) -> Text:
    """The most urgent alert of a bed, and how many more it has."""
    if not alerts:
        return Text()
    first = alerts[0]
    more = f" +{len(alerts) - 1}" if len(alerts) > 1 else ""
    return Text.assemble(
        (alert_format.badge(first.priority, first.kind), alert_format.badge_style(first, stale=stale)), more
    )


def alarms(known: Known, room: int, width: int) -> list[RenderableType]:
    """How many alerts there are of each priority, and the first `room` of them, a line each."""
    stale = known.figures.deaf
    heading = Text("alerts", "bold", no_wrap=True, overflow="ellipsis")
    for priority, number in alert_format.count_by_priority(known.alerts).items():
        style = alert_format.STALE if stale else f"bold {alert_format.COLOURS[priority]}"
        heading.append("  ").append(f"{alert_format.MARKS[priority]} {number} {priority}", style)
    if not known.alerts:
        heading.append("  none", "")
    elif room < len(known.alerts):
        heading.append(f"  the first {room} of {len(known.alerts)}" if room else "", "dim")
    if stale:
        heading.append("  perhaps out of date", "bold yellow")
    if not room:
        return [heading]
    many = len({alert.ward for alert in known.alerts}) > 1
    table = _table(width)
    table.show_header = False
    rows = []
    for alert in known.alerts[:room]:
        place = alert_format.bed_label(alert, many=many)
        badge = Text(alert_format.badge(alert.priority, alert.kind), alert_format.badge_style(alert, stale=stale))
        told = (
            place,
            alert_format.age(alert, known.now),
            alert_format.state_text(alert, known.now),
            alert_format.message_text(alert),
        )
        rows.append((badge, *map(Text, told)))
    # Where the terminal is narrow, the words are cut and nothing else.
    widths = [11, *(min(max(len(row[column]) for row in rows), 24) for column in (1, 2, 3))]
    widths.append(max(width - sum(widths) - GAPS[width >= WIDE] * len(widths), 1))
    for column, wide in enumerate(widths):
        justify: Literal["left", "right"] = "right" if column == 2 else "left"
        table.add_column(width=wide, no_wrap=True, overflow="ellipsis", justify=justify)
    for row in rows:
        table.add_row(*row, style=alert_format.STALE if stale else None)
    return [heading, table]


def _table(width: int) -> Table:
    return Table(
        box=None,
        padding=(0, GAPS[width >= WIDE], 0, 0),
        header_style="bold",
        collapse_padding=True,
        pad_edge=False,
    )


def _rank(seen: BedSnapshot, now: datetime) -> int:
    return list(Condition).index(seen.condition(now))


def cell(seen: BedSnapshot, sign: Sign, now: datetime) -> Text:
    """One value: as just measured, held since earlier, or why there is none."""
    last, held = seen.last, seen.last_values.get(sign.key)
    if last is not None and sign.key in last.sensor_off:
        return Text("off ", "cyan")
    if last is None or held is None or now - held.time > VALUE_MAX_AGE:
        return Text("- ", "dim")
    shown = f"{held.value:.{sign.decimals}f}"
    old = held.time < last.time or seen.condition(now) in (Condition.SILENT, Condition.OFFLINE)
    critical = beyond(sign, held.value)
    if critical:
        shown = f"*{shown}"
    if old:
        return Text(f"({shown})", "dim red" if critical else "dim")
    return Text(f"{shown} ", "bold red" if critical else "")  # the blank keeps digits below digits


def beyond(sign: Sign, value: float) -> bool:
    """Whether a value lies beyond the sign's critical limit."""
    above, below = sign.critical_above, sign.critical_below
    return (above is not None and value > above) or (below is not None and value < below)


def status(seen: BedSnapshot, now: datetime) -> Text:
    """The condition in its own colour, and that a bed which fell silent was critical before."""
    condition = seen.condition(now)
    text = Text(str(condition), STYLES[condition])
    if condition in (Condition.SILENT, Condition.OFFLINE) and seen.was_critical():
        text = Text.assemble(text, (" *", "bold red"))
    return text


def line(known: Known) -> str:
    """The same in one line, for where there is no terminal."""
    now, alerts = known.now, known.alerts
    told = f"alerts: {alert_format.counts_text(alerts)}"
    if alerts:
        first = alerts[0]
        bed = alert_format.bed_name(first.ward, first.device_id)
        badge, state = alert_format.badge(first.priority, first.kind), alert_format.state_text(first, now)
        told += f"; first {badge} {bed} {alert_format.message_text(first)} ({state})"
    if known.figures.deaf:
        told += "; perhaps out of date"
    ward = title(known.beds, now).plain
    return f"{now.astimezone():%H:%M:%S}  {ward}  |  {flow(known.figures, known.elapsed).plain}  |  {told}"
