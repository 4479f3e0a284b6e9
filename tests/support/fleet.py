"""A fleet of simulated devices beside a test, and what the broker has acknowledged to them."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from devices.fleet import run_fleet
from devices.fleet_stats import FleetStats
from devices.scenario import Scenario
from devices.simulated_ward import simulated_ward
from mqtt.endpoint import BrokerEndpoint
from tests.support.servers import Db
from vitals.reading import Reading
from vitals.topics import Topics

Name = tuple[str, int, int]
"""What names a reading: device, boot, seq."""


class Fleet:
    """Devices in a thread of their own; `options` are those of `run_fleet`. No patient's course silences one of them.

    acknowledged   the names of all readings that got a PUBACK
    said           the sentences that a user would have seen
    """

    def __init__(self, mqtt_url: str, devices: int, hertz: float, **options: Any) -> None:
        self.acknowledged: list[Name] = []
        self.said: list[str] = []
        self._options = options
        self.stats = FleetStats(devices)
        self._broker = BrokerEndpoint.parse_list(mqtt_url)
        self._sources = simulated_ward(
            devices, ward="icu-1", boot=int(time.time()), seed=7, scenario=Scenario.STABLE, interval_s=1 / hertz
        )
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fleet")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop measuring, send what waits, disconnect; once more does no harm."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        options: dict[str, Any] = {"stop": self._stop, "on_puback": self._remember, "stats": self.stats}
        options |= {"emit": self.said.append} | self._options
        self._loop.run_until_complete(run_fleet(self._sources, self._broker, Topics(), **options))
        self._loop.close()

    def _remember(self, device: str, readings: Sequence[Reading]) -> None:
        self.acknowledged += [(device, reading.boot, reading.seq) for reading in readings]


@contextmanager
def fleet(mqtt_url: str, devices: int, hertz: float, **options: Any) -> Iterator[Fleet]:
    """Devices that publish while the block runs."""
    running = Fleet(mqtt_url, devices, hertz, **options)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def rows_by_name(db: Db) -> list[Name]:
    """The name of every stored reading, as often as it is stored."""
    rows = db.rows("SELECT device_id, boot, seq FROM patient_vitals")
    return [(str(device), int(str(boot)), int(str(seq))) for device, boot, seq in rows]
