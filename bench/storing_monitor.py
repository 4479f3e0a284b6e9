"""When readings were stored, by the counter of each ingest of a cluster."""

import threading
import time

from stack.metrics import counters

INTERVAL_S = 0.25
STORED = "vitalflow_ingest_readings_stored_total"


class StoringMonitor:
    """Note the times at which a counter has grown, one thread for each ingest: one that is frozen delays no other."""

    def __init__(self, ports: list[int]) -> None:
        self.stored_at: list[float] = []  # unix seconds
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=[port], daemon=True) for port in ports]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, port: int) -> None:
        known = 0.0
        while not self._stopping.wait(INTERVAL_S):
            try:
                value = counters(port).get(STORED, 0.0)
            except OSError:
                continue
            if value > known:
                self.stored_at.append(time.time())
            known = value  # also after a restart, which begins at 0
