"""The thread that has the database keep the readings around each alert with it, before retention drops them.

On both editions: alerts are stored by ingest, so none are due without it. The database decides what is due
(sql/editions/15_alert_snapshot.sql), and remembers it over a stop of any process.
"""

import time
from collections.abc import Callable
from typing import cast

from ingest.periodic import WORK_TIMEOUT_S, Connection, PeriodicWork

FIRST_AFTER_S = 5.0  # not at once: much else happens at the start
INTERVAL_S = 30.0
MAX_ALERTS = 50  # of one transaction
PAUSE_SHARE = 4  # pause after a transaction, in times of its duration: the readings that arrive come first


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
        """Take the snapshots that are due, a few per transaction: after a stop there may be many, for several calls.

        They are never urgent, for retention waits for them, and take a fifth of a processor at most. Without a pause
        they took two fifths for minutes with 10,000 devices on two processors: readings were committed 30 s late.
        """
        pause_s, until = 0.0, time.monotonic() + WORK_TIMEOUT_S / 2
        while not self._stopping.wait(pause_s) and (begun := time.monotonic()) < until:
            row = connection.execute("SELECT taken, waiting FROM take_alert_snapshots(%s)", [MAX_ALERTS]).fetchone()
            taken, waiting = cast("tuple[int, int]", row)
            self._count_taken(taken)
            self._report_waiting(waiting)
            if taken < MAX_ALERTS:
                return
            pause_s = PAUSE_SHARE * (time.monotonic() - begun)
