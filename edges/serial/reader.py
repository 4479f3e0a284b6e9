"""Read the ports of a process: open, decode, and open again when a device is plugged in again.

All ports are polled in one loop, 20 times a second: a device sends some hundred bytes a second, and the driver of a
port keeps 4 KiB. A port is opened in a thread, because the driver may take seconds for it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from edges.config.serial_table import SKETCHES, SerialPort
from edges.serial.console import find_console
from edges.serial.decoders import line_settings, make_decoder
from edges.serial.measurement import Measurement
from edges.serial.placing import Sampler
from edges.serial.port import Port, PortGone, PortMissing
from vitals.backoff import Backoff
from vitals.errors import PermanentError, TransientError
from vitals.log import Throttle

log = logging.getLogger("edges")

POLL_S = 0.05
QUIET_S = 0.25  # after the last byte of a packet, or of the lines of a moment
REOPEN_S, MAX_REOPEN_S = 0.25, 0.5  # reading again within 2 s of replugging
UNKNOWN_S = 10.0  # without a measurement
_SEEN = 2048  # bytes in which a console is looked for


class State(StrEnum):
    """What a port does."""

    MISSING = "missing"  # unplugged, or not there yet
    REFUSED = "refused"  # in use, without permission, or a login console
    SILENT = "silent"  # open, and nothing comes
    UNKNOWN = "unknown"  # what comes is nothing that the decoder knows
    READING = "reading"


class PortReader:
    """One port; call `poll` in the event loop, with the monotonic time.

    keep      receives measurements, at most one a second of each sign
    problem   why it is not read although its device is there; empty: it is read, or its device is not there
    """

    def __init__(self, table: SerialPort, keep: Callable[[Sequence[Measurement]], None]) -> None:
        self.table = table
        self.state = State.MISSING
        self.problem = ""
        self.received = self.noise = self.damaged = self.measurements = 0
        self._keep = keep
        self._path = Path(table.port)
        self._name = f"{table.ward}/{table.device}"
        self._port: Port | None = None
        self._opening: asyncio.Future[Port] | None = None
        self._open_at = 0.0
        self._backoff = Backoff(REOPEN_S, MAX_REOPEN_S)
        self._throttle = Throttle()
        self._is_console = False
        self._last_byte = self._last_measurement = 0.0
        self._quiet = self._is_first = True
        self._begin(0.0)

    def poll(self, now: float) -> None:
        """Read what has come, or try to open the port."""
        if self._port is None:
            self._open(now)
            return
        try:
            data = self._port.read()
        except PortGone as gone:
            self._lose(str(gone), now)
            return
        if data:
            self._take(data, now)
        elif now - self._last_byte >= QUIET_S and not self._quiet:
            self._quiet = True
            self._add(self._decoder.flush(), now)
        if now - self._last_byte >= UNKNOWN_S:
            self.state, self.problem = State.SILENT, ""
        elif now - self._last_measurement >= UNKNOWN_S and self.state is not State.UNKNOWN:
            sends = f"sends nothing that the decoder {self.table.decoder} knows"
            self._report(State.UNKNOWN, f"{self._path} {sends}; check decoder and line ({line_settings(self.table)})")

    async def close(self) -> None:
        """Close the port; what was complete is kept."""
        if self._opening is not None:
            with suppress(PermanentError, TransientError):
                (await self._opening).close()
        if self._port is not None:
            self._port.close()
            self._port = None
            self._keep(self._sampler.choose(self._decoder.flush(), self._last_byte))

    def _begin(self, now: float) -> None:
        """Begin with the first byte of a port."""
        self._decoder = make_decoder(self.table)
        self._sampler = Sampler()
        self._counted = (0, 0)  # noise and damaged of this decoder
        self._seen = b""
        self._quiet = self._is_first = True
        self._last_byte = self._last_measurement = now

    def _open(self, now: float) -> None:
        if self._is_console:
            return
        if self._opening is None:
            if now >= self._open_at:
                self._opening = asyncio.ensure_future(asyncio.to_thread(Port, self._path, line_settings(self.table)))
            return
        if not self._opening.done():
            return
        opening, self._opening = self._opening, None
        self._open_at = now + self._backoff.next()
        try:
            self._port = opening.result()
        except PortMissing as error:
            self.state, self.problem = State.MISSING, ""
            if self._throttle.due(now):
                log.warning("waiting for %s: %s", self._name, error)
        except (PermanentError, TransientError) as error:
            self._is_console = isinstance(error, PermanentError)
            self._report(State.REFUSED, str(error))
        else:
            self._begin(now)
            self.state, self.problem = State.SILENT, ""
            self._throttle.reset()
            self._backoff.reset()
            log.info("reading %s at %s", self._name, self._path)

    def _lose(self, reason: str, now: float) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None
        self._add(self._decoder.flush(), now)
        self.state, self.problem = State.MISSING, ""
        self._open_at = now + self._backoff.next()
        if self._throttle.due(now):
            log.warning("%s: %s: %s; it is opened again", self._name, self._path, reason)

    def _take(self, data: bytes, now: float) -> None:
        if self._is_first:  # a line that begins after a pause is whole; those of fixed width show by themselves if not
            self._is_first = False
            begins = now - self._last_byte >= QUIET_S or self.table.decoder not in SKETCHES
            self._decoder = make_decoder(self.table, from_start=begins)
        self.received += len(data)
        self._last_byte, self._quiet = now, False
        if self.state is not State.READING and len(self._seen) < _SEEN:
            self._seen += data
            if (shown := find_console(self._seen)) and self._port is not None:
                self._is_console = True
                self._port.close()
                self._port = None
                self._report(
                    State.REFUSED, f"{self._path} is a login console, as it shows {shown!a}; nothing was written to it"
                )
                return
        self._add(self._decoder.feed(data), now)

    def _add(self, measurements: list[Measurement], now: float) -> None:
        noise, damaged = self._decoder.noise, self._decoder.damaged
        self.noise += noise - self._counted[0]
        self.damaged += damaged - self._counted[1]
        self._counted = noise, damaged
        if measurements:
            self.measurements += len(measurements)
            self._last_measurement = now
            self._seen = b""
            self.state, self.problem = State.READING, ""
            self._keep(self._sampler.choose(measurements, now))

    def _report(self, state: State, problem: str) -> None:
        if problem != self.problem:
            log.error("%s is not read: %s", self._name, problem)
        self.state, self.problem = state, problem


async def poll_ports(readers: Sequence[PortReader]) -> None:
    """Poll all ports, until it is cancelled."""
    clock = asyncio.get_running_loop().time
    while True:
        now = clock()
        for reader in readers:
            reader.poll(now)
        await asyncio.sleep(POLL_S)
