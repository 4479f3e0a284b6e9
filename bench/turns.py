"""What one thing costs a drain: the drain of `drain` without it and with it, turn by turn, so that the machine's other
work meets both alike.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

from bench.drain import Drained, Say, Way, drain
from bench.ground import Ground


@dataclass(frozen=True)
class Turns:
    """The figures of one run; rates in messages a second, medians of the rounds. `ratio`: with over without; `ratios`
    are all of them.
    """

    what: str
    without_per_s: int
    with_per_s: int
    ratio: float
    ratios: list[float]
    without_cpu_us_per_message: float
    with_cpu_us_per_message: float
    with_beside_mosquitto_sub: float
    machine: dict[str, str]

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return asdict(self)


def in_turn(what: str, without: Callable[[], Drained], with_it: Callable[[], Drained], rounds: int, say: Say) -> Turns:
    """Drain both ways, `rounds` times; who begins changes, for the second finds a table that has grown."""
    pairs: list[tuple[Drained, Drained]] = []
    for number in range(rounds):
        say(f"{number + 1} of {rounds}, without and with {what}")
        if number % 2:
            after = with_it()
            pairs.append((without(), after))
        else:
            before = without()
            pairs.append((before, with_it()))
    ratios = [ours.ingest_per_s / plain.ingest_per_s for plain, ours in pairs]
    return Turns(
        what=what,
        without_per_s=round(median(plain.ingest_per_s for plain, _ in pairs)),
        with_per_s=round(median(ours.ingest_per_s for _, ours in pairs)),
        ratio=round(median(ratios), 3),
        ratios=[round(ratio, 3) for ratio in ratios],
        without_cpu_us_per_message=median(plain.ingest_cpu_us_per_message for plain, _ in pairs),
        with_cpu_us_per_message=median(ours.ingest_cpu_us_per_message for _, ours in pairs),
        with_beside_mosquitto_sub=median(ours.ratio for _, ours in pairs),
        machine=pairs[0][0].machine,
    )


def receipts(ground: Ground, messages: int, rounds: int, say: Say) -> Turns:
    """What it costs to tell the devices what is stored, `rounds` times in turn."""
    way = Way.open_to_all(ground)
    return in_turn(
        "receipts",
        lambda: drain(ground, messages, 1, say, way.without_receipts()),
        lambda: drain(ground, messages, 1, say, way),
        rounds,
        say,
    )


def told(turns: Turns) -> str:
    """The figures for people."""
    return "\n".join(
        [
            f"without  {turns.without_per_s:>8} messages/s  {turns.without_cpu_us_per_message} us of processor each",
            f"with     {turns.with_per_s:>8} messages/s  {turns.with_cpu_us_per_message} us  ({turns.what})",
            f"ratio    {turns.ratio:>8.2f}             each {', '.join(f'{ratio:.2f}' for ratio in turns.ratios)}",
            f"beside mosquitto_sub, with: {turns.with_beside_mosquitto_sub:.2f}",
            ", ".join(turns.machine.values()),
        ]
    )
