"""Find the readings of what was found in a document: by account and patient, each at the place of its account. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edges.config.code_tables import CodeTable
from edges.config.places import Location, PlacedReading, UnclearPlace, UnknownPlace, find_place
from edges.config.site import Site
from edges.observations.observed import Observation, Reason, Verdict, decide

Account = tuple[str, ...]
_KEPT = (Reason.USED, Reason.OTHER_SOURCE)


@dataclass(frozen=True, slots=True)
class Found:
    """An observation, and whose it is.

    accounts   the names of the person or device at the sender, the first one to show; empty: the sender has only one
    patient    the patient's id, if the document states it
    """

    observation: Observation
    accounts: Account = ()
    patient: str | None = None


@dataclass(frozen=True, slots=True)
class AccountPlace:
    """The ward and device of an account; or else the location, if a later site may name it, and why there is none."""

    ward: str | None = None
    device: str | None = None
    problem: str = ""
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a document or a message.

    by_receipt   whether a reading has the time of receipt: the same document again is another measurement
    """

    readings: Sequence[PlacedReading]
    verdicts: Sequence[Verdict]
    by_receipt: bool

    @property
    def counts(self) -> dict[str, int]:
        """Number of observations by reason."""
        return dict(sorted(Counter(verdict.reason.value for verdict in self.verdicts).items()))


def decide_found(
    found: Iterable[Found], table: CodeTable, place_of: Callable[[Account], AccountPlace]
) -> tuple[list[PlacedReading], list[Verdict]]:
    """Return the readings, and the verdict on each observation in the order of their segments."""
    groups: defaultdict[tuple[Account, str | None], list[Observation]] = defaultdict(list)
    for one in found:
        groups[one.accounts, one.patient].append(one.observation)
    readings: list[PlacedReading] = []
    verdicts: list[Verdict] = []
    for (accounts, patient), observations in groups.items():
        values, decided = decide(observations, table, patient)
        place = place_of(accounts)
        readings += [
            PlacedReading(reading, place.ward, place.device, place.problem, place.location) for reading in values
        ]
        if place.device is None:
            decided = [verdict.without_place(place.problem, _KEPT) for verdict in decided]
        verdicts += decided
    return readings, sorted(verdicts, key=lambda verdict: verdict.observation.segment)


def find_account(site: Site, sender: str, accounts: Sequence[str]) -> AccountPlace:
    """Return the place whose `equipment` is one of the accounts, or whose `source` is the sender."""
    location = Location(equipment=frozenset(accounts), source=sender)
    shown = f"the account {accounts[0][:60]!a}" if accounts else "no account"
    try:
        place = find_place(site, location)
    except UnclearPlace:
        return AccountPlace(problem=f"several places of the site fit {shown} of {sender}")
    except UnknownPlace:
        return AccountPlace(problem=f"no place of the site fits {shown} of {sender}", location=location)
    return AccountPlace(place.ward, place.device)
