"""Collect the values of a document as observations, in the words of its sender. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from edges.config.code_tables import Code
from edges.observations.found import Found
from edges.observations.json_document import InvalidDocument
from edges.observations.observed import NOTICE, SUMMARY, Observation
from vitals.local_time import InvalidTime

SYSTEM = "WEBHOOK"
MAX_VALUES = 20_000  # of a document
_NONE = Code("", "", "")
_ZERO = re.compile(r"[+-]?0+(\.0*)?")


@dataclass(slots=True)
class Values:
    """The values of a document so far. `accounts` are those of the values that are added next."""

    found: list[Found] = field(default_factory=list)
    accounts: tuple[str, ...] = ()
    _channels: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        code: str,
        value: object,
        unit: str,
        read_time: Callable[[], datetime],
        *,
        absent: str = "",
        kind: str = "NM",
        source: str = "",
        site: str = "",
    ) -> None:
        """Add a value.

        read_time   returns its time, or raises InvalidTime
        absent      why it is no value that counts
        site        where on the body it is measured
        source      which of the sender's devices or programs measured it
        """
        time, problem = None, ""
        try:
            time = read_time()
        except InvalidTime as error:
            problem = str(error)
        if value is None:
            absent = absent or "it is null"
        elif _ZERO.fullmatch(text_of_value(value)):
            absent = absent or "0 means that nothing was measured"  # no worn sensor measures an asystole
        # Two sources are two positions, and the values of one pair have one position.
        number = self._channels.setdefault(source, len(self._channels) + 1)
        self._put(code, kind, text_of_value(value), unit, time, problem, absent, f"{number}.1", site)

    def add_summary(self, code: str) -> None:
        """Add a minimum, mean or the like, which is no value of a moment."""
        self._put(code, SUMMARY, "", "", None, "", "", "")

    def add_notice(self, code: str) -> None:
        """Add the statement that there are values elsewhere."""
        self._put(code, NOTICE, "", "", None, "", "", "")

    def add_unknown(self, code: str) -> None:
        """Add something that has no meaning here."""
        self._put(code, "", "?", "", None, "", "", "")

    def _put(
        self,
        code: str,
        kind: str,
        value: str,
        unit: str,
        time: datetime | None,
        problem: str,
        absent: str,
        channel: str,
        site: str = "",
    ) -> None:
        if len(self.found) >= MAX_VALUES:
            raise InvalidDocument(f"the document has more than {MAX_VALUES} values; send several", 422, "too-long")
        observation = Observation(
            segment=len(self.found) + 1,
            codes=(Code(code, "", SYSTEM),),
            kind=kind,
            values=(value,),
            unit=Code(unit, "", ""),
            other_unit=_NONE,
            flags=frozenset(),
            status="",
            time=time,
            time_problem=problem,
            channel=channel,
            absent=absent,
            site=site,
            own_time=True,
        )
        self.found.append(Found(observation, self.accounts))


def text_of_value(value: object) -> str:
    """Return a value as text: a number in its shortest form, and anything else as what no number is."""
    match value:
        case str():
            return value.strip()
        case bool() | None:
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case list():
            return "an array"
        case _:
            return "an object"
