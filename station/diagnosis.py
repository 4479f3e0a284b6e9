"""Observe one device and report, as plain text, why its readings do not arrive.

`vitals.device_diagnosis` judges, as for `vitalflow devices doctor`. The station knows neither the device's identity nor
the broker's log, so findings about logins are only in ingest's report, which only users with access to all wards see.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from station.auth.scope import WardScope
from station.ward import Ward
from vitals.device_diagnosis import Connection, Observations, diagnose, facts, printable
from vitals.errors import TransientError

MAX_OBSERVATIONS = 10  # at once: each decodes the device's messages a second time
MAX_LINES = 100
LINE_POLL_S = 0.5
NO_AGE_LIMIT = timedelta(days=36_500)  # the station does not know for how long readings are kept


class Observation:
    """One device during one request; raises TransientError if too many are running."""

    def __init__(self, ward: Ward, device: str, scope: WardScope) -> None:
        self._ward = ward
        self._device = device
        self._scope = scope
        self._seen = Observations(ward.topics, device, NO_AGE_LIMIT, datetime.now(UTC))
        self._lines: list[str] = []
        if len(ward.observers) >= MAX_OBSERVATIONS:
            raise TransientError(f"{MAX_OBSERVATIONS} devices are being observed; try again in a minute")

    async def stream(self, seconds: float) -> AsyncIterator[bytes]:
        """Yield lines of events for `seconds`, then the facts and the findings."""
        self._ward.observers.append(self._take)
        try:
            yield f"observing {printable(self._device)} for {seconds:g} s\n\n".encode()
            deadline = asyncio.get_running_loop().time() + seconds
            shown = 0
            while asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(LINE_POLL_S)
                lines, self._lines = self._lines[: MAX_LINES - shown], []
                shown += len(lines)
                yield "".join(f"{line}\n" for line in lines).encode()
            yield self._report(datetime.now(UTC)).encode()
        finally:
            self._ward.observers.remove(self._take)

    def _take(self, topic: str, payload: bytes, retained: bool, now: datetime) -> None:
        _, bed = self._ward.topics.parse(topic)
        if bed.device != self._device or not self._scope.includes(bed.ward):
            return
        line = self._seen.take(topic, payload, now, retained=retained)
        if line is not None and len(self._lines) < MAX_LINES:
            self._lines.append(f"{now:%H:%M:%S} UTC  {line}")

    def _report(self, now: datetime) -> str:
        self._seen.finish(now)
        connection = self._connection()
        rows = facts(self._seen, None, connection, now)
        findings = diagnose(self._seen, None, connection, [], now)
        text = "".join(f"{name:<14}{value}\n" for name, value in rows)
        listed = "".join(
            f"{found.severity}: {found.text}\n" + (f"    {found.advice}\n" if found.advice else "")
            for found in findings
        )
        return f"\n{text}\n{listed}"

    def _connection(self) -> Connection | None:
        """Return what ingest reports of the device's login; None without a right to see all wards."""
        for report in self._ward.login_reports.values() if self._scope.everywhere else ():
            for login in report.without_readings:
                if login.user == self._device:
                    ended = "" if login.connected else login.ended or "by the device"
                    return Connection(login.since, login.address, login.protocol, ended, 1)
        return None
