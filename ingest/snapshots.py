"""The thread that has the database keep the readings around each alert with it, before retention drops them.

On both editions: alerts are stored by ingest, so none are due without it. The database decides what is due
(sql/editions/15_alert_snapshot.sql), and remembers it over a stop of any process.
"""

from collections.abc import Callable
from typing import cast

from ingest.periodic import Connection, PeriodicWork

FIRST_AFTER_S = 5.0  # not at once: much else happens at the start
INTERVAL_S = 30.0
MAX_ALERTS = 50  # of one transaction


class AlertSnapshots(PeriodicWork):
    """Calls `take_alert_snapshots` until `stop`.

    count_taken      called with the number of snapshots that were taken
    report_waiting   called with the number of alerts that are still due after that
    """

    def __init__(self, url: str, count_taken: Callable[[int], None], report_waiting: Callable[[int], None]) -> None:
        purpose = "keep the readings around alerts"
        super().__init__("snapshots", url, purpose, first_after_s=FIRST_AFTER_S, interval_s=INTERVAL_S)
        self._count_taken = count_taken
        self._report_waiting = report_waiting

    def work(self, connection: Connection) -> None:
        """Take all snapshots that are due, a few per transaction: after a stop there may be many."""
        while not self._stopping.is_set():
            row = connection.execute("SELECT taken, waiting FROM take_alert_snapshots(%s)", [MAX_ALERTS]).fetchone()
            taken, waiting = cast("tuple[int, int]", row)
            self._count_taken(taken)
            self._report_waiting(waiting)
            if taken < MAX_ALERTS:
                return
