"""Collect the values of a document as observations, in the words of its sender. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from edges.config.code_tables import Code
from edges.observations.found import Found
from edges.observations.json_document import InvalidDocument, text_of_value
from edges.observations.observed import NOTICE, SUMMARY, Observation
from vitals.local_time import InvalidTime
from vitals.recording.marks import bad_mark

SYSTEM = "WEBHOOK"
MAX_VALUES = 20_000  # of a document
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
        record: Mapping[str, object] = MappingProxyType({}),
        kind: str = "NM",
        source: str = "",
        site: str = "",
    ) -> None:
        """Add a value.

        read_time   returns its time, or raises InvalidTime
        absent      why it is no value that counts
        record      what stands beside it, which may mark it as bad
        site        where on the body it is measured
        source      which of the sender's devices or programs measured it
        """
        time, problem = None, ""
        try:
            time = read_time()
        except InvalidTime as error:
            problem = str(error)
        absent = absent or bad_mark(record)
        if value is None:
            absent = absent or "it is null"
        elif _ZERO.fullmatch(text_of_value(value)):
            absent = absent or "0 means that nothing was measured"  # no worn sensor measures an asystole
        # Two sources are two positions, and the values of one pair have one position.
        number = self._channels.setdefault(source, len(self._channels) + 1)
        self._put(
            code,
            kind,
            values=(text_of_value(value),),
            unit=Code(unit, "", ""),
            time=time,
            time_problem=problem,
            channel=f"{number}.1",
            absent=absent,
            site=site,
            own_time=True,
        )

    def add_summary(self, code: str) -> None:
        """Add a minimum, mean or the like, which is no value of a moment."""
        self._put(code, SUMMARY)

    def add_notice(self, code: str) -> None:
        """Add the statement that there are values elsewhere."""
        self._put(code, NOTICE)

    def add_unknown(self, code: str) -> None:
        """Add something that has no meaning here."""
        self._put(code, "", values=("?",))

    def _put(self, code: str, kind: str, **more: Any) -> None:
        if len(self.found) >= MAX_VALUES:
            raise InvalidDocument(f"the document has more than {MAX_VALUES} values; send several", 422, "too-long")
        observation = Observation(len(self.found) + 1, (Code(code, "", SYSTEM),), kind, **more)
        self.found.append(Found(observation, self.accounts))
