"""The thread that drops old readings, if the database has no job of its own for it, and old names.

The Apache edition of TimescaleDB can drop old chunks but has no background jobs, so ingest requests it once an hour.
The database decides what is dropped (sql/editions/): on the Community edition that is nothing, because a job does it.
There the thread reads what another job found: days of which a rollup lacks readings. It has a connection of its own, so
a failure here does not delay the writer.
"""

import logging
from collections.abc import Callable
from typing import cast

from ingest.periodic import Connection, PeriodicWork

log = logging.getLogger("ingest")

FIRST_AFTER_S = 10.0  # not at once: much else happens at the start
INTERVAL_S = 3600.0


class Retention(PeriodicWork):
    """Calls `drop_old_readings` until `stop`.

    count_dropped      called with the number of dropped chunks
    report_different   called with the number of days of which a rollup does not have every reading
    """

    def __init__(
        self,
        url: str,
        count_dropped: Callable[[int], None],
        report_different: Callable[[int], None],
        *,
        first_after_s: float = FIRST_AFTER_S,
        interval_s: float = INTERVAL_S,
    ) -> None:
        super().__init__("retention", url, "drop old readings", first_after_s=first_after_s, interval_s=interval_s)
        self._count_dropped = count_dropped
        self._report_different = report_different

    def work(self, connection: Connection) -> None:
        """Drop old readings and names, and read the result of the check of the rollups."""
        row = connection.execute(
            "SELECT drop_old_readings(), (SELECT count(DISTINCT day) FROM rollup_difference), drop_old_names()"
        ).fetchone()
        dropped, different, names = cast("tuple[int, int, int]", row)
        self._count_dropped(dropped)
        self._report_different(different)
        if different:
            log.warning("the rollups of %d days lack readings; `vitalflow db status` names them", different)
        if dropped:
            log.info("dropped %d chunks of readings older than the retention period", dropped)
        if names:
            log.info("deleted the names of %d patients who were on no bed within the retention period", names)
